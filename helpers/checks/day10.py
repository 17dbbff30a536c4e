"""Checks of day 10: weighted means, the Metropolis chain, leapfrog, split R-hat."""

import math

import numpy as np


def _call(fn, arguments, what, hint):
    try:
        return fn(*arguments)
    except (ValueError, OverflowError, ZeroDivisionError) as err:
        message = f"{what}: {err}; {hint}"
    raise AssertionError(message)


def _pair(got):
    assert isinstance(got, tuple) and len(got) == 2, f"return two numbers (estimate, effective number), got {got!r}"
    return float(got[0]), float(got[1])


def weighted_mean(fn):
    hint = "take the largest log-weight out before the exponential; a weight of −∞ is simply 0"
    for what, log_weights, values, mean, worth in (
        ("weights 1 and 3", [0.0, math.log(3)], [2.0, 6.0], 5.0, 1.6),
        ("equal weights", [0.7, 0.7, 0.7], [1.0, 2.0, 6.0], 3.0, 3.0),
        ("the same weights a factor e⁻⁵⁰⁰⁰ smaller", [-5000.0, -5000.0 + math.log(3)], [2.0, 6.0], 5.0, 1.6),
        ("the same weights a factor e³⁰⁰⁰ larger", [3000.0, 3000.0 + math.log(3)], [2.0, 6.0], 5.0, 1.6),
        ("a weight of zero", [0.0, -math.inf, 0.0], [1.0, 50.0, 3.0], 2.0, 2.0),
        ("one weight has it all", [0.0, -900.0, -900.0], [4.0, 1.0, 1.0], 4.0, 1.0),
        ("negative values", [0.0, 0.0], [-1.0, 1.0], 0.0, 2.0),
    ):
        got = _pair(_call(fn, (list(log_weights), list(values)), what, hint))
        assert all(math.isfinite(x) for x in got), f"{what}: got {got}; {hint}"
        if not math.isclose(got[0], mean, rel_tol=1e-9, abs_tol=1e-9):
            w = np.exp(np.subtract(log_weights, max(log_weights)))
            assert not math.isclose(got[0], float(np.dot(w, values)) / len(w), rel_tol=1e-9), (
                f"{what}: divide by the sum of the weights, not by their number: the constant is unknown"
            )
            raise AssertionError(f"{what}: the estimate is {mean:g}, got {got[0]:g}")
        assert not math.isclose(got[1], 1 / worth, rel_tol=1e-9) or worth == 1, (
            f"{what}: (Σw)²/Σw², not the other way up: {worth:g} draws, got {got[1]:g}"
        )
        assert math.isclose(got[1], worth, rel_tol=1e-9), (
            f"{what}: the weights are worth {worth:g} draws, got {got[1]:g}; (Σw)²/Σw², weights as for the mean"
        )
    try:
        got = fn([-math.inf, -math.inf], [1.0, 2.0])
    except ValueError as err:
        assert "math domain" not in str(err), "all weights zero: raise ValueError yourself, before a logarithm does"
    except ZeroDivisionError:
        raise AssertionError("all weights zero: say so with ValueError instead of dividing by their sum, 0") from None
    else:
        raise AssertionError(f"every weight is zero, so there is no estimate: raise ValueError; you returned {got}")
    rng = np.random.default_rng(0)
    for _ in range(30):
        n = int(rng.integers(1, 20))
        logs, values = rng.normal(0, 3, n), rng.normal(0, 2, n)
        w = np.exp(logs)
        got = _pair(fn(logs.tolist(), values.tolist()))
        want = float(w @ values / w.sum()), float(w.sum() ** 2 / (w**2).sum())
        assert np.allclose(got, want, rtol=1e-9, atol=1e-9), f"random weights: expected {want}, got {got}"
    return "by hand, shifted by −5,000 and 3,000, zero weights, a single heavy one, thirty random lists"


def _chain(log_p, x, moves, uniforms, kind=""):
    level, out = log_p(x), []
    for move, chance in zip(moves, uniforms, strict=True):
        fresh = log_p(x + move)
        if kind == "greedy":
            yes = fresh > level
        elif kind == "ratio of logs":
            yes = level != 0 and chance < fresh / level
        elif kind == "barker":
            yes = fresh > -math.inf and chance < 1 / (1 + math.exp(min(level - fresh, 700.0)))
        elif kind == "upside down":
            yes = math.log(chance) < level - fresh
        elif kind == "strictly below":
            yes = math.log(chance) < fresh - level
        else:
            yes = math.log(chance) <= fresh - level
        if yes:
            x, level = x + move, fresh
        elif kind == "wanders":
            level = fresh
        if yes or kind != "accepted only":
            out.append(x)
    return out


SLIPS = {
    "accepted only": "a refused step counts the old place once more; yours leaves it out",
    "greedy": "a step downhill is accepted sometimes, with chance p(new)/p(old); yours never does",
    "ratio of logs": "the ratio of densities is exp of the *difference* of the logarithms, not their ratio",
    "barker": "the chance is min(1, p(new)/p(old)); a ratio r above 1 is always accepted, not with r/(1 + r)",
    "upside down": "the ratio is p(new)/p(old); yours is upside down and runs away from the peak",
    "wanders": "after a refusal compare with the place where you still are, not with the refused one",
}


def metropolis(fn):
    rng = np.random.default_rng(1)

    def bell(x):
        return -x * x / 2

    def high(x):
        return 5000 - abs(x) * 3

    def low(x):
        return -8000 - (x - 1) ** 2

    def half(x):
        return -x if x > 0 else -math.inf

    for what, log_p, start in (
        ("a bell", bell, 0.5),
        ("ln p near 5,000", high, 0.0),
        ("ln p near −8,000", low, 3.0),
        ("p = 0 left of 0", half, 0.2),
    ):
        moves = [float(z) for z in rng.normal(0, 1.5, 200)]
        uniforms = [float(u) for u in 1 - rng.random(200)]
        calls = [0]

        def counted(x, log_p=log_p, calls=calls):
            calls[0] += 1
            return log_p(x)

        hint = "compare logarithms; an exponential of thousands overflows"
        got = _call(fn, (counted, start, list(moves), list(uniforms)), what, hint)
        assert isinstance(got, list), f"return a list of places, got {type(got).__name__}"
        want = _chain(log_p, start, moves, uniforms)
        same = len(got) == len(want) and np.allclose(got, want, rtol=1e-12, atol=1e-12)
        for kind, words in SLIPS.items() if not same else ():
            other = _chain(log_p, start, moves, uniforms, kind)
            if len(got) == len(other) and np.allclose(got, other, rtol=1e-12, atol=1e-12):
                raise AssertionError(f"{what}: {words}")
        assert len(got) == len(moves), f"{what}: {len(moves)} moves give {len(moves)} places, got {len(got)}"
        assert same, f"{what}: first wrong place is number {np.argmin(np.isclose(got, want)) + 1}"
        assert calls[0] <= 201, f"{calls[0]} calls of log_p for 200 steps: keep the level of the place where you are"
    up = fn(lambda x: 2 * x, 0.0, [1.0, 1.0], [1.0, 1.0])
    assert np.allclose(up, [1.0, 2.0]), f"uphill is always accepted, even at uniform 1: expected [1, 2], got {up}"
    flat = fn(lambda x: 0.0, 0.0, [1.0], [1.0])
    assert np.allclose(flat, [1.0]), (
        f"a step on the level has chance 1, and a uniform of 1 is not above it: accept; expected [1], got {flat}"
    )
    assert fn(bell, 0.0, [], []) == [], "no moves, no places"
    return "a bell, ln p in the thousands, p = 0, uphill at uniform 1, calls counted"


def _leap(grad, x, m, step, count, kind=""):
    x, m = [float(a) for a in x], [float(b) for b in m]

    def kick(share):
        return [b + share * step * s for b, s in zip(m, grad(list(x)), strict=True)]

    for i in range(count):
        if kind == "euler":
            g = grad(list(x))
            x = [a + step * b for a, b in zip(x, m, strict=True)]
            m = [b + step * s for b, s in zip(m, g, strict=True)]
            continue
        first = {"kick first": 1.0, "no last half": 0.5 if i == 0 else 1.0, "drift first": 0.0}.get(kind, 0.5)
        m = kick(first)
        x = [a + step * b for a, b in zip(x, m, strict=True)]
        m = kick({"kick first": 0.0, "no last half": 0.0, "drift first": 1.0}.get(kind, 0.5))
    return x, m


LEAPS = {
    "euler": "place and momentum are both moved from old values (Euler); each move must use the newest of the other",
    "kick first": "full kicks and drifts in turn are not a palindrome: begin and end with *half* a kick",
    "drift first": "full drifts and kicks in turn are not a palindrome: begin and end with *half* a kick",
    "no last half": "the last half kick is missing: the momentum is half a step behind the place",
}


def leap(fn):
    x, m = fn(lambda x: [-a for a in x], [1.0], [0.0], 0.5, 1)
    assert isinstance(x, list) and isinstance(m, list), "return two lists, place and momentum"
    rng = np.random.default_rng(2)
    for what, grad, d, step, count in (
        ("a bell in three dimensions, ten steps", lambda x: [-a for a in x], 3, 0.2, 10),
        ("a bell, one step of 0.5 from 1 at rest", lambda x: [-a for a in x], 1, 0.5, 1),
        ("p ∝ exp(−x⁴)", lambda x: [-4 * a**3 for a in x], 2, 0.05, 17),
        ("a slope, no curvature", lambda x: [2.0 for _ in x], 2, 0.3, 4),
        ("no step at all", lambda x: [-a for a in x], 2, 0.3, 0),
    ):
        begin = [1.0] if d == 1 else [float(a) for a in rng.normal(size=d)]
        kick = [0.0] if d == 1 else [float(a) for a in rng.normal(size=d)]
        kept, calls = (list(begin), list(kick)), [0]

        def counted(x, grad=grad, calls=calls):
            calls[0] += 1
            return grad(x)

        got, want = fn(counted, begin, kick, step, count), _leap(grad, *kept, step, count)
        assert (begin, kick) == kept, (
            "the lists you were given have changed: copy them, the sampler may need to go back"
        )
        if not np.allclose(got, want, rtol=1e-9, atol=1e-12):
            for kind, words in LEAPS.items():
                if np.allclose(got, _leap(grad, *kept, step, count, kind), rtol=1e-9, atol=1e-12):
                    raise AssertionError(f"{what}: {words}")
            near = np.allclose(got[0], want[0])
            raise AssertionError(
                f"{what}: {'the place is right, the momentum not' if near else 'the place is wrong'}; expected "
                f"{np.round(want, 5).tolist()}, got {np.round(got, 5).tolist()}"
            )
        assert calls[0] <= count + 1, (
            f"{what}: {calls[0]} gradients for {count} steps; the one at the end of a step serves the next"
        )
        back = fn(grad, list(got[0]), [-b for b in got[1]], step, count)
        assert np.allclose(back[0], kept[0], atol=1e-8), f"{what}: with the momentum negated it does not lead back"
    return "one step by hand, three landscapes there and back, a slope, no step, gradients counted"


def _split(chains, split=True, ddof=1, root=True, share=True, keep=False):
    half = len(chains[0]) // 2
    if split:
        cut = len(chains[0]) - half if keep else half
        parts = [part for c in chains for part in (c[:half], c[cut if keep else -half :])]
    else:
        parts = chains
    n = min(len(part) for part in parts)
    within = float(np.mean([np.var(part, ddof=ddof) for part in parts]))
    between = float(np.var([np.mean(part) for part in parts], ddof=ddof))
    if within == 0:
        return 1.0 if between == 0 else math.inf
    value = ((n - 1) / n if share else 1.0) + between / within
    return math.sqrt(value) if root else value


HATS = {
    "cut each chain in half first: a chain that drifts agrees with its like, but not with its own other half": {
        "split": False
    },
    "variances of a sample divide by n − 1, those within the halves and that of their means": {"ddof": 0},
    "the square root is missing: R-hat compares standard deviations": {"root": False},
    "the first term is (n − 1)/n, with n the length of a half, not 1": {"share": False},
}


def split_r_hat(fn):
    rng = np.random.default_rng(3)
    drift = [(np.linspace(0, 3, 20) + rng.normal(0, 0.1, 20)).tolist() for _ in range(3)]
    cases = [("three chains that drift together", drift), ("by hand", [[1.0, 3.0, 2.0, 4.0], [1.0, 3.0, 2.0, 4.0]])]
    cases.append(("an odd length: leave out the middle draw", rng.normal(size=(3, 9)).tolist()))
    for _ in range(20):
        shape = rng.integers((2, 4), (6, 40))
        cases.append(("random", (rng.normal(size=shape) + rng.normal(size=(shape[0], 1))).tolist()))
    for what, chains in cases:
        want = _split(chains)
        got = float(_call(fn, ([list(c) for c in chains],), what, "does every half have the same number of draws?"))
        if not math.isclose(got, want, rel_tol=1e-9):
            for words, slip in HATS.items():
                if math.isclose(got, _split(chains, **slip), rel_tol=1e-9):
                    raise AssertionError(f"{what}: {words}; expected {want:.4f}, got {got:.4f}")
            raise AssertionError(f"{what}: expected {want:.4f}, got {got:.4f}")
    for what, chains, want in (
        ("all draws equal", [[2.0] * 6, [2.0] * 6], 1.0),
        ("two chains stuck in different places", [[1.0] * 6, [2.0] * 6], math.inf),
        ("chains that jump once, at their middle", [[0.0, 0.0, 1.0, 1.0]] * 2, math.inf),
    ):
        with np.errstate(all="ignore"):
            got = float(_call(fn, (chains,), what, "nothing varies within the halves: decide this case by itself"))
        assert got == want, (
            f"{what}: expected {want}, got {got}; nothing varies within the halves, so decide it by itself"
        )
    return "by hand, drifting chains, odd lengths, twenty random sets, chains that are stuck"


def _no_maximum(log_weights, values):
    w = [math.exp(s) for s in log_weights]
    if sum(w) == 0:
        raise ValueError("every weight is zero")
    return sum(a * b for a, b in zip(w, values, strict=True)) / sum(w), sum(w) ** 2 / sum(a * a for a in w)


def _weights(log_weights, values, by="sum", upside=False, refuse=True):
    top = max(log_weights)
    if top == -math.inf:
        if refuse:
            raise ValueError("every weight is zero")
        return 0.0, 0.0
    w = [math.exp(s - top) for s in log_weights]
    total, squares = sum(w), sum(a * a for a in w)
    mean = sum(a * b for a, b in zip(w, values, strict=True)) / (total if by == "sum" else len(w))
    return mean, squares / total**2 if upside else total**2 / squares


def _by_exponential(log_p, x, moves, uniforms):
    level, out = log_p(x), []
    for move, chance in zip(moves, uniforms, strict=True):
        fresh = log_p(x + move)
        if chance < math.exp(fresh) / math.exp(level):
            x, level = x + move, fresh
        out.append(x)
    return out


def _forgetful(log_p, x, moves, uniforms):
    out = []
    for move, chance in zip(moves, uniforms, strict=True):
        if math.log(chance) < log_p(x + move) - log_p(x):
            x += move
        out.append(x)
    return out


def _plain_division(chains):
    half = len(chains[0]) // 2
    parts = np.array([part for c in chains for part in (c[:half], c[-half:])])
    return float(np.sqrt((half - 1) / half + parts.mean(1).var(ddof=1) / parts.var(1, ddof=1).mean()))


WRONG = {
    "weighted_mean": {
        "no maximum taken out": _no_maximum,
        "divides by the number": lambda log_weights, values: _weights(log_weights, values, by="number"),
        "effective number upside down": lambda log_weights, values: _weights(log_weights, values, upside=True),
        "zero when every weight is zero": lambda log_weights, values: _weights(log_weights, values, refuse=False),
    },
    "metropolis": {
        "keeps accepted places only": lambda *a: _chain(*a, kind="accepted only"),
        "only improvements": lambda *a: _chain(*a, kind="greedy"),
        "ratio of logarithms": lambda *a: _chain(*a, kind="ratio of logs"),
        "r over 1 + r": lambda *a: _chain(*a, kind="barker"),
        "ratio upside down": lambda *a: _chain(*a, kind="upside down"),
        "level of the refused place": lambda *a: _chain(*a, kind="wanders"),
        "a uniform equal to the chance is refused": lambda *a: _chain(*a, kind="strictly below"),
        "ratio of exponentials": _by_exponential,
        "evaluates the old place again": _forgetful,
    },
    "leap": {
        "Euler": lambda *a: _leap(*a, kind="euler"),
        "full kick, then drift": lambda *a: _leap(*a, kind="kick first"),
        "drift, then full kick": lambda *a: _leap(*a, kind="drift first"),
        "last half kick left out": lambda *a: _leap(*a, kind="no last half"),
        "two gradients a step": lambda *a: _leap(*a),
    },
    "split_r_hat": {
        "not split": lambda chains: _split(chains, split=False),
        "divides by n": lambda chains: _split(chains, ddof=0),
        "no square root": lambda chains: _split(chains, root=False),
        "1 in place of (n − 1)/n": lambda chains: _split(chains, share=False),
        "divides by zero": _plain_division,
    },
}
