"""Built in day 28, LSTM project: data: ``runner taught`` copies it from day28_project_lstm_data.ipynb."""

import math

import numpy as np
import pandas as pd
from scipy import stats

from helpers import datasets


def windows(x, rows, length):
    """x (n, features) -> (rows, length, features), each ends at its row.

    Raises ValueError where a window would begin before the first row.
    """
    rows = np.asarray(rows)
    if len(rows) and rows.min() < length - 1:
        raise ValueError(f"row {rows.min()} has no {length} days of past")
    return x[rows[:, None] + np.arange(1 - length, 1)]


def fit_scaler(x):
    """Mean and standard deviation of training rows (n, features)."""
    std = x.std(axis=0)
    return x.mean(axis=0), np.where(std > 0, std, 1.0)


def scale(x, scaler):
    mean, std = scaler
    return (x - mean) / std


def prices(name):
    """open, high, low, close by date, corrected for splits, dividends.

    name: sp500, nasdaq, AAPL, IBM or MSFT.
    """
    if name in ("sp500", "nasdaq"):
        table = (datasets.sp500() if name == "sp500"
                 else datasets.volatility(name))
        return table[["open", "high", "low", "close"]]
    table = datasets.stocks(name)
    factor = table["adj_close"] / table["close"]
    return table[["open", "high", "low", "close"]].mul(factor, axis=0)


FEATURES = ("ret", "logvar", "week", "month")


HORIZON = {"next_ret": 1, "next_logvar": 1, "week_logvar": 5}


def day_variance(p):
    """Variance of each day from its range: gap² + Parkinson's."""
    gap = np.log(p["open"] / p["close"].shift())
    spread = np.log(p["high"] / p["low"])
    return gap**2 + spread**2 / (4 * math.log(2))


def features(p):
    """Four columns; row t uses days up to t only."""
    v = day_variance(p)
    columns = [np.log(p["close"]).diff(), np.log(v),
               np.log(v.rolling(5).mean()), np.log(v.rolling(22).mean())]
    return pd.concat(columns, axis=1, keys=FEATURES)


def targets(p):
    """What comes after day t: next day (two), and the next five days."""
    v = day_variance(p)
    columns = [np.log(p["close"]).diff().shift(-1), np.log(v.shift(-1)),
               np.log(v.rolling(5).mean().shift(-5))]
    return pd.concat(columns, axis=1, keys=tuple(HORIZON))


def assemble(p):
    """Features and targets of all complete rows of prices p."""
    return features(p).join(targets(p)).dropna()


def table(name, first="1984"):
    """`assemble` from `first` on.

    The S&P 500 has no daily range before 1962, and a few zeros to 1983.
    """
    return assemble(prices(name).loc[first:])


def walk_forward(n, train, test, purge=0, embargo=0, expand=False):
    """[(train rows, test rows)], training always before its test.

    purge: rows dropped before the test because their labels reach into
    it: a label of h days needs h - 1. embargo: a further gap.
    Test blocks tile the rest of 0 … n - 1; the last may be short.
    """
    gap = purge + embargo
    folds = []
    for begin in range(train + gap, n, test):
        first = 0 if expand else begin - gap - train
        folds.append((np.arange(first, begin - gap),
                      np.arange(begin, min(begin + test, n))))
    return folds


def hold_back(train, share, purge=0):
    """The last `share` of the training rows for early stopping."""
    cut = len(train) - max(1, round(share * len(train)))
    return train[:max(cut - purge, 0)], train[cut:]


def ols(x, y):
    """Least squares with an intercept: coefficients (1 + features,)."""
    design = np.column_stack([np.ones(len(x)), x])
    return np.linalg.lstsq(design, y, rcond=None)[0]


def predict(x, beta):
    return beta[0] + x @ beta[1:]


def lags(x, count):
    """x (n,) -> (n, count): today, yesterday, …; 0 before the start."""
    padded = np.concatenate([np.zeros(count - 1), x])
    return np.stack([padded[count - 1 - k: len(padded) - k]
                     for k in range(count)], axis=1)


def return_baselines(data, train, order=5):
    """{name: forecasts (n,) of next_ret}; fitted on train rows only."""
    ret, y = data["ret"].to_numpy(), data["next_ret"].to_numpy()
    past = lags(ret, order)
    return {"zero": np.zeros(len(y)),
            "mean": np.full(len(y), y[train].mean()),
            "last": ret.copy(),
            f"AR({order})": predict(past, ols(past[train], y[train]))}


def ewma(r, decay=0.94):
    """Variance of the next day from squared returns r (n,)."""
    out, h = np.empty(len(r)), max(r[0] ** 2, 1e-6)
    for t, x in enumerate(r):
        h = decay * h + (1 - decay) * x**2
        out[t] = h
    return out


def fit_garch(r, asymmetric=False):
    """(mean, omega, alpha, gamma, beta) of 100 r, by `arch`."""
    from arch import arch_model
    model = arch_model(100 * r, p=1, o=int(asymmetric), q=1)
    fit = model.fit(disp="off", show_warning=False).params
    gamma = fit["gamma[1]"] if asymmetric else 0.0
    return np.array([fit["mu"], fit["omega"], fit["alpha[1]"], gamma,
                     fit["beta[1]"]])


def garch_path(r, params, days=1):
    """Mean variance of the next `days` days, at each day of r (n,)."""
    mean, omega, alpha, gamma, beta = params
    keep = alpha + gamma / 2 + beta              # a day's pull, < 1
    long_run = omega / max(1 - keep, 1e-6)
    stay = np.mean(keep ** np.arange(days))
    out, h = np.empty(len(r)), long_run
    for t, e in enumerate(100 * r - mean):
        h = omega + (alpha + gamma * (e < 0)) * e**2 + beta * h
        out[t] = long_run + stay * (h - long_run)
    return out / 1e4


def volatility_baselines(data, train, target="next_logvar"):
    """{name: forecasts (n,) of log variance}; fitted on train rows.

    EWMA and GARCH see returns only, HAR the ranges.
    """
    r, y = data["ret"].to_numpy(), data[target].to_numpy()
    days, x = HORIZON[target], data[list(FEATURES[1:])].to_numpy()
    span = slice(train[0], train[-1] + 1)
    paths = {"EWMA": ewma(r)}
    for name, skew in (("GARCH", False), ("GJR-GARCH", True)):
        paths[name] = garch_path(r, fit_garch(r[span], skew), days)
    last = data["logvar" if days == 1 else "week"].to_numpy()
    out = {"mean": np.full(len(y), y[train].mean()), "last": last}
    for name, h in paths.items():       # the log's level, from training
        out[name] = np.log(h) + (y - np.log(h))[train].mean()
    return out | {"HAR": predict(x, ols(x[train], y[train]))}


def other_future(p, t, rng, drift=0.0):
    """Prices p with all rows after t replaced by a made-up walk."""
    q, n = p.copy(), len(p) - t - 1
    close = p["close"].iloc[t] * np.exp(
        np.cumsum(rng.normal(drift, 0.03, n)))
    up, down, gap = np.abs(rng.normal(0.02, 0.01, (3, n))) + 1e-4
    begin = close * np.exp(gap - 0.02)
    top, low = np.maximum(begin, close), np.minimum(begin, close)
    q.iloc[t + 1:] = np.column_stack(
        [begin, top * (1 + up), low / (1 + down), close])
    return q


def touched(build, p, t, rng):
    """How many rows of build(p) up to t change when the future does."""
    def past(q):
        return np.asarray(build(q), float).reshape(len(q), -1)[:t + 1]
    before, most = past(p), 0
    for drift in (0.01, -0.01, 0.0):
        after = past(other_future(p, t, rng, drift))
        same = (before == after) | (np.isnan(before) & np.isnan(after))
        most = max(most, int((~same).any(axis=1).sum()))
    return most


def squared(y, forecast):
    return (y - forecast) ** 2


def qlike(variance, forecast):
    """Loss of a variance forecast, 0 where it equals the variance."""
    ratio = variance / forecast
    return ratio - np.log(ratio) - 1


def to_variance(forecast, y, train):
    """Log-variance forecasts (n,) -> variances, level from training."""
    return np.exp(forecast) * np.exp(y - forecast)[train].mean()


def pinball(y, quantile, level):
    """Loss whose expectation the `level` quantile minimises."""
    miss = y - quantile
    return np.maximum(level * miss, (level - 1) * miss)


def newey_west(x, lags):
    """Long-run variance of x (n,): Bartlett weights up to `lags`."""
    x = x - x.mean()
    n, total = len(x), x @ x
    for k in range(1, min(lags, n - 1) + 1):
        total += 2 * (1 - k / (lags + 1)) * (x[k:] @ x[:-k])
    return total / n


def dm_test(loss_a, loss_b, horizon=1, lags=None):
    """Diebold-Mariano: (mean of a - b, t, p); positive: b is better.

    Newey-West variance; Harvey, Leybourne & Newbold's correction.
    """
    d = np.asarray(loss_a) - np.asarray(loss_b)
    n, h = len(d), horizon
    if lags is None:
        lags = max(h - 1, int(4 * (n / 100) ** (2 / 9)))
    small = math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    error = math.sqrt(newey_west(d, lags) / n)
    stat = small * d.mean() / error if error > 0 else 0.0
    return d.mean(), stat, 2 * stats.t.sf(abs(stat), n - 1)
