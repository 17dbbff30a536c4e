"""Built in day 13, Newton and quasi-Newton: ``runner taught`` copies it from day13_newton.ipynb."""

import numpy as np
from scipy.special import expit

from helpers.taught.day03 import lower_solve, upper_solve


def logistic(x, label, penalty):
    """Value, gradient and Hessian of ridge-penalised cross-entropy."""
    def value(w):
        z = x @ w
        return (np.logaddexp(0, z) - label * z).mean() + penalty * w @ w / 2
    def gradient(w):
        return x.T @ (expit(x @ w) - label) / len(label) + penalty * w
    def hessian(w):
        p = expit(x @ w)
        return ((x.T * (p * (1 - p))) @ x / len(label)
                + penalty * np.eye(x.shape[1]))
    return value, gradient, hessian


def cholesky(h):
    """Lower L with L @ L.T = h, or a ValueError: not positive definite."""
    low = h.copy()
    for k in range(len(h)):
        column = low[k:, k] - low[k:, :k] @ low[k, :k]
        if not column[0] > 0:
            raise ValueError("not positive definite")
        low[k:, k] = column / column[0]**0.5
    return low * np.tri(len(h))            # clear the upper half


def newton_direction(g, h):
    """-h⁻¹ g, or -(h + shift I)⁻¹ g where h is not positive definite."""
    scale = 1e-3 * abs(h).max() or 1.0
    for shift in (0, *scale * 2.0**np.arange(40)):
        try:
            low = cholesky(h + shift * np.eye(len(h)))
        except ValueError:
            continue
        return -upper_solve(low.T, lower_solve(low, g))
    raise ValueError("the Hessian holds NaN or infinity")


def wolfe(f, grad, w, p, c1=1e-4, c2=0.9):
    """A step length along the descent direction p, by bisection."""
    here, slope = f(w), grad(w) @ p
    low, high, t = 0.0, np.inf, 1.0
    for _ in range(60):
        if not f(w + t * p) <= here + c1 * t * slope:  # NaN fails, too
            high = t
        elif grad(w + t * p) @ p < c2 * slope:
            low = t
        else:
            break
        t = 2 * low if high == np.inf else (low + high) / 2
    return t


def minimise(f, grad, w, direction, search=wolfe, tol=1e-9, steps=500):
    """The path from w; direction(w, g) says where, search how far."""
    path = [w]
    for _ in range(steps):
        g = grad(path[-1])
        if not np.linalg.norm(g) > tol:
            break
        p = direction(path[-1], g)
        path.append(path[-1] + search(f, grad, path[-1], p) * p)
    return np.array(path)


def cg(times, b, tol=1e-10, steps=None):
    """Path of x towards A x = b from x = 0, given times(v) = A @ v."""
    path, r, p = [np.zeros_like(b)], b, b
    for _ in range(2 * len(b) if steps is None else steps):
        if r @ r <= tol**2 * (b @ b):
            break
        ap = times(p)
        a = (r @ r) / (p @ ap)
        path.append(path[-1] + a * p)
        new = r - a * ap
        p, r = new + (new @ new) / (r @ r) * p, new
    return np.array(path)


def bfgs_update(b, s, y):
    rho, by = 1 / (s @ y), b @ y
    cross = s[:, None] * by
    return (b - rho * (cross + cross.T)
            + rho * (1 + rho * (y @ by)) * (s[:, None] * s))


def two_loop(g, pairs):
    """-B g for the B that BFGS would build from pairs, oldest first."""
    q, kept = g, []
    for s, y in reversed(pairs):
        kept.append((s @ q) / (s @ y))
        q = q - kept[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * ((s @ y) / (y @ y))
    for (s, y), a in zip(pairs, reversed(kept)):
        q = q + (a - (y @ q) / (s @ y)) * s
    return -q


def lbfgs(memory=10):
    """A direction(w, g) for minimise that remembers the last pairs."""
    last, pairs = [], []
    def direction(w, g):
        if last and (w - last[0]) @ (g - last[1]) > 0:
            pairs.append((w - last[0], g - last[1]))
            del pairs[:-memory]
        last[:] = w, g
        return two_loop(g, pairs)
    return direction


def bfgs():
    """The same with the whole matrix."""
    last = []
    def direction(w, g):
        b = last[2] if last else None
        if last and (s := w - last[0]) @ (y := g - last[1]) > 0:
            b = (s @ y) / (y @ y) * np.eye(len(w)) if b is None else b
            b = bfgs_update(b, s, y)
        last[:] = w, g, b
        return -g if b is None else -(b @ g)
    return direction
