"""Built in day 10, Monte Carlo: ``runner taught`` copies it from day10_monte_carlo.ipynb."""

import math

import numpy as np


def control_variate(f, g, mean_g):
    """Mean of f (n,) with controls g (n, k) of known means: (mean, se)."""
    g = g - mean_g
    b, *_ = np.linalg.lstsq(g - g.mean(0), f - f.mean(), rcond=None)
    rest = f - g @ b
    return rest.mean(), rest.std(ddof=1 + g.shape[1]) / len(f) ** 0.5


def random_walk(log_p, x, scale, steps, rng):
    """Metropolis with Gaussian moves, all chains at once.

    log_p: (chains, d) -> (chains,); x: starts (chains, d).
    Returns draws (chains, steps, d) and the share accepted.
    """
    out, level, taken = [], log_p(x), 0.0
    for _ in range(steps):
        new = x + scale * rng.normal(size=x.shape)
        fresh = log_p(new)
        yes = np.log(rng.random(len(x))) < fresh - level
        x = np.where(yes[:, None], new, x)             # or stays
        level = np.where(yes, fresh, level)
        out.append(x)
        taken += yes.mean()
    return np.stack(out, axis=1), taken / steps


def leapfrog(grad, x, m, step, count):
    """`count` leapfrog steps on the landscape -ln p; grad of ln p."""
    m = m + step / 2 * grad(x)
    for i in range(count):
        x = x + step * m
        m = m + (step if i < count - 1 else step / 2) * grad(x)
    return x, m


def hmc(log_p, grad, x, step, count, steps, rng, jitter=0.2):
    """Draws (chains, steps, d) and the share accepted; starts x.

    jitter: the step varies by this share from draw to draw.
    """
    out, taken = [], 0.0
    for _ in range(steps):
        m = rng.normal(size=x.shape)
        h = step * rng.uniform(1 - jitter, 1 + jitter)
        new, end = leapfrog(grad, x, m, h, count)
        gain = log_p(new) - log_p(x) + ((m**2 - end**2) / 2).sum(1)
        yes = np.log(rng.random(len(x))) < gain
        x = np.where(yes[:, None], new, x)
        out.append(x)
        taken += yes.mean()
    return np.stack(out, axis=1), taken / steps


def halves(chains):
    """(chains, n) -> (2 chains, n // 2)"""
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def r_hat(chains):
    """Split R-hat of one quantity, chains (chains, n)."""
    parts = halves(chains)
    n = parts.shape[1]
    within = parts.var(1, ddof=1).mean()
    between = parts.mean(1).var(ddof=1)
    return math.sqrt((n - 1) / n + between / within)


def autocovariance(x):
    """Lags 0 … n - 1 of each row of x (rows, n), divided by n."""
    n = x.shape[1]
    wave = np.fft.rfft(x - x.mean(1, keepdims=True), 2 * n)
    return np.fft.irfft(abs(wave) ** 2, 2 * n)[:, :n] / n


def ess(chains):
    """Effective sample size of the mean, chains (chains, n)."""
    parts = halves(chains)
    m, n = parts.shape
    lags = autocovariance(parts).mean(0)
    within = lags[0] * n / (n - 1)
    total = lags[0] + parts.mean(1).var(ddof=1)
    rho = 1 - (within - lags) / total
    rho[0] = 1
    pairs = rho[:2 * ((n - 1) // 2)].reshape(-1, 2).sum(1)
    negative = np.flatnonzero(pairs < 0)
    k = int(negative[0]) if len(negative) else len(pairs) - 1
    kept = np.minimum.accumulate(pairs[:k]).sum()
    tau = 2 * kept - 1 + max(rho[2 * k], 0)        # half of the last
    return m * n / max(tau, 1 / math.log10(m * n))
