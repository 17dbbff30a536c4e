"""Checks of day 12: the edge of stability, PyTorch's SGD step, the loss at which SGD rests, adaptive restart."""

import math

import numpy as np


def _turned(rng, eig):
    q = np.linalg.qr(rng.normal(size=(len(eig), len(eig))))[0]
    return (q * np.asarray(eig, dtype=float)) @ q.T


def largest_rate(fn):
    rng = np.random.default_rng(0)
    cases = [np.array([[4.0]]), _turned(rng, [0, 0, 3]), _turned(rng, [1, 7, 7]), _turned(rng, [0.1, 1, 20, 50])]
    for hess in cases:
        top = np.linalg.eigvalsh(hess)[-1]
        for beta in (0.0, 0.5, 0.9):
            for nesterov in (False, True):
                want = 2 * (1 + beta) / (1 + 2 * beta * nesterov) / top
                got = fn(hess.copy(), beta, nesterov)
                if math.isclose(got, want, rel_tol=1e-8):
                    continue
                said = f"L = {top:.3g}, momentum {beta}, nesterov={nesterov}: expected {want:.4g}, got {got:.4g}; "
                if not math.isclose(got * top, 2) or beta == 0:
                    if nesterov and math.isclose(got, 2 * (1 + beta) / top, rel_tol=1e-8):
                        raise AssertionError(
                            said + "that is the heavy ball's edge; Nesterov's matrix has another trace"
                        )
                    if beta == 0:
                        raise AssertionError(said + "the steepest eigenvector decides, not a sum over entries")
                    raise AssertionError(said + "set z = -1 in z² - (trace) z + det and solve for the rate")
                raise AssertionError(said + "2/L is right without momentum only; where is a root -1?")
    assert fn(np.zeros((2, 2)), 0.9, False) == math.inf, "nothing moves on the zero matrix: every rate is stable"
    return "four Hessians, three momenta, both methods, and the zero matrix"


def sgd_step(fn):
    import torch

    rng = np.random.default_rng(1)
    cases = [
        ("plain", (0.0, 0.0, False, 0.0)),
        ("weight decay", (0.0, 0.0, False, 0.1)),
        ("momentum under a changing learning rate", (0.9, 0.0, False, 0.0)),
        ("dampening (what is the first velocity?)", (0.9, 0.3, False, 0.0)),
        ("weight decay with momentum (the velocity sees the decay too)", (0.9, 0.0, False, 0.1)),
        ("Nesterov (g + momentum · new v)", (0.9, 0.0, True, 0.0)),
        ("everything", (0.5, 0.0, True, 0.2)),
    ]
    for name, (beta, tau, nest, lam) in cases:
        w = rng.normal(size=4)
        p, v = torch.tensor(w, requires_grad=True), None
        sgd = torch.optim.SGD([p], lr=0.1, momentum=beta, dampening=tau, nesterov=nest, weight_decay=lam)
        for k in range(30):
            lr = sgd.param_groups[0]["lr"] = 0.1 if k < 10 else 0.02
            g = rng.normal(size=4)
            old, given, was = w, g.copy(), w.copy()
            kept = None if v is None else (v, np.array(v))
            out = fn(w, given, v, lr, beta, tau, nest, lam)
            assert isinstance(out, tuple) and len(out) == 2, "return two things: the new w and the new v"
            w, v = out
            assert np.array_equal(old, was) and np.array_equal(given, g), "w or g was changed in place"
            assert kept is None or np.array_equal(*kept), "v was changed in place"
            p.grad = torch.tensor(g)
            sgd.step()
            gap = np.abs(w - p.detach().numpy()).max()
            assert gap < 1e-12, f"{name}: differs from torch.optim.SGD by {gap:.1g} at step {k + 1}"
        assert beta or v is None, "without momentum there is no velocity: return None"
    return "seven combinations of options, 30 steps each, beside torch.optim.SGD"


def resting_loss(fn):
    import scipy.linalg

    rng = np.random.default_rng(2)
    for n, lr, batch in ((1, 0.1, 1), (2, 0.05, 4), (3, 0.18, 2), (5, 0.19, 32)):
        hess = _turned(rng, np.linspace(1, 10, n))
        a = rng.normal(size=(n, n))
        noise = a @ a.T
        step = np.eye(n) - lr * hess
        want = np.trace(hess @ scipy.linalg.solve_discrete_lyapunov(step, lr**2 * noise / batch)) / 2
        got = fn(hess.copy(), noise.copy(), lr, batch)
        if math.isclose(got, want, rel_tol=1e-8):
            continue
        for words, tempting in WRONG["resting_loss"].items():
            if math.isclose(got, tempting(hess, noise, lr, batch), rel_tol=1e-8):
                raise AssertionError(f"n = {n}, lr {lr}, batch {batch}: expected {want:.4g}, got {got:.4g}; {words}")
        raise AssertionError(f"n = {n}, lr {lr}, batch {batch}: expected {want:.4g}, got {got:.4g}; solve for V first")
    assert fn(np.diag([1.0, 10.0]), np.eye(2), 0.21, 8) == math.inf, "beyond the edge the variance grows without end"
    edge = fn(np.diag([1.0, 8.0]), np.eye(2), 0.25, 8)
    assert edge == math.inf, f"at the edge, lr·h = 2, nothing shrinks and the variance has no end: inf, got {edge:.4g}"
    return "four Hessians with unrelated noise against a Lyapunov solver, and beyond the edge"


def restarted(fn):
    h = np.geomspace(1, 1e4, 30)
    calls = [0]

    def grad(w):
        calls[0] += 1
        return h * w

    w = np.ones(30)
    out = fn(grad, w, 1e-4, 3)
    assert np.array_equal(w, np.ones(30)), "the start was changed in place"
    assert calls[0] == 3, f"three steps cost three gradients, yours took {calls[0]}"
    assert np.shape(out) == (30,), "return the last w', of the start's shape"
    x = np.array([1.0])
    for k, want in ((1, 0.9), (2, 0.81)):
        got = fn(lambda w: w, x, 0.1, k)
        assert np.allclose(got, want), f"f = x²/2 from 1 at rate 0.1: after {k} steps {want}, got {got[0]:.6g}"
    got, want = fn(lambda w: w, x, 0.1, 3)[0], _restart(lambda w: w, x, 0.1, 3)[0]
    assert math.isclose(got, want), f"after three steps {want:.6g}, got {got:.6g}: the velocity is (t - 1)/t' (w' - w)"
    left = np.linalg.norm(fn(grad, np.ones(30), 1e-4, 4000)) / 30**0.5
    assert left < 1e-6, (
        f"4,000 steps at κ = 10,000 leave {left:.0e} of the start, restarts leave less than 1e-6: "
        "when the step points uphill, is t set back to 1 and the velocity dropped?"
    )
    got, want = (f(lambda w: h * w, np.ones(30), 1e-4, 700) for f in (fn, _restart))
    assert np.allclose(got, want, rtol=1e-6, atol=1e-9), (
        "after 700 steps you are elsewhere: on a restart t becomes 1 AND y is w', and the test uses the gradient at y"
    )
    return "three steps by hand, 4,000 steps at κ = 10,000, gradients counted"


def _restart(grad, w, lr, steps, test=True, drop=True):
    y, t = w, 1.0
    for _ in range(steps):
        g = grad(y)
        new = y - lr * g
        if test and (g * (new - w)).sum() > 0:
            t = 1.0
            y = new if drop else new + 0.9 * (new - w)
        else:
            later = (1 + math.sqrt(1 + 4 * t * t)) / 2
            y, t = new + (t - 1) / later * (new - w), later
        w = new
    return w


def _plain(grad, w, lr, steps):
    for _ in range(steps):
        w = w - lr * grad(w)
    return w


def _step(w, g, v, lr, momentum, dampening, nesterov, decay, wrong):
    pull = decay * w
    g = g if wrong == "decay" else g + pull
    if momentum == 0:
        return w - lr * (g + pull if wrong == "decay" else g), None
    scale = lr if wrong == "inside" else 1.0
    fresh = scale * g if v is None and wrong != "first" else (1 - dampening) * scale * g
    v = fresh if v is None else momentum * v + fresh
    move = scale * g + momentum * v if nesterov else v
    if wrong == "decay":
        move = move + pull
    return w - (move if wrong == "inside" else lr * move), v


def _noise(hessian, noise, lr, batch, wrong):
    h, q = np.linalg.eigh(hessian)
    along = np.diag(noise) if wrong == "axes" else np.diag(q.T @ noise @ q)
    room = 2.0 if wrong == "small" else 2 - lr * h
    share = batch**2 if wrong == "batch" else batch
    return float((lr * along / (2 * share * room)).sum()) if lr * h[-1] < 2 else math.inf


def _edge(hessian, momentum, nesterov, wrong):
    top = np.trace(hessian) if wrong == "trace" else np.linalg.eigvalsh(hessian)[-1]
    if top <= 0:
        return math.inf
    if wrong == "plain":
        return 2 / top
    return 2 * (1 + momentum) / (1 + 2 * momentum * (nesterov and wrong != "same")) / top


WRONG = {
    "largest_rate": {
        "2/L whatever the momentum": lambda a, b, n: _edge(a, b, n, "plain"),
        "Nesterov like the heavy ball": lambda a, b, n: _edge(a, b, n, "same"),
        "the trace in place of the largest eigenvalue": lambda a, b, n: _edge(a, b, n, "trace"),
    },
    "sgd_step": {
        "the learning rate inside the velocity": lambda *a: _step(*a, wrong="inside"),
        "the first velocity dampened": lambda *a: _step(*a, wrong="first"),
        "decay beside the velocity": lambda *a: _step(*a, wrong="decay"),
    },
    "resting_loss": {
        "the limit of small rates, 2 in place of 2 - lr·h": lambda *a: _noise(*a, wrong="small"),
        "the noise is needed along the eigenvectors, not along the axes": lambda *a: _noise(*a, wrong="axes"),
        "averaging B examples divides the variance by B, not by its square": lambda *a: _noise(*a, wrong="batch"),
    },
    "restarted": {
        "never restarts": lambda grad, w, lr, steps: _restart(grad, w, lr, steps, test=False),
        "plain descent": _plain,
        "keeps a velocity on restart": lambda grad, w, lr, steps: _restart(grad, w, lr, steps, drop=False),
    },
}
