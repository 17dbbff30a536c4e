"""Checks of day 30: the deepest fall, a ledger with two costs, years to watch, block rows, a break-even cost."""

import math

import numpy as np
from scipy import integrate, stats


def _fall(profit):
    wealth = np.cumprod(np.concatenate([[1.0], 1 + np.asarray(profit, float)]))
    return float((1 - wealth / np.maximum.accumulate(wealth)).max())


def deepest(fn):
    rng = np.random.default_rng(30)
    cases = [
        ("one gain", [0.1], "nothing was ever lost: 0"),
        ("a loss on the first day", [-0.2, 0.1], "the account starts at 1, and that start is a peak"),
        ("gain, then two losses", [0.5, -0.2, -0.25], "losses follow each other as products, not as sums"),
        ("a small fall, then a new peak and a deeper one", [-0.1, 0.5, -0.3, 0.1], "measure from the highest so far"),
        ("a deep fall before the highest peak", [0.2, -0.5, 2.0, -0.1], "only peaks that came before count"),
        ("all is lost", [0.1, -1.0, 0.0], "the fall from any peak to 0 is 1"),
        ("no day at all", [], "an empty account never fell: 0"),
    ]
    cases += [(f"{n} random days", rng.normal(0, 0.05, n).tolist(), "compare day by day") for n in (3, 50, 400)]
    for name, profit, hint in cases:
        got, want = float(fn(np.array(profit))), _fall(profit)
        assert not (want > 0 and math.isclose(got, -want)), f"{name}: return the loss as a positive share"
        wealth = np.cumprod(np.concatenate([[1.0], 1 + np.asarray(profit, float)]))
        gap = float((np.maximum.accumulate(wealth) - wealth).max())
        if math.isclose(got, gap) and not math.isclose(gap, want):
            hint = "that is the loss in money of the first day's 1; divide by the peak it fell from"
        assert math.isclose(got, want, abs_tol=1e-9), f"{name}: expected {want:.4f}, got {got:.4f}; {hint}"
    return "ten accounts, an empty and a ruined one too"


def account(fn):
    rng = np.random.default_rng(301)
    hand = np.array([0.0, 1.5, -2.0, -2.0])
    r = np.array([0.5, 0.02, -0.03, 0.01])
    got = np.asarray(fn(hand.copy(), r.copy(), 0.0, 0.0), float)
    assert got.shape == (4,), f"return profits of shape (4,), got {got.shape}"
    assert np.allclose(got, hand * r), (
        "without costs the profit of day t is position[t] * returns[t]: the returns are already the next day's, "
        "so nothing is shifted again"
    )
    got = np.asarray(fn(hand.copy(), np.zeros(4), 0.01, 0.0), float)
    want = -0.01 * np.array([0, 1.5, 3.5, 0])
    assert np.allclose(got, want), (
        f"positions 0, 1.5, -2, -2 with cost 0.01 and no returns: expected {want}, got {got}; "
        "what is traded is the size of the change, sells as well as buys"
    )
    got = np.asarray(fn(np.array([1.0, 1.0]), np.zeros(2), 0.01, 0.0), float)
    assert np.allclose(got, [-0.01, 0]), "you start with nothing: the first purchase is charged too"
    got = np.asarray(fn(hand.copy(), np.zeros(4), 0.0, 0.1), float)
    want = -0.1 * np.array([0, 0.5, 1, 1])
    assert np.allclose(got, want), (
        f"borrow 0.1 on positions 0, 1.5, -2, -2: expected {want}, got {got}; only what lies beyond 1, short or long"
    )
    for n in (1, 2, 300):
        w, r = rng.normal(0, 1.2, n), rng.normal(0, 0.02, n)
        cost, borrow = rng.uniform(0, 0.01, 2)
        want = w * r - cost * np.abs(np.diff(w, prepend=0)) - borrow * np.maximum(np.abs(w) - 1, 0)
        given = w.copy()
        assert np.allclose(fn(given, r, cost, borrow), want), f"{n} random days: both costs at once do not add up"
        assert np.array_equal(given, w), "your function changes the caller's positions: work on a copy"
    return "by hand, each cost alone, and three random accounts"


def _best(trials):
    def density(x):
        return x * trials * stats.norm.pdf(x) * stats.norm.cdf(x) ** (trials - 1)

    return integrate.quad(density, -10, 10, limit=400, points=[0, 2, 4])[0]


def _years(sharpe, trials, sure, best=None):
    if sharpe <= 0:
        return math.inf
    return ((stats.norm.ppf(sure) + (_luck(trials) if best is None else best)) / sharpe) ** 2


def _luck(trials):
    if trials == 1:
        return 0.0
    tail = stats.norm.ppf(1 - np.array([1, 1 / math.e]) / trials)
    return float(tail[0] + np.euler_gamma * (tail[1] - tail[0]))


def years_needed(fn):
    for trials in (1, 36, 10, 100, 10_000):
        for sharpe, sure in ((1.0, 0.95), (0.5, 0.95), (2.0, 0.99), (1.5, 0.5)):
            want = _years(sharpe, trials, sure)
            exact = _years(sharpe, trials, sure, _best(trials))
            got = float(fn(sharpe, trials, sure))
            case = f"Sharpe {sharpe}, best of {trials}, sure {sure}: expected {abs(want):.2f} years, got {got:.2f}"
            hints = {
                "the tries are not in it: the bar lies at the expected best of them, not at 0": _years(sharpe, 1, sure),
                "that takes the winner to the expected best, where the deflated value is one half": (
                    _years(sharpe, trials, 0.5)
                ),
                "√(2 ln N) is where the best of very many goes, not where it is": (
                    _years(sharpe, trials, sure, math.sqrt(2 * math.log(trials)))
                ),
                "that is Šidák's correction; the deflated value asks for more (see the calibration)": (
                    (stats.norm.ppf(sure ** (1 / trials)) / sharpe) ** 2
                ),
                "`sure` is one-sided: Φ of the distance": _years(sharpe, trials, (1 + sure) / 2),
                "noise shrinks with the root of the years, so the answer is a square": math.sqrt(want),
                "the Sharpe ratio is a year's already: no 252": 252 * want,
            }
            close = min(abs(got - want), abs(got - exact)) <= 0.01 * want + 1e-6
            hint = [h for h, value in hints.items() if not close and math.isclose(got, value, rel_tol=1e-3)]
            assert close, f"{case}. " + (hint[0] if hint else "When is sharpe · √years above S₀ · √years by Φ⁻¹(sure)?")
    for sharpe in (0.0, -0.7):
        got = float(fn(sharpe, 36, 0.95))
        assert got == math.inf, f"a Sharpe ratio of {sharpe} never reaches 0.95, however long: math.inf, got {got:.1f}"
    return "1 to 10,000 tries, three levels, and two winners that never get there"


def block_rows(fn):
    for n in (1, 2, 40):
        rows = np.asarray(fn(n, 5, np.random.default_rng(n)))
        assert rows.shape == (n,), f"n {n}: return {n} rows, got shape {rows.shape}"
        assert rows.min() >= 0 and rows.max() < n, f"n {n}: rows from 0 to {n - 1}, got {rows.min()} to {rows.max()}"
    n, length = 200, 8
    draws = np.array([fn(n, length, np.random.default_rng(1000 + k)) for k in range(400)])
    assert len({d.tobytes() for d in draws}) == len(draws), "different generators should give different rows: use rng"
    twin = [np.asarray(fn(n, length, np.random.default_rng(7))) for _ in range(2)]
    assert np.array_equal(*twin), "the same generator state must give the same rows: draw from rng alone"
    step = (draws[:, 1:] - draws[:, :-1]) % n
    share = float((step == 1).mean())
    want = 1 - 1 / length + 1 / (length * n)
    assert abs(share - want) < 0.01, (
        f"mean block {length}: a row should be followed by its successor in {want:.3f} of cases, yours {share:.3f}; "
        "a jump has chance 1/length at every step"
    )
    wraps = float((draws[:, 1:][draws[:, :-1] == n - 1] == 0).mean())
    assert wraps > 0.7, f"after the last row comes row 0, or a jump; yours goes on with row 0 in {wraps:.0%}"
    counts = np.bincount(draws.ravel(), minlength=n) / draws.size * n
    ends = counts[:4].mean(), counts[-4:].mean()
    assert min(ends) > 0.75 and max(ends) < 1.25, (
        f"every row should come up equally often; the first four come {ends[0]:.2f} times as often as the mean, "
        f"the last four {ends[1]:.2f}"
    )
    first = draws[:, 0]
    assert 0.4 < (first < n / 2).mean() < 0.6, "the first row is any row, all alike"
    jumps = [np.flatnonzero(row != 1) for row in step]
    gaps = np.concatenate([np.diff(j) for j in jumps])
    assert gaps.std() > 0.6 * length, (
        f"blocks should vary in length (standard deviation about {length}), yours have {gaps.std():.1f}: a jump does "
        "not wait for a fixed number of rows"
    )
    return "sizes 1 to 200, length of blocks and their spread, wrapping, evenness"


def break_even(fn):
    rng = np.random.default_rng(304)
    cases = [
        ("buy once, hold", np.ones(4), np.array([0.01, -0.02, 0.03, 0.02]), "the first purchase is a trade"),
        ("turn each day", np.array([1.0, -1, 1]), np.array([0.03, -0.01, 0.01]), "from +1 to -1 trades two units"),
        ("loses for free", np.array([1.0, 0]), np.array([-0.02, 0.5]), "then it is negative, not 0"),
    ]
    for n in (1, 30, 500):
        cases.append(
            (f"{n} random days", rng.normal(size=n), rng.normal(0, 0.02, n), "sum of profits over units traded")
        )
    for name, w, r, hint in cases:
        want = float((w * r).sum() / np.abs(np.diff(w, prepend=0)).sum())
        got = float(fn(w.copy(), r.copy()))
        assert math.isclose(got, want, rel_tol=1e-6), f"{name}: expected {want:.6f}, got {got:.6f}; {hint}"
    never = float(fn(np.zeros(3), np.array([0.1, -0.2, 0.1])))
    assert never == math.inf, f"a position that never trades bears any cost: math.inf, got {never}"
    return "by hand, random positions, a losing one, and one that never trades"


def _account(traded=lambda w: np.abs(np.diff(w, prepend=0)), lent=lambda w: np.maximum(np.abs(w) - 1, 0), late=False):
    def ledger(position, returns, cost, borrow):
        held = np.concatenate([[0.0], position[:-1]]) if late else position
        return held * returns - cost * traded(position) - borrow * lent(position)

    return ledger


def _rows(chance, wrap=True, fixed=False, start=None):
    def draw(n, length, rng):
        rows = [int(rng.integers(n)) if start is None else start]
        while len(rows) < n:
            jump = len(rows) % length == 0 if fixed else rng.random() < chance(length)
            after = (rows[-1] + 1) % n if wrap else min(rows[-1] + 1, n - 1)
            rows.append(int(rng.integers(n)) if jump else after)
        return np.array(rows)

    return draw


def _even(traded=lambda w: np.abs(np.diff(w, prepend=0)), floor=False, never=math.inf):
    def cost(position, returns):
        units, gross = float(traded(position).sum()), float((position * returns).sum())
        value = gross / units if units else never
        return max(value, 0.0) if floor else value

    return cost


WRONG = {
    "deepest": {
        "money instead of a share": lambda profit: float(
            (np.maximum.accumulate(w := np.cumprod(np.concatenate([[1], 1 + profit]))) - w).max()
        ),
        "the worst single day": lambda profit: max(0.0, -min(profit, default=0.0)),
        "forgets that the start is a peak": lambda profit: (
            float((1 - (w := np.cumprod(1 + profit)) / np.maximum.accumulate(w)).max()) if len(profit) else 0.0
        ),
        "sums instead of products": lambda profit: float(
            ((m := np.maximum.accumulate(w := 1 + np.concatenate([[0], np.cumsum(profit)]))) - w).max() / m.max()
        ),
        "from the highest peak of all": lambda profit: float(
            1 - (w := np.cumprod(np.concatenate([[1], 1 + profit])))[w.argmax() :].min() / w.max()
        ),
        "negative": lambda profit: -_fall(profit),
        "from the highest to the lowest": lambda profit: float(
            1 - (w := np.cumprod(np.concatenate([[1], 1 + profit]))).min() / w.max()
        ),
    },
    "account": {
        "shifts the position again": _account(late=True),
        "the first purchase is free": _account(lambda w: np.abs(np.diff(w, prepend=w[:1]))),
        "selling is free": _account(lambda w: np.maximum(np.diff(w, prepend=0), 0)),
        "the change keeps its sign": _account(lambda w: np.diff(w, prepend=0)),
        "cost on what is held": _account(np.abs),
        "short positions borrow nothing": _account(lent=lambda w: np.maximum(w - 1, 0)),
        "borrows the whole position": _account(lent=lambda w: np.abs(w) * (np.abs(w) > 1)),
    },
    "years_needed": {
        "one rule only": lambda sharpe, trials, sure: _years(sharpe, 1, sure),
        "up to the expected best": lambda sharpe, trials, sure: _years(sharpe, trials, 0.5),
        "the square root of 2 ln N": lambda sharpe, trials, sure: _years(
            sharpe, trials, sure, math.sqrt(2 * math.log(trials))
        ),
        "Šidák's correction": lambda sharpe, trials, sure: (
            (stats.norm.ppf(sure ** (1 / trials)) / sharpe) ** 2 if sharpe > 0 else math.inf
        ),
        "two-sided": lambda sharpe, trials, sure: _years(sharpe, trials, (1 + sure) / 2),
        "not squared": lambda sharpe, trials, sure: math.sqrt(_years(sharpe, trials, sure)),
        "a losing winner gets there": lambda sharpe, trials, sure: (
            _years(abs(sharpe), trials, sure) if sharpe else math.inf
        ),
        "days for years": lambda sharpe, trials, sure: 252 * _years(sharpe, trials, sure),
    },
    "block_rows": {
        "single days, no blocks": lambda n, length, rng: rng.integers(0, n, n),
        "blocks of fixed length": _rows(None, fixed=True),
        "stops at the last row": _rows(lambda length: 1 / length, wrap=False),
        "jumps with chance 1/(length + 1)": _rows(lambda length: 1 / (length + 1)),
        "begins at row 0": _rows(lambda length: 1 / length, start=0),
        "its own generator": lambda n, length, rng: _rows(lambda k: 1 / k)(n, length, np.random.default_rng()),
    },
    "break_even": {
        "the first purchase is free": _even(lambda w: np.abs(np.diff(w))),
        "counts trades, not units": _even(lambda w: (np.diff(w, prepend=0) != 0).astype(float)),
        "never below zero": _even(floor=True),
        "zero for a rule that never trades": _even(never=0.0),
        "half of what is traded": _even(lambda w: np.abs(np.diff(w, prepend=0)) / 2),
    },
}
