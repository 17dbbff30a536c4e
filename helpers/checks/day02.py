"""Hidden checks of day 02; each takes the learner's function and asserts in words."""

import contextlib
import itertools
from unittest import mock

import numpy as np
import torch


def broadcast_strides(fn):
    cases = [((3, 1), (4, 3, 5)), ((1,), (2, 3)), ((5,), (4, 5)), ((), (2, 2)), ((1, 4), (1, 4)), ((2, 0), (3, 2, 0))]
    for shape, target in cases:
        strides = tuple(7 * (i + 1) for i in range(len(shape)))
        want = _strides(shape, strides, target)
        try:
            got = fn(shape, strides, target)
        except ValueError:
            raise AssertionError(f"{shape} can be read as {target}: write the shapes flush right, not left") from None
        assert isinstance(got, tuple), f"return a tuple of strides, got {type(got).__name__}"
        assert len(got) == len(target), f"{shape} read as {target} needs {len(target)} strides, got {got}"
        hint = "which axes stand still?"
        if shape == target:
            hint = "an axis that keeps its size keeps its stride, even size 1"
        assert got == want, f"shape {shape}, strides {strides}, read as {target}: got {got}; {hint}"
    g = torch.Generator().manual_seed(0)
    for _ in range(300):
        target = tuple(int(n) for n in torch.randint(1, 5, (int(torch.randint(1, 5, (), generator=g)),), generator=g))
        cut = int(torch.randint(0, len(target) + 1, (), generator=g))
        shape = tuple(n if int(torch.randint(2, (), generator=g)) else 1 for n in target[cut:])
        strides = tuple(int(s) for s in torch.randint(1, 50, (len(shape),), generator=g))
        got = fn(shape, strides, target)
        want = _strides(shape, strides, target)
        assert got == want, (
            f"shape {shape}, strides {strides}, read as {target}: got {got}; a new or stretched axis has stride 0, "
            "the others keep theirs"
        )
    for shape, target in [((3,), (4,)), ((2, 3), (3,)), ((1, 3), (3,)), ((3, 1), (1, 3)), ((4, 2), (4, 4))]:
        try:
            got = fn(shape, (1,) * len(shape), target)
        except ValueError:
            continue
        raise AssertionError(f"{shape} cannot be read as {target}: raise ValueError; yours returned {got}")
    return "300 random views and five impossible ones"


def _strides(shape, strides, target):
    new = len(target) - len(shape)
    return (0,) * new + tuple(s if n == t else 0 for n, s, t in zip(shape, strides, target[new:], strict=True))


def einsum_fast(fn):
    g = torch.Generator().manual_seed(0)
    named = ["ij,jk->ik", "i,j->ij", "bqd,bkd->bqk", "ij,ij->", "ij,jk->ki", "ab,bc->", "abc,cb->a", "ij,kl->jl"]
    lefts, rights = itertools.permutations("abc", 2), itertools.permutations("bcd", 3)
    pool = [("".join(p), "".join(q)) for p, q in itertools.product(lefts, rights)]
    for trial in range(len(named) + 61):
        if trial < len(named):
            equation = named[trial]
            left, right = equation.split("->")[0].split(",")
        else:
            left, right = pool[int(torch.randint(len(pool), (), generator=g))]
            letters = sorted({*left, *right})
            order = [letters[i] for i in torch.randperm(len(letters), generator=g)]
            equation = f"{left},{right}->{''.join(order[: trial % (len(letters) + 1)])}"
        dims = {c: 2 + i for i, c in enumerate(sorted({*left, *right}))}
        a, b = (torch.randn([dims[c] for c in s], generator=g, dtype=torch.float64) for s in (left, right))
        want, got = torch.einsum(equation, a, b), fn(equation, a.clone(), b.clone())
        assert isinstance(got, torch.Tensor), f"{equation}: return a tensor, got {type(got).__name__}"
        assert got.shape == want.shape, f"{equation}: expected shape {tuple(want.shape)}, got {tuple(got.shape)}"
        hint = _hint(equation)
        assert torch.allclose(got, want, atol=1e-10), f"{equation}: right shape, wrong numbers; {hint}"
    for equation, axes in (("ij,jk->ik", 2), ("bij,bjk->bik", 3)):
        (small, _), (large, most) = (_tensor_calls(fn, equation, [n] * axes) for n in (3, 24))
        assert large <= small + 4, (
            f"{equation} took {small} tensor operations at size 3 and {large} at size 24: a Python loop over numbers; "
            "one batched product does them all"
        )
        assert most <= 4 * 24**axes, (
            f"{equation} made a tensor of {most:,} numbers from operands of {24**axes:,}: every product is written out "
            "before the sum; a batched product (@) adds as it goes"
        )
    with (
        mock.patch.object(torch, "einsum") as banned,
        mock.patch.object(np, "einsum", banned),
        contextlib.suppress(Exception),
    ):
        fn("ij,jk->ik", torch.ones(2, 2), torch.ones(2, 2))
    assert not banned.called, "right, but einsum itself did it: write it with permute, reshape, sum and @"
    return "69 equations, all four kinds of letters, no einsum and no loop"


def _hint(equation):
    inputs, out = equation.split("->")
    left, right = inputs.split(",")
    if any(c not in out and (c in left) != (c in right) for c in {*left, *right}):
        return "a letter in one operand only and not in the result is summed before the product"
    if [c for c in out if c in left and c in right]:
        return "a letter in both operands and in the result is a batch axis, not a contraction"
    return "is the result in the order of the letters after the arrow?"


def _tensor_calls(fn, equation, shape):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        calls = most = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            out = func(*args, **(kwargs or {}))
            self.most = max(self.most, out.numel() if isinstance(out, torch.Tensor) else 0)
            return out

    a = torch.ones(shape)
    with Count() as count:
        fn(equation, a, a)
    return count.calls, count.most


def cheapest_chain(fn):
    assert fn((3, 4)) == 0, "a single matrix needs no multiplication"
    assert fn((2, 3, 4)) == 24, "one product (2, 3) by (3, 4) is 2·3·4 = 24"
    g = torch.Generator().manual_seed(0)
    for m in (3, 4, 5, 6, 7):
        for _ in range(8):
            dims = tuple(int(n) for n in torch.randint(1, 30, (m + 1,), generator=g))
            want, got = _chain(dims), fn(dims)
            assert got == want, f"dims {dims}: the cheapest order needs {want} multiplications, yours says {got}"
    return "40 random chains against a search through all bracketings"


def _chain(dims):
    if len(dims) == 2:
        return 0
    return min(
        _chain(dims[: k + 1]) + _chain(dims[k:]) + dims[0] * dims[k] * dims[-1] for k in range(1, len(dims) - 1)
    )


def _strides_left(shape, strides, target):
    out = []
    for i, want in enumerate(target):
        if i < len(shape) and shape[i] not in (1, want):
            raise ValueError
        out.append(strides[i] if i < len(shape) and shape[i] == want else 0)
    return tuple(out)


def _strides_all_ones_zero(shape, strides, target):
    pad = len(target) - len(shape)
    if pad < 0 or any(n not in (1, t) for n, t in zip(shape, target[pad:], strict=True)):
        raise ValueError
    return (0,) * pad + tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def _strides_never_raises(shape, strides, target):
    pad = len(target) - len(shape)
    return (0,) * pad + tuple(s if n == t else 0 for n, s, t in zip(shape, strides, target[pad:], strict=False))


def _einsum_contracts_shared(equation, a, b):
    inputs, out = equation.split("->")
    left, right = inputs.split(",")
    shared = [c for c in left if c in right]
    c = torch.tensordot(a, b, ([left.index(x) for x in shared], [right.index(x) for x in shared]))
    rest = [x for x in left + right if x not in shared]
    if sorted(rest) != sorted(out):
        return c.sum()
    return c.permute([rest.index(x) for x in out])


def _einsum_forgets_order(equation, a, b):
    inputs, out = equation.split("->")
    return torch.einsum(f"{inputs}->{''.join(sorted(out))}", a, b)


def _einsum_slow(equation, a, b):
    inputs, out = equation.split("->")
    left, right = inputs.split(",")
    if (left, right, out) != ("ij", "jk", "ik"):
        return torch.einsum(equation, a, b)
    return torch.stack([torch.stack([(row * column).sum() for column in b.T]) for row in a])


def _einsum_writes_all(equation, a, b):
    inputs, out = equation.split("->")
    left, right = inputs.split(",")
    letters = sorted({*left, *right})
    wide = [
        x.permute([s.index(c) for c in letters if c in s])[tuple(slice(None) if c in s else None for c in letters)]
        for x, s in ((a, left), (b, right))
    ]
    product, kept = wide[0] * wide[1], [c for c in letters if c in out]
    gone = [i for i, c in enumerate(letters) if c not in out]
    product = product.sum(gone) if gone else product
    return product.permute([kept.index(c) for c in out])


def _einsum_loops_rows(equation, a, b):
    inputs, out = equation.split("->")
    left, right = inputs.split(",")
    if (left, right, out) != ("ij", "jk", "ik"):
        return torch.einsum(equation, a, b)
    return torch.stack([row @ b for row in a])


def _from_the_left(dims):
    return sum(dims[0] * dims[k] * dims[k + 1] for k in range(1, len(dims) - 1))


def _greedy(dims):
    dims, cost = list(dims), 0
    while len(dims) > 2:
        k = min(range(1, len(dims) - 1), key=lambda i: dims[i - 1] * dims[i] * dims[i + 1])
        cost += dims[k - 1] * dims[k] * dims[k + 1]
        del dims[k]
    return cost


WRONG = {
    "broadcast_strides": {
        "flush left": _strides_left,
        "every 1 becomes stride 0": _strides_all_ones_zero,
        "never raises": _strides_never_raises,
    },
    "einsum_fast": {
        "contracts every shared letter": _einsum_contracts_shared,
        "forgets the order of the result": _einsum_forgets_order,
        "loops over numbers": _einsum_slow,
        "loops over rows": _einsum_loops_rows,
        "writes out every product": _einsum_writes_all,
        "calls einsum": lambda equation, a, b: torch.einsum(equation, a, b),
    },
    "cheapest_chain": {"from the left": _from_the_left, "greedy, cheapest pair first": _greedy},
}
