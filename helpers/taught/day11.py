"""Built in day 11, Inference and experiments: ``runner taught`` copies it from day11_inference_and_experiments.ipynb."""

import math

import numpy as np
from scipy.special import betaln


def holm(p):
    """Adjusted p-values (m,): any <= alpha false has chance <= alpha."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return out


def benjamini_hochberg(p):
    """Adjusted p-values (m,): the share of false finds stays <= alpha."""
    p = np.asarray(p, float)
    order = np.argsort(p)[::-1]                    # the largest first
    steps = p[order] * len(p) / np.arange(len(p), 0, -1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.minimum.accumulate(steps), 1)
    return out


def msprt(successes_a, trials_a, successes_b, trials_b, tau):
    """p at one look, to be compared with alpha at any look (arrays too).

    tau: the difference of shares worth finding. Gaussian, so it wants
    tens of successes and failures in each arm; else `rare_events`.
    """
    sa, na, sb, nb = (np.asarray(x, float) for x in
                      (successes_a, trials_a, successes_b, trials_b))
    seen = np.minimum(na, nb) > 0     # an empty arm tells nothing
    na, nb = np.maximum(na, 1), np.maximum(nb, 1)
    pool = (sa + sb) / (na + nb)
    v = pool * (1 - pool) * (1 / na + 1 / nb)
    known = seen & (v > 0)            # nor do outcomes all alike
    v = np.where(known, v, 1.0)
    d = sb / nb - sa / na
    log_ratio = (-0.5 * np.log1p(tau**2 / v)
                 + d**2 / (2 * v) * tau**2 / (v + tau**2))
    return np.exp(-np.maximum(np.where(known, log_ratio, 0.0), 0.0))


def rare_events(events_a, events_b, share_b=0.5, strength=2.0):
    """Always-valid p that events fall on B with its share of trials.

    Exact for any event rate, if each trial went to B at random with
    chance share_b. strength: of the Beta prior around share_b.
    """
    a, b = (np.asarray(x, float) for x in (events_a, events_b))
    x, y = strength * share_b, strength * (1 - share_b)
    log_ratio = (betaln(x + b, y + a) - betaln(x, y)
                 - b * math.log(share_b) - a * math.log1p(-share_b))
    return np.exp(-np.maximum(log_ratio, 0.0))
