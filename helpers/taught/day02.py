"""Built in day 02, Matrix operations: ``runner taught`` copies it from day02_matrix_operations.ipynb."""

import itertools

import torch


def addresses(shape, strides, offset=0):
    """Storage position of every entry, in row order."""
    axes = [range(n) for n in shape]
    return [offset + sum(i * s for i, s in zip(index, strides))
            for index in itertools.product(*axes)]


def einsum_loops(equation, a, b):
    """Two operands, letter by letter: slow, and the definition."""
    inputs, out = equation.split("->")
    left, right = inputs.split(",")
    size = dict(zip(left, a.shape)) | dict(zip(right, b.shape))
    letters = sorted(size)
    result = torch.zeros([size[c] for c in out], dtype=a.dtype)
    for index in itertools.product(*(range(size[c]) for c in letters)):
        at = dict(zip(letters, index))
        x = a[tuple(at[c] for c in left)]
        y = b[tuple(at[c] for c in right)]
        result[tuple(at[c] for c in out)] += x * y
    return result


def by_tiles(a, b, tile=64):
    """a (I, K) @ b (K, J), one tile x tile product a step."""
    c = a.new_zeros(a.shape[0], b.shape[1])
    for i in range(0, a.shape[0], tile):
        for j in range(0, b.shape[1], tile):
            for k in range(0, a.shape[1], tile):
                c[i:i + tile, j:j + tile] += (
                    a[i:i + tile, k:k + tile] @ b[k:k + tile, j:j + tile])
    return c
