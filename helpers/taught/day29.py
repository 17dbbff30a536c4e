"""Built in day 29, LSTM project: training: ``runner taught`` copies it from day29_project_lstm_training.ipynb."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from helpers.taught.day27 import StockPredictor
from helpers.taught.day28 import FEATURES, HORIZON, fit_scaler, hold_back, scale, walk_forward


def skill(y, forecast, base):
    """R²: share of the squared error of `base` that is gone."""
    return 1 - ((y - forecast) ** 2).sum() / ((y - base) ** 2).sum()


def look(x, ends, length):
    """x (n, features) -> (len(ends), length, features), tensors."""
    back = torch.arange(1 - length, 1, device=ends.device)
    return x[ends[:, None] + back]


def loss_of(out, y, levels=None):
    """Squared error, or the pinball losses summed over `levels`."""
    if levels is None:
        return (out - y).square().mean()
    q, miss = torch.tensor(levels, device=out.device), y - out
    return torch.maximum(q * miss, (q - 1) * miss).sum(-1).mean()


def epoch(rows, length, g):
    """Ends of windows in random order: each row answered once."""
    half = length // 2
    shift = int(torch.randint(half, (1,), generator=g))
    ends = torch.arange(int(rows[0]) + length - 1 + shift,
                        int(rows[-1]) + 1, half)
    return ends[torch.randperm(len(ends), generator=g)]


def step(net, adam, x, y, ends, length, levels):
    """One update on windows; their second halves are asked."""
    half = length // 2
    out = net.fc(net.lstm(look(x, ends, length))[0])[:, -half:]
    loss = loss_of(out, look(y[:, None], ends, half), levels)
    adam.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    adam.step()
    return loss.item()


def answers(net, x, rows, length):
    """Outputs (rows, outputs) at the last step of each window."""
    with torch.no_grad():
        return net(look(x, torch.as_tensor(rows, device=x.device), length))


def fit(x, y, rows, stop, setup, seed=0, levels=None, patience=8):
    """-> best network on the rows `stop`, losses (epochs, 2)."""
    torch.manual_seed(seed)
    g, length = torch.Generator().manual_seed(seed), setup["length"]
    net = StockPredictor(x.shape[1], setup["hidden"],
                         len(levels or [0])).to(x.device)
    curve, wait, best, kept = [], 0, math.inf, net.state_dict()
    adam = torch.optim.AdamW(net.parameters(), setup["rate"],
                             weight_decay=setup["decay"], fused=True)
    while wait < patience and len(curve) < 60:
        batches = epoch(rows, length, g).to(x.device).split(480 // length)
        train = np.mean([step(net, adam, x, y, ends, length, levels)
                         for ends in batches])
        held = loss_of(answers(net, x, stop, length), y[stop][:, None],
                       levels).item()
        curve, wait = [*curve, (train, held)], wait + 1
        if held < best:
            best, wait, kept = held, 0, copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)
    return net, np.array(curve)


def learner(data, target, train, setup, seed=0, levels=None, device="cpu"):
    """Scale and fit on train rows alone; their last fifth stops it.

    -> net, curve, scalers, forecast(rows): (rows, outputs), target units.
    """
    rows, stop = hold_back(train, 0.2, HORIZON[target] - 1)
    raw, y = data[list(FEATURES)].to_numpy(), data[target].to_numpy()
    one = SimpleNamespace(x_scaler=fit_scaler(raw[rows]),
                          y_scaler=fit_scaler(y[rows]))
    x, z = (torch.tensor(scale(a, s), dtype=torch.float32, device=device)
            for a, s in ((raw, one.x_scaler), (y, one.y_scaler)))
    one.net, one.curve = fit(x, z, rows, stop, setup, seed, levels)
    one.forecast = lambda rows: one.y_scaler[0] + one.y_scaler[1] * answers(
        one.net, x, rows, setup["length"]).cpu().numpy()
    return one


def walk(data, target, folds, setup, seeds, levels=None, device="cpu"):
    """Forecasts (networks, n, outputs) of all test rows, else NaN."""
    out = np.full((len(seeds), len(data), len(levels or [0])), np.nan)
    for train, test in folds:
        for k, seed in enumerate(seeds):
            one = learner(data, target, train, setup, seed, levels, device)
            out[k, test] = one.forecast(test)
    return out


def suggest(trial):
    """One setting out of the searched space."""
    return dict(hidden=trial.suggest_int("hidden", 4, 32, log=True),
                length=trial.suggest_categorical("length", [10, 22]),
                rate=trial.suggest_float("rate", 1e-3, 3e-2, log=True),
                decay=trial.suggest_float("decay", 1e-4, 1.0, log=True))


def score(one, data, target, folds, seed, device):
    """Yield R² fold by fold; one.last is the latest learner."""
    y = data[target].to_numpy()
    for k, (train, test) in enumerate(folds):
        one.last = learner(data, target, train, one.setup, 1000 * seed + k,
                           device=device)
        guess = one.last.forecast(test)[:, 0]
        one.scores.append(float(skill(y[test], guess, y[train].mean())))
        yield float(np.mean(one.scores))


def tune(data, target, rows, trials, seed=0, device="cpu"):
    """Search on the first `rows` rows -> best setup, all trials."""
    import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept, gap = [], HORIZON[target] - 1
    folds = walk_forward(rows, rows // 2, rows // 6, gap)
    def objective(trial):
        one = SimpleNamespace(setup=suggest(trial), scores=[])
        kept.append(one)
        steps = score(one, data, target, folds, seed, device)
        for k, mean in enumerate(steps):
            trial.report(mean, k)
            if trial.should_prune():
                raise optuna.TrialPruned
        return mean

    tpe = optuna.samplers.TPESampler(seed=seed)   # pruner: the median's
    study = optuna.create_study(sampler=tpe, direction="maximize")
    study.optimize(objective, trials)
    return study.best_params, kept


SETTINGS = {
    "next_logvar": dict(hidden=31, length=10, rate=0.0142, decay=0.0003),
    "next_ret": dict(hidden=26, length=22, rate=0.0186, decay=0.0092),
}


TRIED = {"next_logvar": 16 + 44, "next_ret": 16 + 20}


def signed_har(data):
    """HAR's three columns and four with a sign (n, 7), for `ols`."""
    r = data["ret"]
    means = [r.rolling(k, min_periods=1).mean() for k in (1, 5, 22)]
    return np.column_stack([data[list(FEATURES[1:])], r.clip(upper=0),
                            *means])


def radius(scores, alpha):
    """The k-th smallest score, k = ⌈(n + 1)(1 - alpha)⌉; else ±inf."""
    k = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    if k > len(scores):
        return math.inf
    return float(np.partition(scores, k - 1)[k - 1]) if k > 0 else -math.inf


def adaptive(scores, calibration, alpha=0.1, gamma=0.02, start=None,
             keep=None):
    """ACI over scores (m,) -> radii (m,), levels (m + 1,).

    keep: recalibrate on the latest `keep` scores; None: never.
    """
    pool, radii = list(calibration), []
    levels = [alpha if start is None else start]
    for s in scores:
        radii.append(radius(np.asarray(pool[-(keep or len(pool)):]),
                            levels[-1]))
        levels.append(levels[-1] + gamma * (alpha - (s > radii[-1])))
        if keep:
            pool.append(s)
    return np.array(radii), np.array(levels)


def interval_walk(data, folds, setup, seeds, device="cpu"):
    """90 % quantile networks of next_ret, averaged.

    -> low (n,), high (n,), and calibration scores of each fold.
    """
    y = data["next_ret"].to_numpy()
    ends, calibrations = np.full((len(data), 2), np.nan), []
    for train, test in folds:
        rest, held = hold_back(train, 0.2)
        both = np.concatenate([held, test])
        q = np.mean([learner(data, "next_ret", rest, setup, s, (0.05, 0.95),
                             device).forecast(both) for s in seeds], axis=0)
        q.sort(axis=1)                        # quantiles may not cross
        ends[test], old = q[len(held):], q[:len(held)]
        calibrations.append(np.maximum(old[:, 0] - y[held],
                                       y[held] - old[:, 1]))
    return ends[:, 0], ends[:, 1], calibrations
