"""Built in day 07, Probability: ``runner taught`` copies it from day07_probability.ipynb."""

import numpy as np


def times_log(p, q):
    """p ln q, and 0 where p is 0, even where q is 0 as well."""
    p, q = np.broadcast_arrays(np.asarray(p, float), q)
    out = np.zeros(p.shape)
    with np.errstate(divide="ignore"):         # ln 0 = -inf is meant
        out[p > 0] = p[p > 0] * np.log(q[p > 0])
    return out


def cross_entropy(p, q):
    """Nats, along the last axis."""
    return -times_log(p, q).sum(-1)


def entropy(p):
    return cross_entropy(p, p)


def kl(p, q):
    return cross_entropy(p, q) - entropy(p)


def fit_gaussian(x, share=None, floor=0.0):
    """Mean and variance of each column of x (n, d); share (n,) weighs."""
    share = np.ones(len(x)) if share is None else share
    share = share / max(share.sum(), 1e-300)
    mean = share @ x
    return mean, np.maximum(share @ (x - mean) ** 2, floor)


def log_density(x, mean, variance):
    """ln N of rows x (n, d), columns independent: (n,)."""
    square = (x - mean) ** 2 / variance
    return -0.5 * (np.log(2 * np.pi * variance) + square).sum(-1)


def logsumexp(s):
    """ln of the sum of exp along the last axis; s (…, k) finite or -inf."""
    top = s.max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)   # a row of -inf
    with np.errstate(divide="ignore"):
        rest = np.log(np.exp(s - top).sum(-1, keepdims=True))
    return (top + rest)[..., 0]


def scores(x, weights, means, variances):
    """ln w_k + ln N(x | k): (n, components)."""
    with np.errstate(divide="ignore"):           # an empty component
        log_w = np.log(weights)
    pairs = [log_density(x, m, v) for m, v in zip(means, variances)]
    return np.stack(pairs, axis=1) + log_w


def expect(x, weights, means, variances):
    """Responsibilities (n, k) and mean log-likelihood of the points."""
    s = scores(x, weights, means, variances)
    whole = logsumexp(s)
    return np.exp(s - whole[:, None]), whole.mean()


def maximise(x, r, floor=0.0, added=0.0):
    fits = [fit_gaussian(x, column) for column in r.T]
    means, variances = (np.stack(part) for part in zip(*fits))
    return r.mean(0), means, np.maximum(variances + added, floor)


def em(x, start, steps, floor=0.0, added=0.0):
    """Parameters after `steps` rounds, log-likelihood before each."""
    found, path = start, []
    for _ in range(steps):
        r, level = expect(x, *found)
        path.append(level)
        found = maximise(x, r, floor, added)
    return found, np.array(path)
