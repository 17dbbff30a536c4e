"""Built in day 34, Multi-head attention: ``runner taught`` copies it from day34_multi_head_attention.ipynb."""

import math

import torch
from torch import nn

from helpers.taught.day33 import attention


def split_heads(x, heads):
    """(batch, length, heads · d) -> (batch, heads, length, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x):
    """(batch, heads, length, d) -> (batch, length, heads · d)."""
    return x.transpose(1, 2).flatten(2)


def causal_mask(n, m=None, device=None):
    """The last n of m positions ask: (n, m), True = may look."""
    m = n if m is None else m
    return torch.ones(n, m, dtype=torch.bool, device=device).tril(m - n)


def grouped(q, k, v, mask=None, rotate=None, cache=None):
    """q (b, heads, n, d), k and v (b, kv_heads, m, d) -> like q."""
    if rotate is not None:
        q, k = rotate(q), rotate(k)
    if cache is not None:
        k, v = cache.append(k, v)                  # all tokens so far
    shared = q.shape[1] // k.shape[1]
    k, v = (t.repeat_interleave(shared, dim=1) for t in (k, v))
    return attention(q, k, v, mask)[0]


class GroupedAttention(nn.Module):
    """MHA, GQA or MQA: kv_heads = heads, fewer, or 1."""
    def __init__(self, width, heads, kv_heads=None, bias=False,
                 head_width=None):
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads or heads
        d = head_width or width // heads
        self.query = nn.Linear(width, heads * d, bias=bias)
        self.key = nn.Linear(width, self.kv_heads * d, bias=bias)
        self.value = nn.Linear(width, self.kv_heads * d, bias=bias)
        self.output = nn.Linear(heads * d, width, bias=bias)

    def forward(self, x, mask=None, *, memory=None, rotate=None,
                cache=None):          # x (batch, n, width), mask (…, n, m)
        memory = x if memory is None else memory
        q = split_heads(self.query(x), self.heads)
        k, v = (split_heads(part(memory), self.kv_heads)
                for part in (self.key, self.value))
        mixed = grouped(q, k, v, mask, rotate, cache)
        return self.output(merge_heads(mixed))


class GrowingCache:
    """Keys and values of one layer, all tokens so far."""

    def __init__(self):
        self.kept = None

    def append(self, k, v):
        """k, v (batch, kv_heads, new, d) -> the same with all tokens."""
        if self.kept is not None:
            k, v = (torch.cat([old, new], dim=2)
                    for old, new in zip(self.kept, (k, v)))
        self.kept = (k, v)
        return self.kept

    def tensors(self):
        return [] if self.kept is None else list(self.kept)

    def __len__(self):
        return 0 if self.kept is None else self.kept[0].shape[2]


class LatentAttention(nn.Module):
    """MLA: the cache holds a latent and a short shared key."""
    def __init__(self, width, heads, rank, head_width, turn):
        super().__init__()
        self.heads, self.sizes = heads, (rank, turn)
        self.parts = (head_width, turn)
        self.query = nn.Linear(width, heads * sum(self.parts), bias=False)
        self.down = nn.Linear(width, rank + turn, bias=False)
        self.norm = nn.RMSNorm(rank, eps=1e-6)
        self.up = nn.Linear(rank, heads * 2 * head_width, bias=False)
        self.output = nn.Linear(heads * head_width, width, bias=False)

    def forward(self, x, mask=None, *, rotate=None, cache=None,
                absorb=False):
        parts = latent_parts(self, x, rotate, cache)
        look = latent_absorbed if absorb else latent_expanded
        mixed = look(*parts, self.up.weight, mask)
        return self.output(merge_heads(mixed))


def latent_parts(layer, x, rotate=None, cache=None):
    """q and qt per head; latent c and turning key t for all heads."""
    q = split_heads(layer.query(x), layer.heads)   # (b, h, n, d + turn)
    q, qt = q.split(layer.parts, dim=-1)
    c, t = layer.down(x)[:, None].split(layer.sizes, dim=-1)
    c = layer.norm(c)                              # (b, 1, n, rank)
    if rotate is not None:
        qt, t = rotate(qt), rotate(t)
    if cache is not None:
        c, t = cache.append(c, t)
    return q, qt, c, t


def latent_expanded(q, qt, c, t, up, mask=None):
    """q (b, h, n, d), qt (b, h, n, turn), c (b, 1, m, rank), t alike."""
    k, v = split_heads((c @ up.T)[:, 0], q.shape[1]).chunk(2, dim=-1)
    k = torch.cat([k, t.expand(-1, k.shape[1], -1, -1)], dim=-1)
    return attention(torch.cat([q, qt], dim=-1), k, v, mask)[0]


def latent_absorbed(q, qt, c, t, up, mask=None):
    """The same numbers without keys and values."""
    scale = 1 / math.sqrt(q.shape[-1] + qt.shape[-1])
    to_k, to_v = up.unflatten(0, (q.shape[1], 2, -1)).unbind(dim=1)
    q = torch.cat([q @ to_k, qt], dim=-1)     # (b, h, n, rank + turn)
    k = torch.cat([c, t], dim=-1)             # (b, 1, m, rank + turn)
    mixed = attention(q, k, c, mask, scale)[0]      # (b, h, n, rank)
    return mixed @ to_v.transpose(1, 2)       # (b, h, n, d)
