"""Built in day 04, Eigendecomposition: ``runner taught`` copies it from day04_eigendecomposition.ipynb."""

import math

import numpy as np

from helpers.taught.day03 import qr


def rayleigh(a, x):
    """The factor by which a stretches x, if it does nothing else."""
    return x @ a @ x / (x @ x)


def power(a, x, steps):
    """All unit vectors of a power iteration (steps + 1, n)."""
    path = [x / np.linalg.norm(x)]
    for _ in range(steps):
        y = a @ path[-1]
        length = np.linalg.norm(y)
        path.append(y / length if length > 0 else path[-1])
    return np.array(path)


def corner_shift(a, b, c):
    """The eigenvalue of [[a, b], [b, c]] that is nearer to c."""
    half = (a - c) / 2
    if b == 0:
        return c
    return c - math.copysign(b * b, half) / (abs(half)
                                             + math.hypot(half, b))


def symmetric_qr(a, last_row=None):
    """Eigenvalues (n,) in no order, eigenvectors (n, n) as columns."""
    a = np.array(a, dtype=float)
    n, vectors = len(a), np.eye(len(a))
    tiny, budget = 2.0 ** -53 * np.linalg.norm(a), 40 * len(a)
    while n > 1:
        rest = np.linalg.norm(a[n - 1, :n - 1])
        if last_row is not None:
            last_row.append((n, rest))
        if rest <= tiny:
            n -= 1                               # deflate
            continue
        s = corner_shift(a[n-2, n-2], a[n-1, n-2], a[n-1, n-1])
        q, r = qr(a[:n, :n] - s * np.eye(n))
        a[:n, :n] = r @ q + s * np.eye(n)
        vectors[:, :n] = vectors[:, :n] @ q
        budget -= 1
        if budget < 0:
            raise RuntimeError("no convergence: is the matrix symmetric?")
    return np.diag(a), vectors


def link_matrix(n, edges, dead="anywhere"):
    """S (n, n): column j says where a surfer goes from page j.

    dead ends: "anywhere" at random, "stay" for good, or "lost".
    """
    s = np.zeros((n, n))
    source, target = np.array(edges).T
    s[target, source] = 1
    ends = s.sum(0) == 0
    if dead == "anywhere":
        s[:, ends] = 1
    elif dead == "stay":
        s[ends, ends] = 1
    return s / np.maximum(s.sum(0), 1)


def page_rank(s, damping=0.85, first=None, tol=1e-14, most=3000):
    """The crowd after each click, (clicks + 1, n); the last is the rank."""
    jump = np.full(len(s), 1 / len(s))
    path = [jump if first is None else first]
    while len(path) <= most:
        path.append(damping * (s @ path[-1]) + (1 - damping) * jump)
        if np.abs(path[-1] - path[-2]).sum() < tol:
            break
    return np.array(path)
