"""Built in day 35, Positional encoding: ``runner taught`` copies it from day35_positional_encoding.ipynb."""

import math

import torch


def rope_frequencies(head_width, base=10000.0):
    """Radians per position of each pair of coordinates: (head_width/2,)."""
    return 1 / base ** (torch.arange(0, head_width, 2) / head_width)


def sinusoidal(length, width, base=10000.0):
    """(length, width): all sines, then all cosines."""
    angle = torch.arange(length)[:, None] * rope_frequencies(width, base)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def rotate(x, positions, frequencies, factor=1.0):
    """x (…, n, d), positions (n,) or (batch, n): each pair turned."""
    angle = positions[..., None] * frequencies      # (…, n, d/2)
    if angle.dim() == 3:
        angle = angle[:, None]                      # a place for heads
    cos, sin = factor * angle.cos(), factor * angle.sin()
    a, b = x.chunk(2, dim=-1)                       # pair i: a[i], b[i]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def alibi_slopes(heads):
    """Slopes of ALiBi, a geometric series: (heads,)."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (h + 1) / power) for h in range(power)]
    extra = [2 ** (-4 * (h + 1) / power) for h in range(2 * power)]
    return torch.tensor(slopes + extra[::2][:heads - power])


def alibi_pair(q, k, slopes):
    """q, k (batch, heads, ·, d) with one coordinate more: slope · j."""
    ask = (slopes * math.sqrt(q.shape[-1])).view(1, -1, 1, 1)
    place = torch.arange(k.shape[2], device=k.device).view(1, 1, -1, 1)
    ask = ask.to(q).expand(*q.shape[:3], 1)
    place = place.to(k).expand(*k.shape[:3], 1)
    return torch.cat([q, ask], dim=-1), torch.cat([k, place], dim=-1)


def ntk(head_width, scale, base=10000.0):
    """Frequencies with a larger base; the slowest is divided by scale."""
    grown = base * scale ** (head_width / (head_width - 2))
    return rope_frequencies(head_width, grown)


def yarn(head_width, scale, length, base=10000.0, fast=32, slow=1):
    """Frequencies and the factor on q and k, for a model of `length`."""
    def pair(turns):                      # the pair with so many turns
        return (head_width * math.log(length / (turns * 2 * math.pi))
                / (2 * math.log(base)))
    low = max(math.floor(pair(fast)), 0)
    high = min(math.ceil(pair(slow)), head_width - 1)
    ramp = (torch.arange(head_width // 2) - low) / (high - low or 0.001)
    ramp = ramp.clamp(0, 1)               # 0: keep, 1: divide by scale
    plain = rope_frequencies(head_width, base)
    factor = 0.1 * math.log(scale) + 1 if scale > 1 else 1.0
    return plain * (1 - ramp) + plain / scale * ramp, factor
