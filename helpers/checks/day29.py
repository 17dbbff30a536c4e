"""Checks of day 29: what a calibration set promises, adaptive levels, the best of noise, Clark and West's test."""

import math

import numpy as np
from scipy import stats


def promise(fn):
    for n, alpha in [(99, 0.1), (19, 0.1), (9, 0.1), (9, 0.2), (504, 0.1), (39, 0.05), (199, 0.01), (1, 0.5)]:
        got = fn(n, alpha)
        assert isinstance(got, tuple) and len(got) == 3, "return three things: (k, mean, low)"
        k, mean, low = got
        rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)
        case = f"n = {n}, alpha = {alpha}"
        assert k is not None, f"{case}: the {rank}-th of {n} scores exists, so a finite interval keeps the promise"
        assert k == rank, f"{case}: with rank {k} the average coverage is {k}/{n + 1} = {k / (n + 1):.3f}, " + (
            "less than promised: the new day is one of n + 1" if k < rank else "more than needed"
        )
        assert abs(mean - rank / (n + 1)) < 1e-9, (
            f"{case}: the new score's rank among n + 1 is uniform, so the average coverage is k/(n + 1) = "
            f"{rank / (n + 1):.4f}, got {mean:.4f}"
        )
        want = stats.beta.ppf(0.05, rank, n + 1 - rank)
        assert abs(low - want) < 1e-6, (
            f"{case}: one set in twenty covers less than {want:.4f}, got {low:.4f}: the 5 % point of Beta(k, n + 1 - k)"
        )
    for n, alpha in [(8, 0.1), (18, 0.05), (0, 0.1)]:
        got = fn(n, alpha)
        assert got[0] is None and got[1:] == (1.0, 1.0), (
            f"n = {n}, alpha = {alpha}: rank {math.ceil((n + 1) * (1 - alpha) - 1e-9)} of {n} scores does not exist; "
            "only an infinite interval keeps the promise: (None, 1.0, 1.0)"
        )
    return "eight sizes, among them 9 days at 10 %, and three that are too small"


def _adaptive(scores, calibration, alpha, gamma):
    ranked, level, misses, levels = np.sort(np.asarray(calibration, float)), alpha, [], []
    for s in scores:
        k = math.ceil((len(ranked) + 1) * (1 - level) - 1e-9)
        wide = math.inf if k > len(ranked) else ranked[k - 1] if k > 0 else -math.inf
        misses.append(bool(s > wide))
        levels.append(level)
        level += gamma * (alpha - misses[-1])
    return np.array(misses), np.array(levels)


def my_adaptive(fn):
    rng = np.random.default_rng(29)
    nine = np.array([5.0, -3, 1, -2, 0, 2, 1, -1, -2])
    cases = [
        ("five days by hand", [3.0, 3, 0, 6, 0], nine, 0.2, 0.1),
        ("a score equal to the radius is covered", [2.0, 2, 2], nine, 0.2, 0.05),
        ("all far outside", np.full(60, 99.0), nine, 0.2, 0.1),
        ("all far inside", np.full(120, -99.0), nine, 0.2, 0.1),
        ("noise", rng.standard_normal(400), rng.standard_normal(50), 0.1, 0.03),
        ("a storm", np.r_[rng.standard_normal(50), 9 * rng.standard_normal(50)], rng.standard_normal(99), 0.1, 0.02),
        ("one calibration day", rng.standard_normal(30), np.array([0.0]), 0.5, 0.2),
    ]
    for name, scores, calibration, alpha, gamma in cases:
        before = np.array(calibration, copy=True)
        got = fn(np.array(scores, float), np.array(calibration), alpha, gamma)
        assert isinstance(got, tuple) and len(got) == 2, "return (misses, levels)"
        misses, levels = np.asarray(got[0]), np.asarray(got[1], float)
        want = _adaptive(scores, before, alpha, gamma)
        assert misses.shape == levels.shape == want[0].shape, (
            f"{name}: {len(want[0])} scores give as many misses and levels; the level after the last day is not used"
        )
        assert misses.dtype == bool, "misses are booleans"
        assert abs(levels[0] - alpha) < 1e-12, f"{name}: the first day's level is alpha, got {levels[0]:.3f}"
        if not np.allclose(levels, want[1], atol=1e-9) or (misses != want[0]).any():
            t = int(np.argmax((misses != want[0]) | (np.abs(levels - want[1]) > 1e-9)))
            assert t == 0 or misses[t - 1] != want[0][t - 1] or np.isclose(levels[t], want[1][t]), (
                f"{name}, day {t}: after a {'miss' if want[0][t - 1] else 'hit'} at level {want[1][t - 1]:.3f} the "
                f"next level is {want[1][t]:.3f}, got {levels[t]:.3f}: "
                + (
                    "a miss lowers it by gamma (1 - alpha), a hit raises it by gamma alpha"
                    if 0 <= want[1][t] <= 1
                    else "do not clip: the step beyond 0 or 1 is what the proof needs"
                )
            )
            raise AssertionError(
                f"{name}, day {t}: score {float(scores[t]):.2f} at level {want[1][t]:.3f} is "
                f"{'a miss' if want[0][t] else 'covered'}: rank ⌈(n + 1)(1 - level)⌉, infinite above n, empty below 1"
            )
    return "seven series: by hand, ties, all outside, all inside, noise, a storm, one calibration day"


def best_of_noise(fn):
    for trials, years in [(2, 1.0), (2, 4.0), (1, 1.0), (10, 1.0), (200, 5.0), (1000, 5.0), (44, 24.85), (100000, 2.0)]:
        x = np.linspace(-12, 12, 200001)
        want = np.trapezoid(1 - stats.norm.cdf(x[x > 0]) ** trials, x[x > 0])
        want = (want - np.trapezoid(stats.norm.cdf(x[x <= 0]) ** trials, x[x <= 0])) / math.sqrt(years)
        got = float(fn(trials, years))
        case = f"{trials} trials, {years} years"
        assert abs(got - want) <= 0.01 * abs(want) + 1e-3, f"{case}: {_noise_hint(got, want, trials, years)}"
    return "one trial to a hundred thousand"


def _euler(trials, years):
    if trials < 2:
        return 0.0
    tail = stats.norm.ppf(1 - np.array([1, 1 / math.e]) / trials)
    return float((tail[0] + np.euler_gamma * (tail[1] - tail[0])) / math.sqrt(years))


def _noise_hint(got, want, trials, years):
    near = {
        "the √(2 ln N) rule holds only for very many trials": math.sqrt(2 * math.log(trials)) / math.sqrt(years),
        "the quantile at 1 - 1/N is not the mean of the largest": (
            stats.norm.ppf(1 - 1 / trials) / math.sqrt(years) if trials > 1 else math.nan
        ),
        "the formula with Euler's constant is for many trials, with few it is over 1 % off": _euler(trials, years),
        "years enter as 1/√years": want * math.sqrt(years),
        "one year more halves nothing: 1/√years, not 1/years": want / math.sqrt(years),
    }
    for hint, value in near.items():
        if abs(value - want) > 1e-6 and abs(got - value) < 1e-3 + 0.005 * abs(value):
            return f"got {got:.3f}: {hint}"
    return f"expected {abs(want):.3f}, got {got:.3f}: the largest of N is below x with chance Φ(x)^N; take its mean"


def clark_west(fn):
    rng = np.random.default_rng(2029)
    for n in (50, 400, 2000):
        y = rng.standard_normal(n)
        small, large = np.full(n, 0.03), 0.2 * rng.standard_normal(n) + 0.1 * y
        f = (y - small) ** 2 - ((y - large) ** 2 - (small - large) ** 2)
        got = fn(y.copy(), small.copy(), large.copy())
        assert isinstance(got, tuple) and len(got) == 2, "return (mean of f, t)"
        mean, t = float(got[0]), float(got[1])
        plain = ((y - small) ** 2 - (y - large) ** 2).mean()
        assert abs(mean - plain) > 1e-9, (
            f"n = {n}: the mean is the plain difference of squared errors; add (small - large)² back"
        )
        assert abs(mean - (plain - ((small - large) ** 2).mean())) > 1e-9, (
            f"n = {n}: the correction has the wrong sign: the larger model's noise is forgiven, not charged twice"
        )
        assert abs(mean - f.mean()) < 1e-9, f"n = {n}: mean of f {f.mean():.5f} expected, got {mean:.5f}"
        want = math.sqrt(n) * f.mean() / f.std()
        assert abs(t - want) < 0.01 * abs(want), f"n = {n}: t = {want:.3f} expected, got {t:.3f}" + (
            ": √n is missing" if abs(t * math.sqrt(n) - want) < 0.02 * abs(want) else ": √n · mean / deviation of f"
        )
    y = rng.standard_normal(30)
    got = fn(y, np.zeros(30), np.zeros(30))
    assert got[0] == 0 and got[1] == 0, "two equal forecasts: mean 0 and t = 0, no NaN"
    return "three lengths, and two equal forecasts"


def _promise_n(n, alpha):
    k = math.ceil(n * (1 - alpha))
    return k, k / (n + 1), float(stats.beta.ppf(0.05, k, n + 1 - k))


def _promise_nominal(n, alpha):
    k = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    return (k, 1 - alpha, float(stats.beta.ppf(0.05, k, n + 1 - k))) if k <= n else (None, 1.0, 1.0)


def _promise_largest(n, alpha):
    k = min(math.ceil((n + 1) * (1 - alpha) - 1e-9), n)
    return k, k / (n + 1), float(stats.beta.ppf(0.05, k, n + 1 - k))


def _levels(update, used_after=False, strict=True):
    def wrong(scores, calibration, alpha, gamma):
        ranked, level, misses, levels = np.sort(calibration), alpha, [], []
        for s in scores:
            k = math.ceil((len(ranked) + 1) * (1 - level) - 1e-9)
            wide = math.inf if k > len(ranked) else ranked[k - 1] if k > 0 else -math.inf
            misses.append(bool(s > wide if strict else s >= wide))
            old, level = level, update(level, alpha, gamma, misses[-1])
            levels.append(level if used_after else old)
        return np.array(misses), np.array(levels)

    wrong.__name__ = "my_adaptive"
    return wrong


def _move(level, alpha, gamma, miss):
    return level + gamma * (alpha - miss)


def _numpy_quantile(scores, calibration, alpha, gamma):
    level, misses, levels = alpha, [], []
    for s in scores:
        misses.append(bool(s > np.quantile(calibration, min(max(1 - level, 0), 1))))
        levels.append(level)
        level += gamma * (alpha - misses[-1])
    return np.array(misses), np.array(levels)


WRONG = {
    "promise": {
        "rank of n instead of n + 1": _promise_n,
        "average coverage is the nominal one": _promise_nominal,
        "the largest score instead of an infinite interval": _promise_largest,
    },
    "my_adaptive": {
        "a miss narrows": _levels(lambda level, alpha, gamma, miss: level - gamma * (alpha - miss)),
        "clipped to 0 and 1": _levels(lambda *a: min(max(_move(*a), 0.0), 1.0)),
        "levels after the day, not those used": _levels(_move, used_after=True),
        "a tie is a miss": _levels(_move, strict=False),
        "numpy's quantile, never infinite": _numpy_quantile,
    },
    "best_of_noise": {
        "the rule for very many": lambda trials, years: math.sqrt(2 * math.log(trials) / years),
        "a quantile for a mean": lambda trials, years: stats.norm.ppf(1 - 1 / max(trials, 1.5)) / math.sqrt(years),
        "the formula with Euler's constant": _euler,
        "years without the root": lambda trials, years: (
            np.diff(stats.norm.cdf(np.linspace(-9, 9, 9001)) ** trials) @ np.linspace(-9, 9, 9000) / years
        ),
    },
    "clark_west": {
        "plain difference": lambda y, a, b: (
            float(((y - a) ** 2 - (y - b) ** 2).mean()),
            float(math.sqrt(len(y)) * ((y - a) ** 2 - (y - b) ** 2).mean() / ((y - a) ** 2 - (y - b) ** 2).std()),
        ),
        "noise charged twice": lambda y, a, b: (float(((y - a) ** 2 - (y - b) ** 2 - (a - b) ** 2).mean()), 0.0),
        "no root of n": lambda y, a, b: (
            float(((y - a) ** 2 - (y - b) ** 2 + (a - b) ** 2).mean()),
            float(
                ((y - a) ** 2 - (y - b) ** 2 + (a - b) ** 2).mean()
                / max(((y - a) ** 2 - (y - b) ** 2 + (a - b) ** 2).std(), 1e-300)
            ),
        ),
    },
}
