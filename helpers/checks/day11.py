"""Checks of day 11: permuted medians, Holm, a test that may be watched, a bound for planned looks, users needed."""

import math
import statistics
from itertools import combinations

import numpy as np

LOW, HIGH = 1.959963984540054, 0.8416212335729143  # quantiles 0.975 and 0.8 of the Gaussian


def _namings(a, b, centre=statistics.median, sign=1, strict=False, slack=1e-9, signed=False):
    both = list(a) + list(b)
    seen = centre(a) - centre(b)
    gaps = []
    for chosen in combinations(range(len(both)), len(a)):
        rest = [both[i] for i in range(len(both)) if i not in chosen]
        gaps.append(centre([both[i] for i in chosen]) - centre(rest))
    if signed:
        return sum(gap >= seen - slack for gap in gaps) / len(gaps)
    limit = abs(seen) + (slack if strict else -slack)
    return sum(abs(gap) > limit if strict else abs(gap) >= limit for gap in gaps) / len(gaps)


def median_p(fn):
    rng = np.random.default_rng(0)
    cases = [
        ("six, seven, nine and one, eight", [6.0, 7.0, 9.0], [1.0, 8.0]),
        ("the builds of the text", [5.0, 7.0, 9.0], [1.0, 2.0, 3.0]),
        ("the same, exchanged", [1.0, 2.0, 3.0], [5.0, 7.0, 9.0]),
        ("equal values", [4.0, 4.0], [4.0, 4.0, 4.0]),
        ("one against one", [1.0], [2.0]),
        ("tenths, which round", [0.1, 0.7, 0.1], [0.3, 0.6, 0.4]),
        ("an outlier", [0.0, 1.0, 90.0], [2.0, 3.0, 4.0]),
    ]
    for _ in range(12):
        n, m = (int(k) for k in rng.integers(1, 5, 2))
        cases.append(("random integers", rng.integers(0, 5, n).astype(float).tolist(), rng.random(m).round(1).tolist()))
    for what, a, b in cases:
        got, want = float(fn(list(a), list(b))), _namings(a, b)
        assert 0 < got <= 1, f"{what}: p = {got:g}; the naming you saw is one of all, so p is above 0 and at most 1"
        for words, slip in (
            ("more extreme than seen is not enough: *at least as* extreme counts", {"strict": True}),
            ("two-sided: a difference of the other sign is as extreme", {"signed": True}),
            ("equal differences came out unequal by rounding: allow for 1e-9", {"slack": 0.0}),
            ("this is the p of the means; the task compares medians", {"centre": statistics.fmean}),
        ):
            assert not (math.isclose(got, _namings(a, b, **slip)) and not math.isclose(want, got)), f"{what}: {words}"
        assert math.isclose(got, want), f"{what} {a} and {b}: expected {want:.4f}, got {got:.4f}"
    return "the builds, exchanged, all equal, one against one, tenths, an outlier, twelve random pairs"


def _holm(p, steps=True, clip=True, running=True, sort_back=True, bh=False):
    m = len(p)
    order = sorted(range(m), key=lambda i: p[i])
    out, ordered, highest = [0.0] * m, [], 0.0
    for rank, i in enumerate(order):
        q = p[i] * ((m / (rank + 1) if bh else m - rank) if steps else m)
        highest = max(highest, q) if running else q
        ordered.append(min(highest, 1.0) if clip else highest)
        out[i] = ordered[-1]
    return out if sort_back else ordered


def holm_list(fn):
    rng = np.random.default_rng(1)
    cases = [[0.01, 0.04, 0.03], [0.02, 0.02, 0.02], [0.03], [0.6, 0.7, 0.8], [0.0, 1.0], [0.04, 0.011, 0.012, 0.013]]
    cases += [(rng.random(int(rng.integers(2, 12))) ** 2).tolist() for _ in range(20)]
    for p in cases:
        before = list(p)
        got, want = [float(q) for q in fn(before)], _holm(p)
        assert before == p, "the list you were given has changed: work on a copy"
        assert len(got) == len(p), f"{len(p)} p-values in, {len(got)} out"
        if np.allclose(got, want, rtol=1e-10, atol=1e-14):
            continue
        for words, slip in (
            ("sorted order; give each answer the place of its p-value", {"sort_back": False}),
            ("an adjusted p-value above 1", {"clip": False}),
            ("a larger p may not get a smaller adjusted one: keep the largest so far", {"running": False}),
            ("every p is multiplied by m: that is Bonferroni; the next needs only m − 1", {"steps": False}),
            ("multiplied by m/k: that is on the way to Benjamini–Hochberg", {"bh": True}),
        ):
            assert not np.allclose(got, _holm(p, **slip)), f"{[round(q, 3) for q in p]}: {words}"
        raise AssertionError(f"{[round(q, 3) for q in p]}: expected {np.round(want, 4).tolist()}, got {got}")
    assert list(fn([])) == [], "an empty list has an empty answer"
    return "six cases on paper, twenty random lists, none at all"


def _watched(sa, na, sb, nb, tau, running=True, root=True, pooled=True, squared=True, cap=True, empty=False):
    out, lowest = [], 1.0 if cap else math.inf
    for s0, n0, s1, n1 in zip(sa, na, sb, nb, strict=True):
        p = 1.0
        if empty:
            n0, n1 = max(n0, 1), max(n1, 1)
        if min(n0, n1) > 0 and 0 < s0 + s1 < n0 + n1:
            pool = (s0 + s1) / (n0 + n1)
            p0, p1 = s0 / n0, s1 / n1
            v = pool * (1 - pool) * (1 / n0 + 1 / n1) if pooled else p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1
            if v > 0:
                t2 = tau**2 if squared else tau
                grow = (p1 - p0) ** 2 / (2 * v) * t2 / (v + t2)
                shrink = 0.5 * math.log1p(t2 / v) if root else 0.0
                p = math.exp(shrink - grow)
        p = min(p, 1.0) if cap else p
        lowest = min(lowest, p) if running else p
        out.append(lowest)
    return out


def watched_p(fn):
    rng = np.random.default_rng(2)
    cases = [
        ("12 and 28 of 100", [12], [100], [28], [100], 0.1),
        ("no trial, one arm, all alike, then some", [0, 0, 5, 9], [0, 4, 5, 20], [0, 0, 5, 18], [0, 0, 5, 20], 0.2),
        ("evidence that comes and goes", [5, 50, 100], [100, 200, 300], [25, 55, 101], [100, 200, 300], 0.1),
        ("an arm without a trial beside 990 of 1,000", [0, 0], [0, 0], [990, 1985], [1000, 2000], 0.5),
        ("only failures", [0, 0], [10, 20], [0, 0], [10, 20], 0.1),
        ("an arm without a success", [0, 0], [50, 100], [6, 20], [50, 100], 0.1),
    ]
    for share in (0.5, 0.1, 0.02):
        draws = rng.binomial([[40], [10]], [[share], [2 * share]], (2, 60)).cumsum(1).tolist()
        looks = np.arange(1, 61)
        trials = [(k * looks).tolist() for k in (40, 10)]
        cases.append((f"60 looks at {share:g}", draws[0], trials[0], draws[1], trials[1], share))
    for what, *arguments in cases:
        try:
            got = [float(p) for p in fn(*arguments)]
        except ZeroDivisionError:
            message = f"{what}: divided by zero; before both arms have trials and both outcomes, there is no evidence"
        else:
            message = ""
        assert not message, message
        want = _watched(*arguments)
        assert len(got) == len(want), f"{what}: {len(want)} looks in, {len(got)} p-values out"
        if np.allclose(got, want, rtol=1e-9, atol=0):
            continue
        for words, slip in (
            ("a p-value above 1: evidence below 1 counts as 1", {"cap": False}),
            ("an arm without a trial is not an arm with one failure: there is no evidence yet", {"empty": True}),
            ("your p rises again; once Λ has reached a height, that counts for ever", {"running": False}),
            ("the square root in front is missing: the price of not knowing the difference", {"root": False}),
            ("under the null both arms have one share: pool the two for the variance", {"pooled": False}),
            ("τ is a standard deviation; the formula wants its square", {"squared": False}),
        ):
            assert not np.allclose(got, _watched(*arguments, **slip), rtol=1e-9, atol=0), f"{what}: {words}"
        k = int(np.argmax(~np.isclose(got, want, rtol=1e-9, atol=0)))
        raise AssertionError(f"{what}, look {k + 1}: expected {want[k]:.6f}, got {got[k]:.6f}")
    return "one look, no evidence, evidence that fades, no success, three canaries of sixty looks"


def _any_alarm(looks, bound, nodes=160):
    """Chance that |z| exceeds ``bound`` at one of ``looks`` evenly spaced looks, Gaussian, nothing differing."""
    unit, weight = np.polynomial.legendre.leggauss(nodes)
    x, w = unit * bound, weight * bound
    alive = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    for k in range(2, looks + 1):
        y = unit * bound * math.sqrt(k)
        alive = np.exp(-((y[:, None] - x) ** 2) / 2) @ (w * alive) / math.sqrt(2 * math.pi)
        x, w = y, weight * bound * math.sqrt(k)
    return 1 - float(w @ alive)


def peeking_bound(fn):
    cases = ((1, 0.05), (2, 0.05), (5, 0.05), (10, 0.05), (5, 0.01), (3, 0.2))
    for looks, alpha in cases:
        got = float(fn(looks, alpha))
        alarms, what = _any_alarm(looks, got), f"{looks} looks, alpha {alpha:g}"
        slips = {name: wrong(looks, alpha) for name, wrong in WRONG["peeking_bound"].items()} if looks > 1 else {}
        for words, slip in slips.items():
            assert abs(got - slip) > 1e-6, f"{what}: {got:.4f} makes {alarms:.2%} false alarms; {words}"
        assert got > 0 and _any_alarm(looks, got - 1.1e-5) >= alpha >= _any_alarm(looks, got + 1.1e-5), (
            f"{what}: {got:.5f} makes {alarms:.3%} false alarms, not {alpha:.0%}; "
            f"{'raise' if alarms > alpha else 'lower'} the bound"
        )
    default = float(fn(4))
    assert abs(_any_alarm(4, default) - 0.05) < 1e-5, "default: alpha 0.05"
    return "one to ten looks, three alphas, the default, by integration"


def _one_tail(looks, alpha):
    low, high = 0.01, 8.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _any_alarm(looks, middle) > 2 * alpha else (low, middle)
    return high


def _quantile(tail):
    from scipy import stats

    return float(stats.norm.isf(tail))


def users_needed(fn):
    from scipy import stats

    for base, lift, alpha, power in (
        (0.1, 0.02, 0.05, 0.8),
        (0.1, -0.02, 0.05, 0.8),
        (0.5, 0.1, 0.01, 0.9),
        (0.003, 0.003, 0.05, 0.8),
        (0.2, 0.01, 0.1, 0.95),
    ):
        got = fn(base, lift, alpha, power)
        assert isinstance(got, int), f"return a whole number of users (an int), got {type(got).__name__}"
        other = base + lift
        both = base * (1 - base) + other * (1 - other)
        reach = stats.norm.ppf(power)
        z2 = (stats.norm.ppf(1 - alpha / 2) + reach) ** 2
        exact = z2 * both / lift**2
        what = f"{base:g} and {other:g}, alpha {alpha:g}, power {power:g}"
        one_sided = math.ceil((stats.norm.ppf(1 - alpha) + reach) ** 2 * both / lift**2)
        assert got != one_sided, f"{what}: two-sided, so each tail has only half of alpha"
        assert got != math.ceil(exact / 2), f"{what}: a difference has the variance of both arms, not of one on average"
        base_only = math.ceil(z2 * 2 * base * (1 - base) / lift**2)
        assert got != base_only, f"{what}: the second arm has a variance of its own share"
        assert got != math.ceil(stats.norm.ppf(1 - alpha / 2) ** 2 * both / lift**2), (
            f"{what}: this many find it every second time; the power is missing"
        )
        assert got != math.floor(exact), f"{what}: rounded down, the power stays below {power:g}; round up"
        assert got == math.ceil(exact), f"{what}: expected {math.ceil(exact):,}, got {got:,}"
    assert fn(0.1, 0.02) == math.ceil((LOW + HIGH) ** 2 * (0.09 + 0.1056) / 0.0004), "defaults: alpha 0.05, power 0.8"
    return "up and down, three alphas, rare events, the defaults"


def _users(base, lift, alpha=0.05, power=0.8, sides=2, variances="both", whole=math.ceil, reach=True):
    from scipy import stats

    other = base + lift
    both = base * (1 - base) + other * (1 - other)
    used = {"both": both, "mean": both / 2, "base": 2 * base * (1 - base)}[variances]
    z = stats.norm.ppf(1 - alpha / sides) + (stats.norm.ppf(power) if reach else 0)
    return whole(z**2 * used / lift**2)


WRONG = {
    "median_p": {
        "strictly more extreme": lambda a, b: _namings(a, b, strict=True),
        "one-sided": lambda a, b: _namings(a, b, signed=True),
        "means": lambda a, b: _namings(a, b, centre=statistics.fmean),
        "no allowance for rounding": lambda a, b: _namings(a, b, slack=0.0),
    },
    "holm_list": {
        "Bonferroni": lambda p: _holm(p, steps=False),
        "may fall again": lambda p: _holm(p, running=False),
        "sorted answers": lambda p: _holm(p, sort_back=False),
        "above one": lambda p: _holm(p, clip=False),
    },
    "watched_p": {
        "no running minimum": lambda *a: _watched(*a, running=False),
        "no square root": lambda *a: _watched(*a, root=False),
        "unpooled variance": lambda *a: _watched(*a, pooled=False),
        "tau not squared": lambda *a: _watched(*a, squared=False),
        "above one": lambda *a: _watched(*a, cap=False),
        "an empty arm divided by one": lambda *a: _watched(*a, empty=True),
    },
    "peeking_bound": {
        "each look keeps the whole of alpha, so the alarms add up": lambda k, a=0.05: _quantile(a / 2),
        "Bonferroni counts one lucky streak at every look: too strict": lambda k, a=0.05: _quantile(a / 2 / k),
        "looks that share users are not independent": lambda k, a=0.05: _quantile((1 - (1 - a) ** (1 / k)) / 2),
        "two-sided: half of alpha in each tail": lambda k, a=0.05: _one_tail(k, a),
    },
    "users_needed": {
        "one-sided": lambda *a: _users(*a, sides=1),
        "one variance": lambda *a: _users(*a, variances="mean"),
        "the base's variance twice": lambda *a: _users(*a, variances="base"),
        "no power": lambda *a: _users(*a, reach=False),
        "rounded down": lambda *a: _users(*a, whole=math.floor),
    },
}
