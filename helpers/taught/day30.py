"""Built in day 30, LSTM project: report: ``runner taught`` copies it from day30_project_lstm_report.ipynb."""

import json
import logging
import math
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy import stats

from helpers.taught.day27 import StockPredictor
from helpers.taught.day28 import FEATURES, dm_test, ols, predict, scale, squared, table, walk_forward
from helpers.taught.day29 import SETTINGS, learner


def backtest(position, returns, cost=0.0):
    """Profit (n,) of position (n,) held over returns (n,), the next day's.

    cost: paid on each change of position, the first purchase too.
    """
    return position * returns - cost * np.abs(np.diff(position, prepend=0))


def sharpe(profit):
    """Mean over standard deviation along the last axis, for a year."""
    return profit.mean(-1) / profit.std(-1) * math.sqrt(252)


def drawdown(profit):
    """Largest loss from a former peak of the account, as a share."""
    wealth = np.cumprod(np.concatenate([[1.0], 1 + profit]))
    return float((1 - wealth / np.maximum.accumulate(wealth)).max())


def stationary_rows(n, length, draws, rng):
    """Rows (draws, n) of the stationary bootstrap, mean block `length`."""
    fresh = rng.integers(0, n, (draws, n))
    jump = rng.random((draws, n)) < 1 / length
    rows = np.empty((draws, n), dtype=int)
    rows[:, 0] = fresh[:, 0]
    for t in range(1, n):
        rows[:, t] = np.where(jump[:, t], fresh[:, t],
                              (rows[:, t - 1] + 1) % n)
    return rows


def interval(values):
    """The middle 95 % of bootstrap values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def ensemble(data, target, folds, seeds, device="cpu"):
    """Mean of the networks' forecasts (n,), NaN outside the tests.

    Also the factor (n,) that makes exp(forecast) a variance, learnt on
    each fold's training rows.
    """
    setup, y = SETTINGS[target], data[target].to_numpy()
    out, level = np.full((2, len(y)), np.nan)
    for train, test in folds:
        rows = np.concatenate([train[setup["length"] - 1:], test])
        f = np.mean([learner(data, target, train, setup, s, device=device)
                     .forecast(rows)[:, 0] for s in seeds], axis=0)
        old = len(rows) - len(test)
        out[test] = f[old:]
        level[test] = np.exp(y[rows[:old]] - f[:old]).mean()
    return out, level


def expected_best(trials, spread):
    """Expected largest of `trials` worthless Sharpe ratios."""
    if trials < 2:
        return 0.0
    tail = stats.norm.ppf(1 - np.array([1, 1 / math.e]) / trials)
    return float(spread * (tail[0] + np.euler_gamma * (tail[1] - tail[0])))


def deflated(profit, trials=1, spread=0.0):
    """Chance that the true Sharpe ratio beats the best of `trials` lucks.

    spread: standard deviation of the trials' *daily* Sharpe ratios.
    """
    s = profit.mean() / profit.std()
    g3, g4 = stats.skew(profit), stats.kurtosis(profit, fisher=False)
    width = math.sqrt(1 - g3 * s + (g4 - 1) / 4 * s * s)
    z = (s - expected_best(trials, spread)) * math.sqrt(len(profit) - 1)
    return float(stats.norm.cdf(z / width))


def shipped(seed=0, name="sp500", device="cpu"):
    """Day 29's network, stopped by the last fifth: (net, card)."""
    data, target = table(name), "next_logvar"
    setup = SETTINGS[target]
    one = learner(data, target, np.arange(len(data)), setup, seed,
                  device=device)
    card = {"data": name, "target": target, "features": list(FEATURES),
            "length": setup["length"], "hidden": setup["hidden"],
            "first": f"{data.index[0]:%Y-%m-%d}",
            "last": f"{data.index[-1]:%Y-%m-%d}", "seed": seed,
            "x_mean": one.x_scaler[0].tolist(),
            "x_std": one.x_scaler[1].tolist(),
            "y_mean": float(one.y_scaler[0]),
            "y_std": float(one.y_scaler[1])}
    return one.net.cpu().eval(), card


def save_predictor(folder, net, card):
    """Write model.safetensors, with the card as its metadata."""
    weights = {k: v.contiguous() for k, v in net.state_dict().items()}
    save_file(weights, Path(folder) / "model.safetensors",
              metadata={"card": json.dumps(card)})


def load_predictor(folder):
    """Back from the file: (StockPredictor, card)."""
    path = Path(folder) / "model.safetensors"
    with safe_open(path, "pt") as file:
        card = json.loads(file.metadata()["card"])
    net = StockPredictor(len(card["features"]), card["hidden"])
    net.load_state_dict(load_file(path))
    return net.eval(), card


def use_predictor(run, card, raw):
    """raw windows (batch, length, features) -> log variances (batch,).

    run: any function of scaled float32 windows, torch or ONNX.
    """
    if len(raw) == 0:           # onnxruntime's LSTM would end the process
        return np.zeros(0)
    x = scale(raw, (np.array(card["x_mean"]), np.array(card["x_std"])))
    return run(x.astype(np.float32))[:, 0] * card["y_std"] + card["y_mean"]


def export_predictor(net, path, card):
    """One ONNX file: scaled windows (batch, length, features) -> forecast.

    The card, scalers included, is its metadata.
    """
    # the exporter warns of optional packages and of its own next version
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    example = torch.zeros(2, card["length"], net.lstm.input_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")      # as said above
        program = torch.onnx.export(
            net, (example,), dynamo=True, verbose=False,
            input_names=["windows"], output_names=["forecast"],
            dynamic_shapes=({0: torch.export.Dim("batch")},))
    program.model.metadata_props["card"] = json.dumps(card)
    program.save(path, external_data=False)


def ticker_forecasts(data, folds, seeds):
    """Forecasts (n,): log variance, its factor, HAR's, next return."""
    f, level = ensemble(data, "next_logvar", folds, seeds)
    signal, _ = ensemble(data, "next_ret", folds, seeds)
    y, har = data["next_logvar"].to_numpy(), np.full(len(data), np.nan)
    x = data[list(FEATURES[1:])].to_numpy()
    for fit, test in folds:
        har[test] = predict(x, ols(x[fit], y[fit]))[test]
    return f, level, har, signal


def ticker_numbers(name, seed=0, networks=2, cost=0.0002, train=1260):
    """What a report says of a ticker, as a dict of floats."""
    data = table(name)
    folds = walk_forward(len(data), train, 661)
    rows = np.concatenate([test for _, test in folds])
    f, level, har, signal = (a[rows] for a in ticker_forecasts(
        data, folds, [1000 * seed + k for k in range(networks)]))
    y = data["next_logvar"].to_numpy()[rows]
    r = np.expm1(data["next_ret"].to_numpy()[rows])
    w = np.minimum(0.15 / np.sqrt(252 * np.exp(f) * level), 2)
    books = {"hold": r, "target": backtest(w, r, cost),
             "sign": backtest(np.sign(signal), r, cost)}
    a, b = squared(y, har), squared(y, f)
    out = {"saved": 1 - b.mean() / a.mean(), "p": dm_test(a, b)[2]}
    for k, p in books.items():
        out |= {f"sharpe_{k}": sharpe(p), f"drawdown_{k}": drawdown(p)}
    return {k: float(v) for k, v in out.items()}
