"""Checks of day 28: windows, walk-forward splits, a leak finder, the Diebold-Mariano statistic, purged folds."""

import math

import numpy as np


def my_windows(fn):
    rng = np.random.default_rng(28)
    for n, width, length in [(1, 1, 1), (7, 2, 3), (12, 1, 5), (30, 4, 30)]:
        x = rng.normal(size=(n, width))
        everything = np.arange(length - 1, n)
        for rows in (everything, everything[::-1], rng.choice(everything, 4)):
            got = np.asarray(fn(x.copy(), rows, length))
            case = f"{n} days, {width} feature(s), length {length}"
            want_shape = (len(rows), length, width)
            assert got.shape == want_shape, f"{case}: the shape is {want_shape}, got {got.shape}"
            for i, t in enumerate(rows):
                last = got[i, -1]
                if t + 1 < n and length > 0 and np.array_equal(last, x[t + 1]):
                    raise AssertionError(f"{case}: row {t}'s window ends on day {t + 1}, which is the answer")
                assert not (t > 0 and np.array_equal(last, x[t - 1])), f"{case}: row {t}'s window ends a day early"
                want = x[t - length + 1 : t + 1]
                backwards = length > 1 and np.array_equal(got[i], want[::-1])
                assert not backwards, f"{case}: oldest first, yours runs from today back"
                assert np.array_equal(got[i], want), (
                    f"{case}: row {t} wants days {t - length + 1} to {t}; is the order of rows kept, and every feature?"
                )
    for rows in ([1, 5], [5, 1]):
        try:
            fn(rng.normal(size=(9, 2)), np.array(rows), 3)
        except ValueError:
            continue
        raise AssertionError(
            "row 1 has only two days of past and length is 3: NumPy's index -1 is the last day of the series, "
            "the far future. Raise a ValueError"
        )
    return "four sizes, rows in any order, and a window that would begin before day 0"


def my_walk_forward(fn):
    for n, train, test, h in [
        (20, 5, 4, 1),
        (23, 6, 5, 3),
        (40, 10, 7, 5),
        (12, 6, 6, 1),
        (13, 6, 3, 5),
        (9, 4, 50, 2),
    ]:
        folds = list(fn(n, train, test, h))
        case = f"n {n}, train {train}, test {test}, labels of {h} day(s)"
        assert folds and all(len(f) == 2 for f in folds), f"{case}: return a list of (train rows, test rows)"
        pairs = [(np.asarray(a), np.asarray(b)) for a, b in folds]
        tested = np.concatenate([b for _, b in pairs])
        assert len(np.unique(tested)) == len(tested), f"{case}: some rows are tested twice"
        for a, b in pairs:
            late = a.max() + h
            assert late <= b[0], (
                f"{case}: the label of training row {a.max()} ends on day {late}, the first test forecast is made "
                f"on day {b[0]}: purge more"
            )
            assert late == b[0], (
                f"{case}: training could reach row {b[0] - h}, whose label ends on day {b[0]}, known by then; "
                f"yours ends at {a.max()}: the purge is larger than needed"
            )
            assert len(a) == train and np.array_equal(a, np.arange(a[0], a[0] + train)), (
                f"{case}: each training block has {train} rows, one after the other; yours has {len(a)}"
            )
        first = train + h - 1
        assert tested[0] == first, f"{case}: the first test row can be {first}, yours is {tested[0]}"
        assert tested[-1] == n - 1, f"{case}: rows {tested[-1] + 1} to {n - 1} are never tested: a short block counts"
        assert np.array_equal(tested, np.arange(first, n)), f"{case}: test blocks leave rows out or change their order"
        assert all(len(b) == test for _, b in pairs[:-1]), f"{case}: only the last block may be shorter than {test}"
    return "six sizes, labels of one to five days, a short last block"


def _honest():
    def trailing(x, k=5):
        return np.array([x[max(0, i - k + 1) : i + 1].mean() for i in range(len(x))])

    def with_gap(x):
        out = np.log(x / np.roll(x, 1))
        out[0] = np.nan
        return out

    return {
        "a log return, NaN on day 0": with_gap,
        "a mean of the last five days": trailing,
        "a share of the highest price so far": lambda x: x / np.maximum.accumulate(x),
        "the price itself": lambda x: x.copy(),
        "all NaN": lambda x: np.full(len(x), np.nan),
    }


def _leaky(day):
    def far_average(x):
        return x / x[0] + 1e-7 * np.tanh(x[-1] / x[0] - 1)

    def restated(x):
        out = x.copy()
        out[day - 3] = x[day + 1]
        return out

    return {
        "the next day's return": lambda x: np.append(np.diff(np.log(x)), np.nan),
        "a return scaled by all days": lambda x: np.diff(np.log(x), prepend=np.log(x[0])) / np.diff(np.log(x)).std(),
        "a share of the all-time high": lambda x: x / x.max(),
        "a share of the all-time low": lambda x: x / x.min(),
        "a hint of the last price, a ten-millionth": far_average,
        "a NaN where tomorrow falls": lambda x: np.where(np.append(x[1:], np.inf) < x, np.nan, x),
        "a price that was restated four days later": restated,
        "a mean of five days, centred": lambda x: np.convolve(np.pad(x, 2, mode="edge"), np.ones(5) / 5, "valid"),
    }


def leaks(fn):
    rng = np.random.default_rng(281)
    up = 100 * np.exp(np.cumsum(rng.normal(0.003, 0.01, 120)))
    for close in (up, up[::-1].copy()):
        peak, trough = int(close[:100].argmax()), int(close[10:100].argmin()) + 10
        for t in sorted({40, 77, max(peak, 20), trough}):
            for name, build in _honest().items():
                got = fn(build, close.copy(), t)
                assert isinstance(got, bool | np.bool_), f"return True or False, got {type(got).__name__}"
                assert not got, (
                    f"{name} uses no later price, and you say it leaks at day {t}: compare days 0 to t only, and count "
                    "NaN equal to NaN"
                )
            for name, build in _leaky(t).items():
                assert fn(build, close.copy(), t), (
                    f"{name}: day {t} or one before it knows a later price. {_hint(name)}"
                )
    return "five honest features, eight that know the future, at peaks and troughs too"


def _hint(name):
    if "high" in name or "low" in name:
        return "Is one of your futures far above, one far below, everything seen?"
    if "NaN" in name:
        return "A value that turns into NaN has changed too."
    return "Compare all days up to t, exactly, without a tolerance."


def referee(fn):
    rng = np.random.default_rng(282)
    for n, h, lags in [(30, 1, 0), (50, 1, 3), (80, 5, 4), (200, 5, 12), (60, 3, 6)]:
        noise = np.convolve(rng.normal(size=n + h - 1), np.ones(h), "valid")
        b = rng.uniform(1, 2, n)
        a = b + noise + 0.3
        d = a - b
        x = d - d.mean()
        gammas = [float(x[k:] @ x[: n - k]) / n for k in range(lags + 1)]
        variance = gammas[0] + 2 * sum((1 - k / (lags + 1)) * gammas[k] for k in range(1, lags + 1))
        factor = math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
        want = factor * d.mean() / math.sqrt(variance / n)
        got = float(fn(a.copy(), b.copy(), h, lags))
        case = f"n {n}, horizon {h}, {lags} lags: expected {want:.4f}, got {got:.4f}"
        assert not math.isclose(got, -want, rel_tol=1e-6), f"{case}. Positive where b is better: d is a - b"
        if not math.isclose(got, want, rel_tol=1e-6):
            plain = d.mean() / math.sqrt(gammas[0] / n)
            boxed = gammas[0] + 2 * sum(gammas[1:])
            hint = "weights 1 - k/(L + 1), each covariance twice, all divided by n"
            if lags and math.isclose(got, plain * factor, rel_tol=1e-3):
                hint = "neighbouring losses are correlated; the lags are not in your variance"
            elif math.isclose(got * factor, want, rel_tol=1e-6):
                hint = "the small-sample factor is missing"
            elif boxed > 0 and math.isclose(got, factor * d.mean() / math.sqrt(boxed / n), rel_tol=1e-6):
                hint = "each lag counts fully: the weights fall, 1 - k/(L + 1)"
            raise AssertionError(f"{case}. Look at: {hint}")
    same = np.ones(20)
    assert float(fn(same, same, 1, 2)) == 0, "equal losses: no difference, return 0"
    return "five sizes against the definition, and equal losses"


def purged_folds(fn):
    for n, k, h, embargo in [(20, 4, 1, 0), (30, 5, 3, 0), (40, 4, 5, 6), (23, 3, 2, 1), (10, 2, 4, 50)]:
        folds = list(fn(n, k, h, embargo))
        case = f"n {n}, {k} folds, labels of {h} day(s), embargo {embargo}"
        assert len(folds) == k, f"{case}: {k} folds, got {len(folds)}"
        for (train, test), want in zip(folds, np.array_split(np.arange(n), k), strict=True):
            a, b = {int(t) for t in train}, [int(t) for t in test]
            assert b == want.tolist(), f"{case}: test blocks are those of np.array_split, in order"
            days = {t + j for t in b for j in range(1, h + 1)}
            clear = {t for t in range(n) if not days & {t + j for j in range(1, h + 1)}}
            assert not (a & set(b)), f"{case}: rows {sorted(a & set(b))} are trained on and tested"
            shared = sorted(a - clear)
            where = "behind" if shared and shared[0] > b[-1] else "before"
            assert not shared, (
                f"{case}: training row {shared[0]} {where} block {b[0]}–{b[-1]} shares a label day with it"
            )
            allowed = {t for t in clear if not b[-1] + h <= t < b[-1] + h + embargo}
            early = sorted(a - allowed)
            assert not early, f"{case}: row {early[0]} lies in the embargo, {embargo} rows after the purged ones"
            lost = sorted(allowed - a)
            assert not lost, f"{case}: row {lost[0]} shares nothing with block {b[0]}–{b[-1]} and could be trained on"
    return "five sizes, both sides of the block, embargo longer than the series too"


def _walk(purge, expand=False, drop_short=False, step=None, from_zero=False):
    def my_walk_forward(n, train, test, horizon):
        gap, folds = purge(horizon), []
        first = train if from_zero else train + gap
        while first < n and not (drop_short and first + test > n):
            begin = 0 if expand else max(first - gap - train, 0)
            folds.append((np.arange(begin, first - gap), np.arange(first, min(first + test, n))))
            first += step(test) if step else test
        return folds

    return my_walk_forward


def _by_futures(factors, tolerance=0.0, only_today=False, with_future=False, nan_equal=True):
    def leaks(build, close, t):
        before = np.asarray(build(close.copy()))
        draw = np.random.default_rng(0)
        for factor in factors:
            other = close.copy()
            other[t + 1 :] = close[t] * factor * np.exp(np.cumsum(draw.normal(0, 0.05, len(close) - t - 1)))
            after = np.asarray(build(other))
            part = slice(None) if with_future else slice(t, t + 1) if only_today else slice(0, t + 1)
            if tolerance:
                if not np.allclose(before[part], after[part], rtol=tolerance, equal_nan=nan_equal):
                    return True
            elif not np.array_equal(before[part], after[part], equal_nan=nan_equal):
                return True
        return False

    return leaks


def _cut_off(build, close, t):
    before = np.asarray(build(close.copy()))[: t + 1]
    return not np.array_equal(before, np.asarray(build(close[: t + 1].copy())), equal_nan=True)


def _ignores_nan(build, close, t):
    before, found = np.asarray(build(close.copy()))[: t + 1], False
    for factor in (10.0, 0.1, 1.0):
        other = close.copy()
        other[t + 1 :] = close[t] * factor
        after = np.asarray(build(other))[: t + 1]
        both = ~np.isnan(before) & ~np.isnan(after)
        found |= bool((before[both] != after[both]).any())
    return found


def _referee(sign=1, weight=lambda k, lags: 1 - k / (lags + 1), corrected=True, twice=2, by=lambda n, k: n):
    def statistic(a, b, horizon, lags):
        d = sign * (np.asarray(a) - np.asarray(b))
        n, h, x = len(d), horizon, d - d.mean()
        total = x @ x / n + twice * sum(
            weight(k, lags) * float(x[k:] @ x[: n - k]) / by(n, k) for k in range(1, lags + 1)
        )
        factor = math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n) if corrected else 1.0
        return factor * d.mean() / math.sqrt(total / n) if total > 0 else 0.0

    return statistic


def _folds(left, right):
    def split(n, k, horizon, embargo):
        rows = np.arange(n)
        return [
            (np.r_[rows[rows <= b[0] - left(horizon, embargo)], rows[rows >= b[-1] + right(horizon, embargo)]], b)
            for b in np.array_split(rows, k)
        ]

    return split


WRONG = {
    "my_windows": {
        "ends yesterday": lambda x, rows, length: np.stack([np.roll(x, 1, 0)[t - length + 1 : t + 1] for t in rows]),
        "ends with the answer": lambda x, rows, length: x[
            np.minimum(np.asarray(rows)[:, None] + np.arange(2 - length, 2), len(x) - 1)
        ],
        "today first": lambda x, rows, length: x[np.asarray(rows)[:, None] - np.arange(length)],
        "wraps around the start": lambda x, rows, length: x[np.asarray(rows)[:, None] + np.arange(1 - length, 1)],
    },
    "my_walk_forward": {
        "no purge": _walk(lambda h: 0),
        "a purge of h rows": _walk(lambda h: h),
        "trains on all the past": _walk(lambda h: h - 1, expand=True),
        "drops the short block": _walk(lambda h: h - 1, drop_short=True),
        "test blocks overlap": _walk(lambda h: h - 1, step=lambda test: max(test // 2, 1)),
        "purges into a smaller block": _walk(lambda h: h - 1, from_zero=True),
    },
    "leaks": {
        "one future, like the past": _by_futures([1.0]),
        "futures that only rise": _by_futures([10.0, 100.0]),
        "a tolerance": _by_futures([10.0, 0.1, 1.0], tolerance=1e-5),
        "only the value of day t": _by_futures([10.0, 0.1, 1.0], only_today=True),
        "compares the future too": _by_futures([10.0, 0.1], with_future=True),
        "NaN is never equal": _by_futures([10.0, 0.1, 1.0], nan_equal=False),
        "cuts the series off": _cut_off,
        "ignores NaN": _ignores_nan,
    },
    "referee": {
        "no covariances": _referee(weight=lambda k, lags: 0.0),
        "every lag fully": _referee(weight=lambda k, lags: 1.0),
        "weights fall to zero at L": _referee(weight=lambda k, lags: 1 - k / max(lags, 1)),
        "no small-sample factor": _referee(corrected=False),
        "the sign turned": _referee(sign=-1),
        "each covariance once": _referee(twice=1),
        "covariances divided by n - k": _referee(by=lambda n, k: n - k),
    },
    "purged_folds": {
        "no purge": _folds(lambda h, e: 1, lambda h, e: 1 + e),
        "purges only before the block": _folds(lambda h, e: h, lambda h, e: 1 + e),
        "embargo on both sides": _folds(lambda h, e: h + e, lambda h, e: h + e),
        "embargo counted from the block's end": _folds(lambda h, e: h, lambda h, e: max(h, 1 + e)),
        "one row too many purged": _folds(lambda h, e: h + 1, lambda h, e: h + 1 + e),
    },
}
