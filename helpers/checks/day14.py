"""Checks of day 14: bytes of state, AdamW's step, the polar factor by products, and a convex trap for Adam."""

import math

import numpy as np

SHAPES = [[(7, 5)], [(7, 5), (5,), ()], [(3, 4, 6), (0, 4), (9, 1)], [(2, 3, 4, 5), (11,)], []]


def state_size(fn):
    for shapes in SHAPES:
        for optimiser in ("sgd", "momentum", "adagrad", "adamw", "amsgrad", "muon", "adafactor"):
            want, got = _size(shapes, optimiser), fn([*shapes], optimiser)
            said = f"{optimiser} on {shapes}: expected {want} bytes, got {got}; "
            if got == want:
                continue
            if got * 4 == want:
                raise AssertionError(said + "a float32 has four bytes")
            if optimiser == "muon":
                raise AssertionError(said + "what does Muon leave to AdamW, and what does AdamW keep for each?")
            if optimiser == "adafactor":
                raise AssertionError(said + "a matrix keeps rows + columns; a stack of matrices does so for each one")
            raise AssertionError(said + "how many means of the tensor's size does it keep? (a shape () holds 1 number)")
    return f"seven optimisers, {len(SHAPES)} lists of shapes, among them (), empty and stacked ones"


def _size(shapes, optimiser, wrong=""):
    total = 0
    for shape in shapes:
        n = math.prod(shape)
        if optimiser == "adafactor" and len(shape) >= 2:
            *stack, rows, cols = shape
            total += (rows + cols) if wrong == "stack" else math.prod(stack) * (rows + cols)
        elif optimiser == "muon":
            total += n * (1 if len(shape) == 2 or wrong == "all" else 2)
        elif optimiser == "amsgrad" and wrong == "two":
            total += 2 * n
        else:
            total += n * {"sgd": 0, "momentum": 1, "adagrad": 1, "adamw": 2, "amsgrad": 3, "adafactor": 1}[optimiser]
    return 4 * total


def adamw_step(fn):
    import torch

    rng = np.random.default_rng(2)
    cases = [
        ("plain", (0.9, 0.999, 1e-8, 0.0)),
        ("a large eps (is it added outside the root, after the correction?)", (0.9, 0.999, 0.3, 0.0)),
        ("weight decay (decoupled, times the learning rate, of the old w)", (0.9, 0.99, 1e-8, 0.3)),
        ("no first mean", (0.0, 0.95, 1e-8, 0.1)),
    ]
    for name, (b1, b2, eps, decay) in cases:
        w = rng.normal(size=5)
        m, v = np.zeros(5), np.zeros(5)
        p = torch.tensor(w, requires_grad=True)
        opt = torch.optim.AdamW([p], lr=0.1, betas=(b1, b2), eps=eps, weight_decay=decay)
        for t in range(1, 31):
            lr = opt.param_groups[0]["lr"] = 0.1 if t < 10 else 0.02
            g = rng.normal(size=5) * (rng.random(5) < 0.8)
            given = [x.copy() for x in (w, g, m, v)]
            out = fn(w, g, m, v, t, lr, b1, b2, eps, decay)
            assert isinstance(out, tuple) and len(out) == 3, "return three things: the new w, m and v"
            same = all(np.array_equal(a, b) for a, b in zip(given, (w, g, m, v), strict=True))
            assert same, "w, g, m or v was changed in place"
            w, m, v = out
            p.grad = torch.tensor(g)
            opt.step()
            gap = np.abs(w - p.detach().numpy()).max()
            hint = "; at t = 1 the corrected means are g and g² themselves" if t == 1 else ""
            assert gap < 1e-12, f"{name}: differs from torch.optim.AdamW by {gap:.1g} at step {t}{hint}"
            for mine, name_of in ((m, "exp_avg"), (v, "exp_avg_sq")):
                kept = np.abs(mine - opt.state[p][name_of].numpy()).max()
                assert kept < 1e-12, f"{name}: w is right, but the m and v to keep are the uncorrected means"
    return "four settings, 30 steps each, beside torch.optim.AdamW"


def polar(fn):
    rng = np.random.default_rng(3)
    for shape, scale, rank in (((4, 4), 1, 4), ((9, 3), 1e6, 3), ((3, 9), 1e-6, 3), ((1, 5), 1, 1), ((6, 5), 1, 2)):
        u, _ = np.linalg.qr(rng.normal(size=(shape[0], rank)))
        v, _ = np.linalg.qr(rng.normal(size=(shape[1], rank)))
        x = scale * (u * np.geomspace(1, 1e-4, rank)) @ v.T
        given = x.copy()
        with np.errstate(all="ignore"):
            got = np.asarray(fn(x))
        assert np.array_equal(x, given), "x was changed in place"
        assert got.shape == shape, f"expected the shape {shape}, got {got.shape}"
        assert np.isfinite(got).all(), (
            f"shape {shape}, size {scale:g}: not finite; bring every σ below √3 before you start"
        )
        gap = np.abs(got - u @ v.T).max()
        if rank < min(shape):
            assert gap < 1e-6, (
                f"rank {rank} of {min(shape)}: off by {gap:.1g}; a singular value of 0 is to stay 0; what grows there?"
            )
        assert gap < 1e-6, (
            f"shape {shape}, size {scale:g}, smallest σ 1e-4 of the largest: off by {gap:.1g}; more rounds?"
        )
    x = rng.normal(size=(30, 30))
    u, _, vt = np.linalg.svd(x)
    with np.errstate(all="ignore"):
        gap = np.abs(fn(x) - u @ vt).max()
    assert gap < 1e-6, f"a random 30 × 30 matrix: off by {gap:.1g}; is what you divide by at least the largest σ?"
    assert np.array_equal(fn(np.zeros((2, 3))), np.zeros((2, 3))), "the zero matrix stays zero"
    return "square, tall, wide, huge, tiny, rank-deficient and zero matrices"


def _polar(x, rounds=40, by="norm"):
    size = {"norm": np.linalg.norm(x), "largest entry": np.abs(x).max(), "none": 1.0}[by]
    x = x / size if size > 0 else x
    for _ in range(rounds):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x


def _svd_polar(x):
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    return u @ vt if s[0] > 0 else x * 0


def adam_trap(fn):
    for beta2 in (0.5, 0.9, 0.97, 0.99):
        gradients = [float(g) for g in fn(beta2)]
        most = 20 / (1 - beta2)
        assert 0 < len(gradients) <= most + 1e-6, (
            f"beta2 = {beta2}: {len(gradients)} gradients, 1 to {most:.0f} allowed"
        )
        mean = sum(gradients) / len(gradients)
        assert mean > 0, f"beta2 = {beta2}: the mean gradient is {mean:.3g}; it must be positive, so that w should fall"
        laps = max(40, math.ceil(40 / (1 - beta2) / len(gradients)))
        w, v, t, marks = 0.0, 0.0, 0, []
        for _ in range(laps):
            for g in gradients:
                t += 1
                v = beta2 * v + (1 - beta2) * g * g
                w -= 0.01 * g / (math.sqrt(v / (1 - beta2**t)) + 1e-8)
            marks.append(w)
        drift = marks[-1] - marks[len(marks) // 2]
        assert drift > 0, (
            f"beta2 = {beta2}: over the later laps w moves by {drift:.3g}, as it should; "
            "a large gradient is damped only by the v it makes itself: how long until v has forgotten it?"
        )
    return "beta2 of 0.5, 0.9, 0.97 and 0.99: positive means on which Adam climbs"


def _adamw(w, g, m, v, t, lr, beta1, beta2, eps, decay, wrong):
    if wrong == "inside":
        g = g + decay * w
        decay = 0.0
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    mean, square = m / (1 - beta1**t), v / (1 - beta2**t)
    if wrong == "no correction":
        mean, square = m, v
    step = lr * mean / (np.sqrt(square + eps) if wrong == "eps" else np.sqrt(square) + eps)
    if wrong == "after":
        return (w - step) * (1 - lr * decay), m, v
    if wrong == "bare":
        return w * (1 - decay) - step, m, v
    if wrong == "corrected state":
        return w * (1 - lr * decay) - step, mean, square
    return w * (1 - lr * decay) - step, m, v


WRONG = {
    "state_size": {
        "Muon everywhere": lambda shapes, o: _size(shapes, o, "all"),
        "amsgrad like AdamW": lambda shapes, o: _size(shapes, o, "two"),
        "one row and column for a whole stack": lambda shapes, o: _size(shapes, o, "stack"),
        "numbers, not bytes": lambda shapes, o: _size(shapes, o) // 4,
    },
    "adamw_step": {
        "no bias correction": lambda *a: _adamw(*a, wrong="no correction"),
        "eps inside the root": lambda *a: _adamw(*a, wrong="eps"),
        "decay through the gradient": lambda *a: _adamw(*a, wrong="inside"),
        "decay after the step": lambda *a: _adamw(*a, wrong="after"),
        "decay without the learning rate": lambda *a: _adamw(*a, wrong="bare"),
        "corrected means kept": lambda *a: _adamw(*a, wrong="corrected state"),
    },
    "polar": {
        "not normalised": lambda x: _polar(x, by="none"),
        "divided by the largest entry": lambda x: _polar(x, by="largest entry"),
        "five rounds": lambda x: _polar(x, rounds=5),
        "two hundred rounds, to be sure": lambda x: _polar(x, rounds=200),
        "U Vᵀ of the SVD": _svd_polar,
    },
    "adam_trap": {
        "period of three whatever beta2": lambda beta2: [3.0, -1.0, -1.0],
        "negative mean": lambda beta2: [1.0] + [-1.0] * round(8 / (1 - beta2)),
        "too long a wait": lambda beta2: [1e6] + [-1.0] * round(50 / (1 - beta2)),
        "one memory long": lambda beta2: [2.0 + round(0.3 / (1 - beta2))] + [-1.0] * round(0.3 / (1 - beta2)),
    },
}
