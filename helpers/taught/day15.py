"""Built in day 15, Training dynamics: ``runner taught`` copies it from day15_training_dynamics.ipynb."""

import math

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator

from helpers.taught.day04 import power


def layer_norm(x, gain, bias, eps=1e-5):
    """Each row of x (..., features) to mean 0, variance 1."""
    mean = x.mean(-1, keepdim=True)
    var = ((x - mean)**2).mean(-1, keepdim=True)
    return (x - mean) / (var + eps).sqrt() * gain + bias


def batch_norm(x, gain, bias, running, training, momentum=0.1, eps=1e-5):
    """x (batch, features); running holds "mean" and "var"."""
    mean, var = running["mean"], running["var"]
    if training:
        mean, var, n = x.mean(0), x.var(0, unbiased=False), len(x)
        for key, new in (("mean", mean), ("var", var * n / (n - 1))):
            running[key] = torch.lerp(running[key], new.detach(), momentum)
    return (x - mean) / (var + eps).sqrt() * gain + bias


def cosine(step, total, warm):
    """Factor of the peak rate at step 0, 1, ..., total."""
    if step < warm:
        return (step + 1) / (warm + 1)
    return (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2


def wsd(step, total, warm, decay):
    """Warm-up, stable, linear decay over the last `decay` steps."""
    if step < warm:
        return (step + 1) / (warm + 1)
    return min(1.0, (total - step) / decay)


def clip(grads, limit):
    """Gradients scaled to a joint norm of at most limit, and the norm."""
    norm = torch.stack([g.norm() for g in grads]).norm()
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    return [g * factor for g in grads], norm


def dropout(x, share, generator=None):
    """Zero a share of x; the rest grows so that the mean stays."""
    keep = torch.rand(x.shape, generator=generator) >= share
    return x * keep.to(x) / (1 - share)


def find_rate(rates, losses, keep=0.9):
    """(a tenth of the rate at the smoothed minimum, the steepest)."""
    mean, smooth = 0.0, []
    for k, loss in enumerate(losses):
        mean = keep * mean + (1 - keep) * float(loss)
        smooth.append(mean / (1 - keep ** (k + 1)))
        if not smooth[-1] < 4 * min(smooth):
            break                            # exploded, or not a number
    low = int(np.nanargmin(smooth))
    fall = np.gradient(smooth[:low + 1], np.log(rates[:low + 1]))
    return rates[low] / 10, rates[int(np.argmin(fall))]


def curvature(loss, w):
    """The Hessian of loss at w (n,), as an operator: v -> Hv."""
    w = w.detach().requires_grad_()
    (g,) = torch.autograd.grad(loss(w), w, create_graph=True)

    def product(v):
        v = torch.tensor(v.ravel(), dtype=w.dtype, device=w.device)
        (hv,) = torch.autograd.grad(g @ v, w, retain_graph=True)
        return hv.cpu().numpy()

    return LinearOperator((len(w),) * 2, matvec=product, dtype="float64")


def sharpness(loss, w, v, rounds):
    """Rayleigh quotient after some power rounds from v, and its vector."""
    h = curvature(loss, w)
    v = power(h, v, rounds)[-1]
    return float(v @ (h @ v)), v
