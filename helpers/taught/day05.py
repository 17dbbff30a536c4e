"""Built in day 05, Singular values: ``runner taught`` copies it from day05_svd.ipynb."""

import math

import numpy as np


def turn(p, q):
    """Cosine and sine that make columns p and q perpendicular."""
    alpha, beta, gamma = p @ p, q @ q, p @ q
    zeta = (beta - alpha) / (2 * gamma)
    t = math.copysign(1, zeta) / (abs(zeta) + math.hypot(1, zeta))
    c = 1 / math.hypot(1, t)
    return c, c * t


def jacobi_svd(a, sweeps=40):
    """u (m, r), s (r,) falling, v (n, r) with r = min(m, n)."""
    a = np.array(a, dtype=float)
    if a.shape[0] < a.shape[1]:
        u, s, v = jacobi_svd(a.T, sweeps)
        return v, s, u
    v, near = np.eye(a.shape[1]), 2.0 ** -53 * math.sqrt(len(a))
    turns = -1
    while turns and sweeps:
        turns, sweeps = 0, sweeps - 1
        for i, j in zip(*np.triu_indices(a.shape[1], 1)):
            p, q = a[:, i], a[:, j]
            if abs(p @ q) > near * np.linalg.norm(p) * np.linalg.norm(q):
                c, s = turn(p, q)
                both, turns = np.array([[c, s], [-s, c]]), turns + 1
                a[:, [i, j]] = a[:, [i, j]] @ both
                v[:, [i, j]] = v[:, [i, j]] @ both
    return sorted_columns(a, v)


def sorted_columns(a, v):
    s = np.linalg.norm(a, axis=0)
    order = np.argsort(-s, kind="stable")
    s, a, v = s[order], a[:, order], v[:, order]
    return a / np.where(s > 0, s, 1), s, v       # u is 0 where s is 0


def truncated(u, s, v, k):
    return u[:, :k] * s[:k] @ v[:, :k].T
