"""Checks of day 32: pairs of a sentence, word2vec's gradient, one rotation, hubs."""

import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F


def skip_gram_pairs(fn):
    cases = [([], 2), (["one"], 3), (["a", "b"], 1), (list("abcdef"), 2), (["so", "so", "good"], 2), (list("abc"), 9)]
    for sentence, window in cases:
        got = fn(list(sentence), window)
        assert isinstance(got, list), f"return a list of pairs, got {type(got).__name__}"
        assert all(isinstance(p, tuple) and len(p) == 2 for p in got), "each element is a pair (centre, context)"
        want = Counter()
        for gap in range(1, window + 1):
            for left, right in zip(sentence, sentence[gap:], strict=False):
                want[left, right] += 1
                want[right, left] += 1
        have = Counter(got)
        if have == want:
            continue
        case = f"sentence {' '.join(sentence)!r}, window {window}"
        missing, extra = want - have, have - want
        if extra:
            pair = next(iter(extra))
            why = "a word is no context of its own place" if pair[0] == pair[1] else "too far apart, or counted twice"
            raise AssertionError(f"{case}: {extra[pair]} × {pair} too many: {why}")
        pair = next(iter(missing))
        hint = (
            "the same word at another place is a context"
            if pair[0] == pair[1]
            else "both sides count, and at the ends fewer neighbours are left, not none"
        )
        raise AssertionError(f"{case}: {missing[pair]} × {pair} missing: {hint}")
    return "six sentences: empty, one word, a repeated word, a window wider than the sentence"


def pair_gradients(fn):
    g = torch.Generator().manual_seed(32)
    for d, k, scale in [(1, 1, 1.0), (4, 3, 1.0), (16, 5, 1.0), (8, 1, 2.0), (64, 20, 0.2)]:
        u, v, fakes = (scale * torch.randn(*s, generator=g, dtype=torch.float64) for s in ((d,), (d,), (k, d)))
        if k == 5:
            fakes[1] = fakes[0]
            fakes[2] = v
        _compare_gradients(fn, u, v, fakes, f"d = {d}, k = {k}")
    u, v, fakes = torch.full((4,), 40.0), torch.full((4,), -40.0), torch.full((2, 4), 40.0)
    got = fn(u, v, fakes)
    assert all(x.isfinite().all() for x in got), "scores of some thousands overflow: exp of what? use torch.sigmoid"
    assert torch.allclose(got[0], -v + 2 * u), "far out, σ is 0 or 1: each pair still pushes with its full error"
    return "five shapes, a repeated fake, a fake equal to the real context, scores of 6,400"


def _compare_gradients(fn, u, v, fakes, case):
    got = fn(u.clone(), v.clone(), fakes.clone())
    assert isinstance(got, tuple) and len(got) == 3, "return three gradients: of u, of v, of the fakes"
    leaves = [x.clone().requires_grad_() for x in (u, v, fakes)]
    loss = -F.logsigmoid(leaves[0] @ leaves[1]) - F.logsigmoid(-(leaves[2] @ leaves[0])).sum()
    want = torch.autograd.grad(loss, leaves)
    for name, a, b in zip(("u", "v", "the fakes"), got, want, strict=True):
        assert isinstance(a, torch.Tensor) and a.shape == b.shape, (
            f"{case}: the gradient of {name} has shape {tuple(b.shape)}, got {tuple(getattr(a, 'shape', ()))}"
        )
        far = (a - b).abs().max().item()
        if far < 1e-9 * (1 + b.abs().max().item()):
            continue
        if torch.allclose(a, -b):
            raise AssertionError(f"{case}: the gradient of {name} points downhill; the gradient points uphill")
        k = len(fakes)
        if name == "the fakes" and k > 1 and torch.allclose(a * k, b):
            raise AssertionError(f"{case}: the fakes are summed in L, not averaged")
        raise AssertionError(
            f"{case}: the gradient of {name} is off by {far:.2g}. For a real pair the error is σ − 1, for a "
            "made-up one σ; each error times the OTHER vector; every fake pushes u once"
        )


def align(fn):
    rng = np.random.default_rng(32)
    for n, d, noise, flip in [(50, 4, 0.0, False), (200, 8, 0.05, True), (30, 1, 0.1, True), (60, 5, 0.5, False)]:
        r = np.linalg.qr(rng.normal(size=(d, d)))[0]
        if (np.linalg.det(r) < 0) != flip:
            r[:, 0] *= -1
        a = rng.normal(size=(n, d)) * np.linspace(0.2, 2, d)
        b = a @ r + noise * rng.normal(size=(n, d))
        got = np.asarray(fn(a.copy(), b.copy()), float)
        case = f"{n} words, d = {d}"
        assert got.shape == (d, d), f"{case}: R is (d, d) = {(d, d)}, got {got.shape}"
        off = np.abs(got.T @ got - np.eye(d)).max()
        assert off < 1e-8, (
            f"{case}: RᵀR differs from the identity by {off:.2g}: your R stretches or shears, so cosines change; "
            "only rotations and reflections are allowed"
        )
        left, _, right = np.linalg.svd(a.T @ b)
        best, mine = np.linalg.norm(a @ (left @ right) - b), np.linalg.norm(a @ got - b)
        if mine > best * (1 + 1e-9) + 1e-9:
            hint = (
                "is a·R = b what your R solves, or a = b·R?"
                if np.linalg.norm(b @ got - a) < 1.01 * best
                else (
                    "is a reflection allowed? An orthogonal matrix may have determinant −1"
                    if flip and np.linalg.det(got) > 0
                    else "which product of two orthogonal matrices makes tr(Rᵀaᵀb) largest?"
                )
            )
            raise AssertionError(f"{case}: ‖aR − b‖ is {mine:.4g}, it can be {best:.4g}: {hint}")
    return "four spaces: exact, noisy, with a reflection, of one dimension"


def hub_counts(fn):
    g = torch.Generator().manual_seed(3)
    for n, d, k in [(5, 2, 1), (40, 6, 3), (100, 16, 10), (12, 3, 11)]:
        x = torch.randn(n, d, generator=g) * (0.1 + 5 * torch.rand(n, 1, generator=g))
        x[0] = 3 * x[1] + 0.05 * torch.randn(d, generator=g)  # nearly one direction (no tie), another length
        if k < n - 1:
            x[-1] = -x[:-1].sum(0)  # points away from the rest: often nobody's neighbour
        if n == 40:
            x[:-1], x[-1] = x[:-1] * 0.05 + torch.ones(d), -torch.ones(d)  # and here certainly
        got = torch.as_tensor(fn(x.clone(), k))
        assert tuple(got.shape) == (n,), (
            f"one count per row: shape {(n,)}, got {tuple(got.shape)}; a row in nobody's list has the count 0"
        )
        assert got.sum() == n * k, (
            f"n = {n}, k = {k}: the counts add up to {int(got.sum())}; n lists of k places give {n * k}"
        )
        want = _hubs(x, k)
        if not torch.equal(got.long(), want):
            own = _hubs(x, k, own=True)
            dots = _hubs(x, k, cosine=False)
            hint = "compare directions: some rows are long, and a dot product favours them"
            if torch.equal(got.long(), own):
                hint = "a row is its own nearest neighbour and takes a place in its own list"
            elif (got == k).all():
                hint = "you count the places in each row's own list (always k); count in whose lists a row stands"
            elif not torch.equal(got.long(), dots):
                hint = "in how many OTHER rows' lists of k nearest, by cosine, does each row stand?"
            raise AssertionError(f"n = {n}, k = {k}: {hint}")
    return "four tables, with rows of very different lengths"


def _hubs(x, k, own=False, cosine=True):
    if cosine:
        x = F.normalize(x, dim=1)
    sims = x @ x.T
    if not own:
        sims.fill_diagonal_(-math.inf)
    return sims.topk(k).indices.flatten().bincount(minlength=len(x))


def _shorter(x, k):
    x = F.normalize(x, dim=1)
    return (x @ x.T).fill_diagonal_(-math.inf).topk(k).indices.flatten().bincount()


def _slice_pairs(sentence, window):
    return [(w, c) for i, w in enumerate(sentence) for c in sentence[i - window : i] + sentence[i + 1 : i + window + 1]]


def _by_word(sentence, window):
    n = len(sentence)
    return [
        (sentence[i], sentence[j])
        for i in range(n)
        for j in range(max(0, i - window), min(n, i + window + 1))
        if sentence[i] != sentence[j]
    ]


def _window(low, high, own=False):
    def pairs(sentence, window):
        n = len(sentence)
        return [
            (sentence[i], sentence[j])
            for i in range(n)
            for j in range(max(0, i - window if low else i), min(n, i + window + high))
            if own or i != j
        ]

    return pairs


def _gradients(real=-1.0, mean=False, sign=1.0, naive=False, swapped=False):
    def gradients(u, v, fakes):
        sigma = (lambda x: x.exp() / (1 + x.exp())) if naive else torch.sigmoid
        r, f = sigma(u @ v) + real, sigma(fakes @ u)
        if mean:
            f = f / len(fakes)
        if swapped:
            return r * u + f @ fakes, r * v, f[:, None] * u
        return sign * (r * v + f @ fakes), sign * r * u, sign * f[:, None] * u

    return gradients


def _last_fake_only(u, v, fakes):
    r, f = torch.sigmoid(u @ v) - 1, torch.sigmoid(fakes @ u)
    return r * v + f[-1] * fakes[-1], r * u, f[:, None] * u


def _proper(a, b):
    left, _, right = np.linalg.svd(a.T @ b)
    sign = np.ones(len(left))
    sign[-1] = np.sign(np.linalg.det(left @ right))
    return left * sign @ right


def _back(a, b):
    left, _, right = np.linalg.svd(b.T @ a)
    return left @ right


def _not_transposed(a, b):
    left, _, right = np.linalg.svd(a.T @ b)
    return left @ right.T


WRONG = {
    "skip_gram_pairs": {
        "slices that wrap round at the start": _slice_pairs,
        "the word itself is a context": _window(True, 1, own=True),
        "the right side only": _window(False, 1),
        "one place short on the right": _window(True, 0),
        "compares words instead of places": _by_word,
    },
    "pair_gradients": {
        "the real pair's error without − 1": _gradients(real=0.0),
        "the mean over the fakes": _gradients(mean=True),
        "downhill": _gradients(sign=-1.0),
        "exp over 1 + exp": _gradients(naive=True),
        "each error times its own vector": _gradients(swapped=True),
        "one fake pushes u": _last_fake_only,
    },
    "align": {
        "least squares": lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0],
        "turns b to a": _back,
        "rotations only, no reflection": _proper,
        "the right factor transposed once more": _not_transposed,
    },
    "hub_counts": {
        "counts itself": lambda x, k: _hubs(x, k, own=True),
        "dot products": lambda x, k: _hubs(x, k, cosine=False),
        "places in its own list": lambda x, k: torch.full((len(x),), k),
        "no count for the last rows": _shorter,
        "one neighbour too many": lambda x, k: _hubs(x, min(k + 1, len(x) - 1)) if k + 1 < len(x) else _hubs(x, k - 1),
    },
}
