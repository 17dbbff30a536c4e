"""Built in day 12, Gradient descent: ``runner taught`` copies it from day12_gradient_descent.ipynb."""

import numpy as np


def update(w, g, state, lr, momentum=0.0, dampening=0.0,
           nesterov=False, decay=0.0):
    """One step of SGD in PyTorch's convention; state keeps v."""
    g = g + decay * w
    if momentum:
        if "v" in state:
            state["v"] = momentum * state["v"] + (1 - dampening) * g
        else:
            state["v"] = g                   # the first one undampened
        g = g + momentum * state["v"] if nesterov else state["v"]
    return w - lr * g


def descend(grad, w, steps, **options):
    """The path of `update` from w, shape (steps + 1, *w.shape)."""
    state, path = {}, [w]
    for _ in range(steps):
        path.append(update(path[-1], grad(path[-1]), state, **options))
    return np.array(path)


def radius(h, lr, momentum=0.0, nesterov=False):
    """Largest factor per step over the curvatures h, any shape."""
    h = np.asarray(h, dtype=float)
    shrink = 1 - lr * h
    trace = (1 + momentum) * shrink if nesterov else shrink + momentum
    det = momentum * shrink if nesterov else momentum
    root = np.sqrt(trace**2 - 4 * det + 0j)
    return max(abs(trace + root).max(), abs(trace - root).max()) / 2


def tuned(m, top):
    """Options of descent, heavy ball and Nesterov for m ≤ h ≤ top."""
    a, b = np.sqrt(m), np.sqrt(top)
    q = (b - a) / (b + a)
    return {"plain": dict(lr=2 / (m + top)),
            "heavy ball": dict(lr=4 / (a + b)**2, momentum=q**2),
            "Nesterov": dict(lr=1 / top, momentum=q, nesterov=True)}


def floor(h, lr, sigma2, batch, momentum=0.0):
    """Expected excess loss of SGD at rest, heavy ball included."""
    plus = 1 + momentum
    each = plus / (2 * plus - lr * np.asarray(h, dtype=float))
    return lr * sigma2 / (2 * batch * (1 - momentum)) * each.sum()
