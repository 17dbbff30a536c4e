"""Built in day 14, Adaptive optimisers: ``runner taught`` copies it from day14_adaptive_optimizers.ipynb."""

import torch
import torch.nn.functional as F


def adagrad(w, g, state, lr, eps=1e-10, decay=0.0):
    """Divide by the root of the sum of all squares so far."""
    g = g + decay * w
    state["v"] = state.get("v", 0) + g * g
    return w - lr * g / (state["v"].sqrt() + eps)


def rmsprop(w, g, state, lr, alpha=0.99, eps=1e-8, decay=0.0):
    """Divide by the root of a running mean of squares."""
    g = g + decay * w
    state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g * g
    return w - lr * g / (state["v"].sqrt() + eps)


def adam(w, g, state, lr, betas=(0.9, 0.999), eps=1e-8, decay=0.0,
         decoupled=True):
    """Adam; AdamW when the decay is decoupled from the gradient."""
    if decoupled:
        w = w * (1 - lr * decay)
    else:
        g = g + decay * w
    (b1, b2), t = betas, state.get("t", 0) + 1
    m = b1 * state.get("m", 0) + (1 - b1) * g
    v = b2 * state.get("v", 0) + (1 - b2) * g * g
    state.update(t=t, m=m, v=v)
    root = (v / (1 - b2**t)).sqrt() + eps
    return w - lr * (m / (1 - b1**t)) / root


def lion(w, g, state, lr, betas=(0.9, 0.99), decay=0.0):
    """Step by the sign; then let the mean see the gradient."""
    m = state.get("m", torch.zeros_like(g))
    state["m"] = betas[1] * m + (1 - betas[1]) * g
    push = (betas[0] * m + (1 - betas[0]) * g).sign()
    return w - lr * (push + decay * w)


def orthogonal(x, steps=5, dtype=None):
    """Singular values of each x (rows, cols) to near 1; stacks too."""
    kind, tall = x.dtype, x.shape[-2] > x.shape[-1]
    x = (x.mT if tall else x).to(dtype or kind)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    add = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(steps):
        gram = x @ x.mT
        poly = add(gram, gram, gram, beta=-4.775, alpha=2.0315)
        x = add(x, poly, x, beta=3.4445)
    return (x.mT if tall else x).to(kind)


def muon(w, g, state, lr, momentum=0.95, decay=0.0, dtype=None):
    """Nesterov mean, made orthogonal; size of an AdamW step."""
    old = state.get("m", torch.zeros_like(g))
    state["m"] = m = torch.lerp(old, g, 1 - momentum)
    push = orthogonal(torch.lerp(g, m, momentum), dtype=dtype)
    scale = 0.2 * max(w.shape[-2:]) ** 0.5
    return w * (1 - lr * decay) - lr * scale * push


def tiny_weights(seeds, vocab, width, time, depth, device="cpu"):
    """One small transformer per seed: name -> (runs, rows, cols)."""
    makers = [torch.Generator().manual_seed(s) for s in seeds]

    def normal(std, *shape):
        draws = [torch.randn(shape, generator=g) for g in makers]
        return (std * torch.stack(draws)).to(device).requires_grad_()

    one = width**-0.5
    weights = {"embed": normal(0.1, vocab, width),
               "place": normal(0.1, time, width)}
    for k in range(depth):
        weights[f"qkv{k}"] = normal(one, width, 3 * width)
        weights[f"mix{k}"] = normal(one / 2, width, width)
        weights[f"up{k}"] = normal(one, width, 4 * width)
        weights[f"down{k}"] = normal(one / 4, 4 * width, width)
    weights["head"] = normal(one / 10, width, vocab)
    return weights


def times(h, w):
    """h (runs, batch, time, rows) by each run's w (runs, rows, cols)."""
    return (h.flatten(1, 2) @ w).unflatten(1, h.shape[1:3])


def tiny_logits(p, ids):
    """ids (runs, batch, time) -> (runs, batch, time, vocab)."""
    width = p["embed"].shape[-1]
    which = torch.arange(len(ids), device=ids.device)[:, None, None]
    h = p["embed"][which, ids] + p["place"][:, None, :ids.shape[-1]]
    for k in range(sum(name.startswith("qkv") for name in p)):
        mixed = times(F.layer_norm(h, (width,)), p[f"qkv{k}"])
        q, key, v = (part.unflatten(-1, (-1, 16)).transpose(2, 3)
                     for part in mixed.chunk(3, -1))
        a = F.scaled_dot_product_attention(q, key, v, is_causal=True)
        h = h + times(a.transpose(2, 3).flatten(3), p[f"mix{k}"])
        inner = F.gelu(times(F.layer_norm(h, (width,)), p[f"up{k}"]))
        h = h + times(inner, p[f"down{k}"])
    return times(F.layer_norm(h, (width,)), p["head"])


def tiny_losses(p, window):
    """Mean cross-entropy of each run; window (runs, batch, time + 1)."""
    logits, target = tiny_logits(p, window[..., :-1]), window[..., 1:]
    loss = F.cross_entropy(logits.flatten(0, 2), target.flatten(),
                           reduction="none")
    return loss.view(len(window), -1).mean(1)


def state_bytes(*optimisers):
    """Bytes of all tensors that the optimisers keep, counters too."""
    return sum(t.numel() * t.element_size() for opt in optimisers
               for kept in opt.state.values() for t in kept.values()
               if torch.is_tensor(t))
