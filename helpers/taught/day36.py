"""Built in day 36, The transformer block: ``runner taught`` copies it from day36_transformer_block.ipynb."""

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    """x / rms(x) · gain, along the last axis."""
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        up = x.float() if x.dtype.itemsize < 4 else x  # halves overflow
        scale = torch.rsqrt(up.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * (up * scale).to(x.dtype)


class LayerNorm(nn.Module):
    """(x − mean) / std · gain + bias, along the last axis."""
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        up = x.float() if x.dtype.itemsize < 4 else x
        up = up - up.mean(-1, keepdim=True)
        scale = torch.rsqrt(up.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * (up * scale).to(x.dtype) + self.bias


class SwiGLU(nn.Module):
    """width → hidden → width; Llama's feed-forward, no biases."""
    def __init__(self, width, hidden):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class FeedForward(nn.Module):
    """width → hidden → width with GELU; BERT's and GPT-2's."""
    def __init__(self, width, hidden):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """x (batch, time, width) → the same; norm() makes a norm."""
    def __init__(self, attend, feed, norm, post=False):
        super().__init__()
        self.attend, self.feed, self.post = attend, feed, post
        self.norm1, self.norm2 = norm(), norm()

    def forward(self, x, mask=None, **options):
        if self.post:
            x = self.norm1(x + self.attend(x, mask, **options))
            return self.norm2(x + self.feed(x))
        x = x + self.attend(self.norm1(x), mask, **options)
        return x + self.feed(self.norm2(x))


def initialise(model, write=(1.0, 1.0), std=None):
    """Normal weights of std (default fan-in^-½); writes are scaled.

    write: factors of what attention and the feed-forward add.
    """
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(p)
        elif p.dim() == 2:
            nn.init.normal_(p, std=std or p.shape[1] ** -0.5)
        if name.endswith("attend.output.weight"):
            p.data.mul_(write[0])
        elif name.endswith("feed.down.weight"):
            p.data.mul_(write[1])
    return model


LLAMA = {
    "norm1.weight": "input_layernorm.weight",
    "attend.query.weight": "self_attn.q_proj.weight",
    "attend.key.weight": "self_attn.k_proj.weight",
    "attend.value.weight": "self_attn.v_proj.weight",
    "attend.output.weight": "self_attn.o_proj.weight",
    "norm2.weight": "post_attention_layernorm.weight",
    "feed.gate.weight": "mlp.gate_proj.weight",
    "feed.up.weight": "mlp.up_proj.weight",
    "feed.down.weight": "mlp.down_proj.weight",
}
