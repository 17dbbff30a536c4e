"""Checks of day 30: the deepest fall, a ledger with two costs, the best of luck, block rows, a break-even cost."""

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


def best_luck_of(fn):
    for trials in (1, 2, 5, 10, 36, 100, 1000, 10_000):
        want = _best(trials)
        for spread in (1.0, 0.03, 2.5):
            got = float(fn(trials, spread))
            case = f"{trials} trial(s), spread {spread}: expected {spread * want:.4f}, got {got:.4f}"
            if trials == 1:
                assert abs(got) < 1e-6 * spread, f"{case}. The expected value of a single worthless trial is 0"
                continue
            near = abs(got - spread * want) <= (0.03 if trials > 5 else 0.12) * spread * want
            loose = math.sqrt(2 * math.log(trials)) * spread
            hint = (
                "√(2 ln N) is where it goes for huge N, not where it is"
                if math.isclose(got, loose, rel_tol=1e-6)
                else "the 1 - 1/N quantile is not yet the mean of the largest"
                if math.isclose(got, spread * stats.norm.ppf(1 - 1 / trials), rel_tol=1e-6)
                else "the result scales with the spread, a standard deviation"
                if spread != 1 and abs(float(fn(trials, 1.0)) - want) < 0.1 * want
                else "integrate x against the density of the largest, or use the formula with Euler's constant"
            )
            assert near, f"{case}. Look at: {hint}"
    return "1 to 10,000 trials against the integral, three spreads"


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


def _formula(first_quantile=False, squared=False, rule=None):
    def luck(trials, spread):
        if rule is not None:
            return rule(trials) * spread
        if trials == 1:
            return 0.0
        tail = stats.norm.ppf(1 - np.array([1, 1 / math.e]) / trials)
        value = tail[0] if first_quantile else tail[0] + np.euler_gamma * (tail[1] - tail[0])
        return float(value * (spread**2 if squared else spread))

    return luck


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
    "best_luck_of": {
        "the square root of 2 ln N": _formula(rule=lambda n: math.sqrt(2 * math.log(n))),
        "the quantile at 1 - 1/N": _formula(first_quantile=True),
        "takes the spread for a variance": _formula(squared=True),
        "the 95 % quantile of the best": _formula(
            rule=lambda n: 0.0 if n == 1 else float(stats.norm.ppf(0.95 ** (1 / n)))
        ),
        "minus infinity for one trial": _formula(
            rule=lambda n: float(
                (1 - np.euler_gamma) * stats.norm.ppf(1 - 1 / n) + np.euler_gamma * stats.norm.ppf(1 - 1 / (n * math.e))
            )
        ),
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
