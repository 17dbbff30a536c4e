"""Checks of day 01: a stopwatch on a clock we hold, the rows to the ridge, a sum in any order."""

import math
import random
from fractions import Fraction


def _scripted(laps):
    """A function that moves a clock by the given laps, the clock, and a counter of calls."""
    state = {"t": 1000.0, "calls": 0}

    def fn():
        state["t"] += laps[min(state["calls"], len(laps) - 1)]
        state["calls"] += 1

    return fn, lambda: state["t"], state


def median_time(fn):
    work, clock, state = _scripted([100.0, 1.0, 1.0, 1.0])
    got = fn(work, 3, clock)
    assert isinstance(got, int | float), f"return a number of seconds, got {type(got).__name__}"
    assert got > 0.5, (
        f"got {got:.3g} where each lap takes 1 s on the clock that was given: read the clock right before and right "
        "after each call, and read that one, not one of your own"
    )
    calls = state["calls"]
    assert calls == 4, f"repeats=3 means one warm-up and three timed calls, 4 in all; fn ran {calls} times"
    assert got < 50, f"the first call takes 100 s, the others 1 s; got {got:.4g}: leave the warm-up out"
    for laps, want, words in (
        ([9.0, 1.0, 1.0, 1.0, 1.0, 50.0], 1.0, "one lap of five took 50 s; a mean is drawn towards it"),
        ([9.0, 3.0, 1.0, 2.0, 8.0, 9.0], 3.0, "the laps were 3, 1, 2, 8, 9; sort them before you take the middle"),
        ([9.0, 4.0, 1.0, 3.0, 2.0], 2.5, "four laps 4, 1, 3, 2: for an even number the middle two are averaged"),
        ([1.0, 9.0, 5.0, 7.0], 7.0, "the warm-up is the FIRST call, even when it is not the slowest; laps 9, 5, 7"),
        ([9.0, 7.0], 7.0, "a single lap is its own median"),
        ([9.0, 1.0, 1.0, 5.0, 5.0, 5.0], 5.0, "the least lap is what is possible, not what is usual"),
    ):
        work, clock, _ = _scripted(laps)
        got = fn(work, len(laps) - 1, clock)
        assert math.isclose(got, want), f"expected {want}, got {got:.4g}: {words}"
    return "warm-up, call count, outliers, odd and even numbers, on a clock that only fn moves"


def _intensity(b, k, n, s):
    return Fraction(2 * b * k * n, s * (b * k + k * n + b * n))


def rows_to_ridge(fn):
    got = fn(4096, 4096, 2, 100.0, 1.0)
    assert got is not None, "4096 × 4096 in 2 bytes does reach a ridge of 100 FLOP per byte"
    assert got != 100, "100 counts the matrix only: reading the rows and writing the result move bytes too"
    assert got != 222, "222 forgets that each pair is a multiplication AND an addition, two FLOP"
    assert got != 103, "103 leaves out the bytes of the rows you read, or those of the result you write; both move"
    assert isinstance(got, int) and not isinstance(got, bool), f"rows are whole: return an int, got {got!r}"
    never = fn(64, 64, 2, 100.0, 1.0)
    assert never is None, (
        "64 × 64 in 2 bytes never gets beyond 32 FLOP per byte, however many rows, and the ridge is at 100: "
        f"return None, got {never}"
    )
    rng = random.Random(1)
    for _ in range(300):
        k, n, s = rng.choice([16, 100, 512, 4096]), rng.choice([8, 300, 4096, 11008]), rng.choice([1, 2, 4])
        peak, bandwidth = rng.randint(1, 400), rng.randint(1, 8)
        got, target = fn(k, n, s, float(peak), float(bandwidth)), Fraction(peak, bandwidth)
        case = f"k={k}, n={n}, s={s}, ridge {float(target):.4g}"
        if Fraction(2 * k * n, s * (k + n)) <= target:
            assert got is None, f"{case}: no number of rows reaches it, so None; got {got}"
            continue
        assert got is not None and got >= 1, f"{case}: a number of rows reaches it, at least 1; got {got}"
        assert _intensity(got, k, n, s) >= target, (
            f"{case}: {got} rows reach only {float(_intensity(got, k, n, s)):.5g} FLOP per byte: round up, not down"
        )
        assert got == 1 or _intensity(got - 1, k, n, s) < target, f"{case}: {got} rows are enough, but fewer are too"
    return "300 random layers against the definition, among them such as never reach the ridge"


def sum_any_order(fn):
    rng = random.Random(2)
    cases = [
        ([], "the empty list sums to 0"),
        ([0.1] * 10, "ten times 0.1 is 1.0 after ONE rounding; adding step by step rounds nine times"),
        ([1e16, 1.0, -1e16], "the 1 is lost when it meets 1e16: the rounding must come last"),
        ([1.0, 1e100, 1.0, -1e100], "the exact sum is 2; a running compensation forgets what 1e100 swallowed"),
        ([2.0**-1074, 1.0, -1.0], "the smallest float of all survives an exact sum"),
        ([1.0, 2.0**-53, 2.0**-200], "1 + 2^-53 lies half way between two floats, and only the tiny third decides"),
    ]
    for _ in range(20):
        xs = [rng.gauss(0, 1) * 2.0 ** rng.randint(-60, 60) for _ in range(50)]
        cases.append((xs, "fifty numbers of very different size; the result is not the float nearest to the exact sum"))
    for xs, words in cases:
        want = float(sum(map(Fraction, xs), Fraction(0)))
        for _ in range(4):
            got = fn(list(xs))
            assert isinstance(got, float | int), f"return a float, got {type(got).__name__}"
            assert got == want, f"expected {want!r}, got {got!r}: {words}"
            rng.shuffle(xs)
    return "26 lists in four orders each, to the last bit"


def _mean(fn, repeats, clock):
    fn()
    before = clock()
    for _ in range(repeats):
        fn()
    return (clock() - before) / repeats


def _cold(fn, repeats, clock):
    laps = []
    for _ in range(repeats):
        before = clock()
        fn()
        laps.append(clock() - before)
    return sorted(laps)[repeats // 2]


def _drops_the_slowest(fn, repeats, clock):
    laps = []
    for _ in range(repeats + 1):
        before = clock()
        fn()
        laps.append(clock() - before)
    laps = sorted(laps)[:-1]
    return (laps[(repeats - 1) // 2] + laps[repeats // 2]) / 2


def _laps(fn, repeats, clock):
    fn()
    laps = []
    for _ in range(repeats):
        before = clock()
        fn()
        laps.append(clock() - before)
    return sorted(laps)


def _own_clock(fn, repeats, clock):
    from time import perf_counter

    return _laps(fn, repeats, perf_counter)[repeats // 2]


def _one_flop(k, n, s, peak, bandwidth):
    gain = k * n * bandwidth - peak * s * (k + n)
    return None if gain <= 0 else max(1, math.ceil(peak * s * k * n / gain))


def _matrix_only(k, n, s, peak, bandwidth):
    return math.ceil(peak / bandwidth * s / 2)


def _writes_nothing(k, n, s, peak, bandwidth):
    gain = 2 * n * bandwidth - peak * s
    return None if gain <= 0 else max(1, math.ceil(peak * s * n / gain))


def _rounds_down(k, n, s, peak, bandwidth):
    gain = 2 * k * n * bandwidth - peak * s * (k + n)
    return None if gain <= 0 else max(1, math.floor(peak * s * k * n / gain))


def _always_some(k, n, s, peak, bandwidth):
    gain = 2 * k * n * bandwidth - peak * s * (k + n)
    return max(1, math.ceil(peak * s * k * n / gain)) if gain else 1


def _kahan(xs):
    total = lost = 0.0
    for x in xs:
        y = x - lost
        t = total + y
        total, lost = t, (t - total) - y
    return total


def _largest_first(xs):
    total = lost = 0.0
    for x in sorted(xs, key=abs, reverse=True):
        t = total + x
        lost += (total - t) + x if abs(total) >= abs(x) else (x - t) + total
        total = t
    return total + lost


WRONG = {
    "median_time": {
        "the mean of all calls": _mean,
        "no warm-up": _cold,
        "the least": lambda fn, repeats, clock: _laps(fn, repeats, clock)[0],
        "upper middle of an even number": lambda fn, repeats, clock: _laps(fn, repeats, clock)[repeats // 2],
        "another clock": _own_clock,
        "leaves out the slowest, not the first": _drops_the_slowest,
    },
    "rows_to_ridge": {
        "counts the matrix only": _matrix_only,
        "rounds down": _rounds_down,
        "the result is written for nothing": _writes_nothing,
        "always finds some": _always_some,
        "a multiplication and an addition count as one": _one_flop,
    },
    "sum_any_order": {
        "sorted first": lambda xs: float(sum(sorted(xs))),
        "smallest first": lambda xs: float(sum(sorted(xs, key=abs))),
        "Kahan's compensation": _kahan,
        "largest first, with what is lost kept": _largest_first,
        "rounded to hide it": lambda xs: round(float(sum(xs)), 6),
    },
}
