"""Checks of day 07: logsumexp in chunks, one round of EM, the loss of a sure model, Miller–Madow."""

import math
import tracemalloc

import numpy as np


def _survives(call, what):
    try:
        return call()
    except (OverflowError, ValueError) as err:
        message = f"{what}: {err}; take a largest number out before the exponential, and no logarithm of 0"
    raise AssertionError(message)


def running_logsumexp(fn):
    got = fn([[0.0, 0.0], [math.log(2)]])
    assert isinstance(got, float), f"return a float, got {type(got).__name__}"
    assert math.isclose(got, math.log(4)), (
        f"chunks [0, 0] and [ln 2] hold 1 + 1 + 2 = 4, so ln 4 = {math.log(4):.4f}, got {got:.4f}: when the largest "
        "number rises, the sum so far is still in the old unit"
    )
    for what, chunks, want in (
        ("no chunk at all", [], -math.inf),
        ("an empty chunk", [[]], -math.inf),
        ("only −∞", [[-math.inf], [-math.inf, -math.inf]], -math.inf),
        ("−∞ first, then 0", [[-math.inf], [0.0]], 0.0),
        ("an empty chunk between", [[1.0], [], [1.0]], 1 + math.log(2)),
        ("0, then 1,000", [[0.0], [1000.0, 1000.0]], 1000 + math.log(2)),
        ("1,000, then 0", [[1000.0], [0.0]], 1000.0),
        ("−1,000 twice", [[-1000.0], [-1000.0]], -1000 + math.log(2)),
    ):
        got = _survives(lambda chunks=chunks: fn(iter(chunks)), what)
        assert not math.isnan(got), f"{what}: NaN; −∞ − (−∞) is NaN, so wait until a finite number has come"
        assert got == want or math.isclose(got, want, rel_tol=1e-12), f"{what}: expected {want:.4f}, got {got:.4f}"
    rng = np.random.default_rng(0)
    for _ in range(50):
        chunks = [list(map(float, rng.normal(0, 50, rng.integers(0, 6)))) for _ in range(8)]
        want = float(np.logaddexp.reduce([-math.inf, *(s for chunk in chunks for s in chunk)]))
        got = fn(iter(chunks))
        assert math.isclose(got, want, rel_tol=1e-10, abs_tol=1e-10), (
            f"eight random chunks: expected {want:.6f}, got {got:.6f}"
        )
    tracemalloc.start()
    got = fn([float(s) for s in rng.normal(0, 9, 500)] for _ in range(200))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert math.isfinite(got) and peak < 500_000, (
        f"a stream of 100,000 numbers took {peak / 1e6:.1f} MB: you keep what went by, but two numbers are enough"
    )
    return "the example, nothing, −∞ in every place, ±1,000, fifty random streams, memory on a long one"


def _log_density(x, means, variances):
    square = (x[:, None] - means) ** 2 / variances
    return -0.5 * (np.log(2 * np.pi * variances) + square).sum(-1)


def _round(x, weights, means, variances, floor, axis=1, old=False, shares=True, added=False, bare=False):
    with np.errstate(divide="ignore"):
        s = _log_density(x, means, variances) + (np.log(weights) if shares else 0)
    r = np.exp(s - s.max(axis, keepdims=True))
    r = r / r.sum(axis, keepdims=True)
    mass = r.sum(0)
    safe = np.maximum(mass, 1e-300)[:, None]
    new = r.T @ x / safe
    spread = (x[:, None] - (means if old else new)) ** 2
    v = (r[:, :, None] * spread).sum(0) / safe
    return mass / len(x), new, v + floor if added else v if bare else np.maximum(v, floor)


def em_round(fn):
    paper = np.array([[0.0], [1.0], [3.0]])
    start = (np.array([0.5, 0.5]), np.array([[0.0], [2.0]]), np.full((2, 1), 2 / math.log(2)))
    _compare(fn, (paper, *start, 1e-3), "the three points of the text")
    rng = np.random.default_rng(1)
    for n, k, d in ((12, 3, 2), (40, 4, 5), (1, 1, 3), (7, 1, 1)):
        x = rng.normal(size=(n, d))
        weights = rng.dirichlet(np.ones(k))
        arguments = (x, weights, rng.normal(size=(k, d)), rng.uniform(0.5, 2, (k, d)), 0.05)
        _compare(fn, arguments, f"{n} random points in {d} dimensions, {k} components of unequal weight")
    same = np.full((5, 2), 4.0)
    _compare(fn, (same, np.array([0.3, 0.7]), np.array([[3.0, 4], [5, 4]]), np.ones((2, 2)), 0.01), "copies of a point")
    far = (np.array([[200.0], [210.0]]), np.array([0.5, 0.5]), np.array([[0.0], [1.0]]), np.ones((2, 1)), 0.01)
    _compare(fn, far, "points so far away that every density is 0 in float64: compare logarithms, not densities")
    empty = (paper, np.array([1.0, 0.0]), start[1], start[2], 0.01)
    got = fn(*(np.copy(a) if isinstance(a, np.ndarray) else a for a in empty))
    assert all(np.isfinite(part).all() for part in got), "a component of weight 0 gives NaN: its mass is 0"
    assert got[0][1] == 0, f"a component of weight 0 keeps weight 0, got {got[0][1]:g}"
    for name, mine, right in zip(("weight", "mean", "variance"), got, _round(*empty), strict=True):
        assert np.allclose(mine[0], right[0]), f"beside a component of weight 0 the {name} of the other is off"
    return "the text's points, four random shapes, copies, far points, an empty component"


def _compare(fn, arguments, what):
    got = fn(*(np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments))
    want = _round(*arguments)
    assert isinstance(got, tuple) and len(got) == 3, "return three arrays: weights, means, variances"
    for name, a, b in zip(("weights", "means", "variances"), got, want, strict=True):
        assert np.shape(a) == b.shape, f"{what}: {name} have shape {np.shape(a)}, expected {b.shape}"
        assert np.isfinite(a).all(), f"{what}: {name} hold NaN or ∞"
    if all(np.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(got, want, strict=True)):
        return
    for words, slip in SLIPS.items():
        other = _round(*arguments, **slip)
        if all(np.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(got, other, strict=True)):
            raise AssertionError(f"{what}: {words}")
    off = max(float(np.abs(a - b).max()) for a, b in zip(got, want, strict=True))
    raise AssertionError(f"{what}: off by up to {off:.2g}")


SLIPS = {
    "each point's responsibilities must sum to 1 over the components; yours sum to 1 over the points": {"axis": 0},
    "the variance is taken around the old mean; the maximum is around the new one": {"old": True},
    "a component's share belongs into its score; yours ignores the weights": {"shares": False},
    "the floor is a maximum, not something to add": {"added": True},
    "a component on a single point has variance 0 and an infinite density; the floor is missing": {"bare": True},
}


def _exact_loss(logits, label):
    """−ln softmax in decimals of 60 digits."""
    from decimal import Decimal, localcontext

    with localcontext() as ctx:
        ctx.prec = 60
        ctx.Emin, ctx.Emax = -999_999, 999_999
        z = [Decimal(x) for x in logits if x != -math.inf]
        mine = Decimal(logits[label])
        total = sum((one - mine).exp() for one in z)
        return float(total.ln())


def sure_loss(fn):
    for what, logits, label in (
        ("two equal logits", [0.0, 0.0], 0),
        ("an unlikely label", [0.0, 3.0, 1.0], 0),
        ("a loss of 5,000", [5000.0, 0.0], 1),
        ("all logits moved by 1,000", [1000.0, 1001.0, 999.0], 1),
        ("all logits moved by −1,000", [-1000.0, -1001.0], 0),
        ("a label ahead by 20", [20.0, 0.0, -1.0], 0),
        ("a label ahead by 40", [0.0, 40.0, 0.0], 1),
        ("a label ahead by 70", [70.0, 0.0], 0),
        ("a masked class", [1.0, -math.inf, 0.0], 0),
        ("a loss near 5e-20 from three classes", [0.0, -45.0, -46.0, -47.0], 0),
    ):
        got = float(_survives(lambda z=logits, y=label: fn(list(z), y), what))
        want = _exact_loss(logits, label)
        assert math.isfinite(got), (
            f"{what}: got {got}; an exponential overflowed, or a share vanished before its logarithm"
        )
        assert not (got == 0 and want > 0), (
            f"{what}: got 0, the loss is {want:.3g}; 1 + a tiny number rounds to 1, so the tiny sum must never meet 1 "
            "before the logarithm (is there a function for ln(1 + t)?)"
        )
        assert math.isclose(got, want, rel_tol=1e-12), (
            f"{what}: relative error {abs(got / want - 1):.0e}, expected {want:.15g}, got {got:.15g}; where do "
            "the digits of a tiny term go when it is added to 1, or to a large logit?"
        )
    assert fn([3.0], 0) == 0, "with a single class the loss is 0"
    assert fn([0.0, -math.inf], 0) == 0, "if every other class is masked the loss is 0"
    rng = np.random.default_rng(2)
    for _ in range(100):
        logits = [float(z) for z in rng.normal(0, 10, rng.integers(2, 8))]
        label = int(rng.integers(len(logits)))
        got, want = float(fn(logits, label)), _exact_loss(logits, label)
        assert math.isclose(got, want, rel_tol=1e-12), f"random logits: relative error {abs(got / want - 1):.0e}"
    return "losses from 4e-31 to 5,000, shifted, masked, one class, a hundred random lists"


def miller_madow(fn):
    coin = float(fn([5, 5]))
    want = 1 + 1 / (20 * math.log(2))
    assert not math.isclose(coin, 1 - 1 / (20 * math.log(2))), "the counted entropy is too small: add, not subtract"
    assert not math.isclose(coin, 1 + 1 / 20), "(K − 1)/2n is in nats; the whole answer is wanted in bits"
    assert not math.isclose(coin, want * math.log(2)), "the answer is wanted in bits; this is nats"
    assert math.isclose(coin, want), f"counts [5, 5] give {want:.5f} bits, got {coin:.5f}"
    zeros = float(fn([5, 0, 5, 0, 0]))
    assert math.isclose(zeros, want), (
        f"outcomes that were not seen change nothing: [5, 0, 5, 0, 0] is as [5, 5], {want:.5f}, got {zeros:.5f}"
    )
    assert fn([7]) == 0 and fn([0, 7]) == 0, "a single outcome has entropy 0, and nothing to correct"
    assert fn([]) == 0 and fn([0, 0]) == 0, "without an observation return 0"
    rng = np.random.default_rng(3)
    for _ in range(20):
        counts = rng.integers(0, 9, 12).tolist() + [1]
        seen = np.array([c for c in counts if c])
        p = seen / seen.sum()
        want = -(p * np.log2(p)).sum() + (len(seen) - 1) / (2 * seen.sum() * math.log(2))
        assert math.isclose(float(fn(counts)), want, rel_tol=1e-10), f"counts {counts}: expected {want:.5f}"
    return "a coin, unseen outcomes, one outcome, none, twenty random counts"


def _never_rescales(chunks):
    top, total = -math.inf, 0.0
    for chunk in chunks:
        top = max([top, *chunk])
        total += sum(math.exp(s - top) for s in chunk if s > -math.inf)
    return top + math.log(total) if total else -math.inf


def _minus_infinity_twice(chunks):
    top, total = -math.inf, 0.0
    for chunk in chunks:
        new = max([top, *chunk])
        total = total * math.exp(top - new) + sum(math.exp(s - new) for s in chunk)
        top = new
    return top + math.log(total) if total else -math.inf


def _keeps_everything(chunks):
    seen = [s for chunk in chunks for s in chunk]
    return float(np.logaddexp.reduce([-math.inf, *seen]))


def _no_maximum(chunks):
    total = sum(math.exp(s) for chunk in chunks for s in chunk)
    return math.log(total) if total else -math.inf


def _densities(x, weights, means, variances, floor):
    with np.errstate(all="ignore"):
        p = weights * np.exp(_log_density(x, means, variances))
        r = p / p.sum(1, keepdims=True)
        mass = r.sum(0)[:, None]
        new = r.T @ x / mass
        v = (r[:, :, None] * (x[:, None] - new) ** 2).sum(0) / mass
    return r.mean(0), new, np.maximum(v, floor)


def _by_log_softmax(logits, label):
    top = max(logits)
    return top + math.log(sum(math.exp(z - top) for z in logits)) - logits[label]


def _by_share(logits, label):
    top = max(logits)
    share = math.exp(logits[label] - top) / sum(math.exp(z - top) for z in logits)
    return -math.log(share) if share else math.inf


def _by_one_minus(logits, label):
    top = max(logits)
    rest = sum(math.exp(z - top) for j, z in enumerate(logits) if j != label)
    mine = math.exp(logits[label] - top)
    return -math.log1p(-rest / (rest + mine)) if mine else math.inf


def _counted(counts, k=None, sign=1, unit=None):
    seen = [c for c in counts if c]
    n = sum(seen)
    if n == 0:
        return 0.0
    bits = -sum(c / n * math.log2(c / n) for c in seen)
    return bits + sign * ((k or len(seen)) - 1) / (2 * n * (unit or math.log(2)))


WRONG = {
    "running_logsumexp": {
        "the old sum keeps its old unit": _never_rescales,
        "−∞ minus −∞": _minus_infinity_twice,
        "no maximum taken out": _no_maximum,
        "keeps every number": _keeps_everything,
    },
    "em_round": {
        "responsibilities over the points": lambda *a: _round(*a, axis=0),
        "variance around the old mean": lambda *a: _round(*a, old=True),
        "weights left out": lambda *a: _round(*a, shares=False),
        "the floor is added": lambda *a: _round(*a, added=True),
        "no floor": lambda *a: _round(*a, bare=True),
        "gives up beside an empty component": lambda *a: a[1:4] if (a[1] == 0).any() else _round(*a),
        "densities instead of logarithms": _densities,
    },
    "sure_loss": {
        "log_softmax": _by_log_softmax,
        "logarithm of the share": _by_share,
        "one minus the others": _by_one_minus,
    },
    "miller_madow": {
        "counts outcomes that were not seen": lambda counts: _counted(counts, k=len(counts)),
        "subtracts the correction": lambda counts: _counted(counts, sign=-1),
        "adds nats to bits": lambda counts: _counted(counts, unit=1.0),
    },
}
