"""Built in day 03, Linear systems: ``runner taught`` copies it from day03_linear_systems.ipynb."""

import math
from fractions import Fraction

import numpy as np


def plu(a):
    """Rows p, L and U with a[p] = L @ U; a column of zeros is skipped."""
    a = np.array(a, dtype=float)
    n, p = len(a), np.arange(len(a))
    for k in range(n - 1):
        r = k + np.argmax(np.abs(a[k:, k]))      # the largest pivot
        a[[k, r]], p[[k, r]] = a[[r, k]], p[[r, k]]
        if a[k, k] == 0:
            continue
        a[k + 1:, k] /= a[k, k]                  # multipliers, kept below
        a[k + 1:, k + 1:] -= np.outer(a[k + 1:, k], a[k, k + 1:])
    return p, np.tril(a, -1) + np.eye(n), np.triu(a)


def lower_solve(low, b):
    """L z = b, top down; b (n,) or (n, k)."""
    z = np.array(b, dtype=float)
    for i in range(len(z)):
        z[i] = (z[i] - low[i, :i] @ z[:i]) / low[i, i]
    return z


def upper_solve(up, b):
    """U x = b, bottom up: the same, with both orders reversed."""
    return lower_solve(up[::-1, ::-1], b[::-1])[::-1]


def solve(a, b):
    p, low, up = plu(a)
    if (np.diag(up) == 0).any():
        raise ValueError("the matrix is singular: no single solution")
    return upper_solve(up, lower_solve(low, b[p]))


def exact_solve(a, b):
    """The solution without rounding, as fractions; a, b of floats."""
    rows = [[Fraction(x) for x in (*row, y)] for row, y in zip(a, b)]
    n = len(rows)
    for k in range(n):
        r = next(i for i in range(k, n) if rows[i][k])   # any nonzero
        rows[k], rows[r] = rows[r], rows[k]
        for i in range(k + 1, n):
            m = rows[i][k] / rows[k][k]
            rows[i] = [x - m * y for x, y in zip(rows[i], rows[k])]
    x = [Fraction(0)] * n
    for i in reversed(range(n)):
        known = sum(rows[i][j] * x[j] for j in range(i + 1, n))
        x[i] = (rows[i][n] - known) / rows[i][i]
    return x


def qr(a):
    """Householder QR: q (m, n) with orthonormal columns, r (n, n)."""
    r = np.array(a, dtype=float)
    m, n = r.shape
    q = np.eye(m, n)
    mirrors = []
    for k in range(n):
        v = r[k:, k].copy()
        v[0] += math.copysign(np.linalg.norm(v), v[0])
        length = np.linalg.norm(v)
        v = v / length if length > 0 else v      # a zero column: no mirror
        mirrors.append(v)
        r[k:, k:] -= 2 * np.outer(v, v @ r[k:, k:])
    for k in reversed(range(n)):
        v = mirrors[k]
        q[k:] -= 2 * np.outer(v, v @ q[k:])
    return q, np.triu(r[:n])


def least_squares(a, b):
    q, r = qr(a)
    return upper_solve(r, q.T @ b)


def normal_equations(a, b):
    """The shortcut: where the residual is least, A^T (A x - b) = 0."""
    return solve(a.T @ a, a.T @ b)
