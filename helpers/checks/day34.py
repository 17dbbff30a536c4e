"""Checks of day 34: the bill in a config, multi-head attention, pruning for good, scores without keys."""

import math

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

_CONFIGS = {
    "no sets named": (dict(num_hidden_layers=12, hidden_size=768, num_attention_heads=12), 18432),
    "grouped": (
        dict(num_hidden_layers=80, hidden_size=8192, num_attention_heads=64, num_key_value_heads=8, head_dim=None),
        163840,
    ),
    "one set": (
        dict(num_hidden_layers=18, hidden_size=2048, num_attention_heads=8, num_key_value_heads=1, head_dim=256),
        9216,
    ),
    "head_dim given": (
        dict(num_hidden_layers=28, hidden_size=1024, num_attention_heads=16, num_key_value_heads=8, head_dim=128),
        57344,
    ),
    "sets None": (
        dict(num_hidden_layers=2, hidden_size=60, num_attention_heads=5, num_key_value_heads=None, kv_lora_rank=None),
        240,
    ),
    "latent": (
        dict(
            num_hidden_layers=60,
            hidden_size=5120,
            num_attention_heads=128,
            num_key_value_heads=128,
            kv_lora_rank=512,
            qk_rope_head_dim=64,
            head_dim=64,
        ),
        34560,
    ),
}
_HINTS = {
    "no sets named": "without num_key_value_heads every head has keys AND values of its own",
    "grouped": "what is kept per layer: keys and values of how many sets, and how wide is one when head_dim is None?",
    "one set": "one set of keys and values for all heads, and its width is given",
    "head_dim given": "head_dim is given, and it is not hidden_size / num_attention_heads",
    "sets None": "None means the same as missing, for the sets and for the latent",
    "latent": "MLA keeps one latent and one turned key for all heads; is anything of it kept twice?",
}


def cache_bytes(fn):
    for number in (2, 4, 1):
        for name, (config, kept) in _CONFIGS.items():
            got = fn(dict(config), number)
            assert isinstance(got, (int, float)), f"return a number of bytes, got {type(got).__name__}"
            assert got == kept * number, (
                f"{config} with {number} bytes a number: {kept * number:,} bytes a token, you say {got:,.0f}. "
                f"{_HINTS[name][0].upper()}{_HINTS[name][1:]}"
            )
    return "six configs, three sizes of number"


def _weights(g, width, heads, kv_heads, d, grad=False):
    shapes = dict(query=(heads * d, width), key=(kv_heads * d, width), value=(kv_heads * d, width))
    shapes["output"] = (width, heads * d)
    return {n: (torch.randn(s, generator=g) / math.sqrt(s[1])).requires_grad_(grad) for n, s in shapes.items()}


def _reference(x, weights, heads, kv_heads, mask, open_=None):
    def cut(name, number):
        return (x @ weights[name].T).unflatten(-1, (number, -1)).transpose(1, 2)

    q, k, v = cut("query", heads), cut("key", kv_heads), cut("value", kv_heads)
    each = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    if open_ is not None:
        each = each * open_[:, None, None]
    return each.transpose(1, 2).flatten(2) @ weights["output"].T


def my_multi_head(fn):
    g = torch.Generator().manual_seed(34)
    for batch, n, width, heads, kv_heads, d in [
        (1, 1, 4, 1, 1, 4),
        (2, 5, 12, 3, 3, 4),
        (2, 6, 24, 6, 1, 4),
        (3, 7, 16, 4, 2, 4),
        (2, 6, 10, 6, 2, 8),
        (2, 4, 32, 8, 4, 2),
    ]:
        weights = _weights(g, width, heads, kv_heads, d, grad=True)
        x = torch.randn(batch, n, width, generator=g, requires_grad=True)
        mask = torch.rand(n, n, generator=g).fill_diagonal_(0) < 0.6
        case = f"batch {batch}, n {n}, width {width}, {heads} heads of {d} on {kv_heads} sets"
        got, want = fn(x, weights, heads, kv_heads, mask), _reference(x, weights, heads, kv_heads, mask)
        assert isinstance(got, torch.Tensor), f"return the output only, a tensor, got {type(got).__name__}"
        assert got.shape == want.shape, f"{case}: output {tuple(want.shape)}, got {tuple(got.shape)}"
        far = (got - want).abs().max().item()
        assert far < 1e-5, f"{case}: off by {far:.2g}. {_diagnose(fn, g)}"
        leaves, up = [x, *weights.values()], torch.randn(want.shape, generator=g)
        theirs = torch.autograd.grad(want, leaves, up)
        for name, a, b in zip(
            ["x", *weights], torch.autograd.grad(got, leaves, up, allow_unused=True), theirs, strict=True
        ):
            assert a is not None and (a - b).abs().max() < 1e-4, f"{case}: right, but the gradient of {name} is not"
    return "MHA, GQA and MQA in six shapes, masks, gradients of inputs and weights"


def _diagnose(fn, g):
    """Which part is it? Simplest case first."""

    def off(heads, kv_heads, mask, n=5):
        weights = _weights(g, 8, heads, kv_heads, 4)
        x = torch.randn(2, n, 8, generator=g)
        return (fn(x, weights, heads, kv_heads, mask) - _reference(x, weights, heads, kv_heads, mask)).abs().max()

    free = torch.ones(5, 5, dtype=torch.bool)
    if off(2, 2, torch.ones(1, 1, dtype=torch.bool), n=1) > 1e-5:
        return "It is off for a single token, which can only look at itself: are the heads' results joined in order?"
    if off(1, 1, free) > 1e-5:
        return "It is off with one head and no mask: what is the score divided by?"
    if off(1, 1, free.tril()) > 1e-5:
        return "With one head it is right without a mask only: True means 'may look', and the shares still sum to one"
    if off(2, 2, free) > 1e-5:
        return (
            "One head is right, two are not. Give token i the value i everywhere and look at head 0 after cutting, "
            "and again after joining: reshape alone mixes positions; and is the score's scale that of ONE head?"
        )
    return "MHA is right, shared sets are not: which set does query head 1 read, when 4 heads share 2 sets?"


def prune(fn):
    g = torch.Generator().manual_seed(35)
    for width, heads, kv_heads, d, gone in [
        (12, 3, 3, 4, [1]),
        (16, 6, 3, 4, [0]),
        (16, 6, 3, 4, [0, 2]),
        (10, 8, 4, 2, [1, 2]),
        (8, 4, 2, 2, []),
    ]:
        weights = _weights(g, width, heads, kv_heads, d)
        before = {n: w.clone() for n, w in weights.items()}
        got = fn(weights, heads, kv_heads, list(gone))
        case = f"{heads} heads of {d} on {kv_heads} sets, width {width}, gone {gone}"
        assert isinstance(got, dict) and set(got) == set(weights), "return a dictionary with the same four names"
        assert all(torch.equal(weights[n], before[n]) for n in weights), "leave the old weights as they were"
        left = heads - len(gone) * heads // kv_heads
        sets = kv_heads - len(gone)
        want = dict(query=(left * d, width), key=(sets * d, width), value=(sets * d, width), output=(width, left * d))
        for name, shape in want.items():
            hint = (
                "it takes in the joined heads, so it loses columns" if name == "output" else "a head is d of its rows"
            )
            assert tuple(got[name].shape) == shape, (
                f"{case}: {name} should be {shape}, got {tuple(got[name].shape)}: {hint}"
            )
        open_ = torch.tensor([float(h * kv_heads // heads not in gone) for h in range(heads)])
        x, mask = torch.randn(2, 5, width, generator=g), torch.ones(5, 5, dtype=torch.bool).tril()
        far = (_reference(x, got, left, sets, mask) - _reference(x, weights, heads, kv_heads, mask, open_)).abs().max()
        assert far < 1e-5, (
            f"{case}: the shapes are right, the output is off by {far:.2g} from that with the heads silenced: "
            "which query heads use a set, and are the same ones gone from all four matrices?"
        )
    return "five prunings equal their silenced models, with smaller matrices"


class _Watch(TorchDispatchMode):
    """The most numbers in any tensor made inside."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(t, torch.Tensor):
                self.largest = max(self.largest, t.numel())
        return out


def latent_scores(fn):
    g = torch.Generator().manual_seed(36)
    for batch, heads, n, m, d, rank in [
        (1, 1, 1, 1, 1, 1),
        (2, 3, 4, 5, 6, 7),
        (1, 4, 1, 9, 8, 3),
        (2, 8, 1, 500, 128, 4),
    ]:
        q, c = torch.randn(batch, heads, n, d, generator=g), torch.randn(batch, m, rank, generator=g)
        up = torch.randn(heads * d, rank, generator=g)
        keys = (c @ up.T).unflatten(-1, (heads, d)).transpose(1, 2)
        want = q @ keys.transpose(-2, -1) / math.sqrt(d)
        with _Watch() as watch:
            got = fn(q, c, up)
        case = f"batch {batch}, heads {heads}, n {n}, m {m}, d {d}, rank {rank}"
        assert isinstance(got, torch.Tensor) and got.shape == want.shape, (
            f"{case}: scores have shape {tuple(want.shape)}"
        )
        far = ((got - want).abs().max() / want.abs().max()).item()
        ratio = (got.flatten() @ want.flatten() / want.flatten().square().sum()).item()
        scaled = abs(ratio - 1) > 1e-3 and (got - ratio * want).abs().max() < 1e-3 * want.abs().max()
        hint = (
            f"all scores are {ratio:.2f} times what they should be: they still belong to a head of d numbers"
            if scaled
            else "U_h are d rows of `up`, head after head; it moves to the query transposed"
        )
        assert far < 1e-4, f"{case}: off by {far:.1%} of the largest score: {hint}"
        if m == 500:
            assert watch.largest < m * d, (
                f"right, but a tensor of {watch.largest:,} numbers was made on the way, and the keys of a single head "
                f"of one text are {m * d:,}: made head by head they are still made. Multiply the query by U_h first"
            )
    return "right in four shapes, and no keys were made"


def _bill(sets, width, times=2):
    def fn(config, number):
        return config["num_hidden_layers"] * times * sets(config) * width(config) * number

    return fn


def _sets(config):
    return config.get("num_key_value_heads") or config["num_attention_heads"]


def _width(config):
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def _latent_twice(config, number):
    if config.get("kv_lora_rank"):
        return 2 * config["num_hidden_layers"] * (config["kv_lora_rank"] + config["qk_rope_head_dim"]) * number
    return _bill(_sets, _width)(config, number)


def _latent_per_head(config, number):
    if config.get("kv_lora_rank"):
        kept = config["kv_lora_rank"] + config["num_attention_heads"] * config["qk_rope_head_dim"]
        return config["num_hidden_layers"] * kept * number
    return _bill(_sets, _width)(config, number)


def _attend(cut, join, share, scale=None, late_mask=False):
    def fn(x, weights, heads, kv_heads, mask):
        q = cut(x @ weights["query"].T, heads)
        k, v = (share(cut(x @ weights[n].T, kv_heads), heads // kv_heads) for n in ("key", "value"))
        scores = q @ k.transpose(-2, -1) / math.sqrt(scale(x, q) if scale else q.shape[-1])
        if late_mask:
            return join(scores.softmax(-1) * mask @ v) @ weights["output"].T
        return join(scores.masked_fill(~mask, -math.inf).softmax(-1) @ v) @ weights["output"].T

    return fn


def _cut(t, number):
    return t.unflatten(-1, (number, -1)).transpose(1, 2)


def _cut_view(t, number):
    return t.reshape(t.shape[0], number, t.shape[1], -1)


def _cut_inner(t, number):
    return t.unflatten(-1, (-1, number)).permute(0, 3, 1, 2)


def _join(t):
    return t.transpose(1, 2).flatten(2)


def _join_view(t):
    return t.reshape(t.shape[0], t.shape[2], -1)


def _share(t, times):
    return t.repeat_interleave(times, 1)


def _tile(t, times):
    return t.repeat(1, times, 1, 1)


def _opposite(x, weights, heads, kv_heads, mask):
    mask = ~mask
    mask = mask | ~mask.any(-1, keepdim=True)
    return _reference(x, weights, heads, kv_heads, mask)


def _prune_with(query_heads, output):
    def fn(weights, heads, kv_heads, gone):
        keep = [s for s in range(kv_heads) if s not in gone]
        shared = heads // kv_heads
        chosen = query_heads(keep, shared, heads, kv_heads, gone)
        new = {n: weights[n].unflatten(0, (kv_heads, -1))[keep].flatten(0, 1) for n in ("key", "value")}
        new["query"] = weights["query"].unflatten(0, (heads, -1))[chosen].flatten(0, 1)
        return new | {"output": output(weights["output"], heads, chosen)}

    return fn


def _users(keep, shared, heads, kv_heads, gone):
    return [s * shared + i for s in keep for i in range(shared)]


def _tiled_users(keep, shared, heads, kv_heads, gone):
    return [h for h in range(heads) if h % kv_heads in keep]


def _first_heads(keep, shared, heads, kv_heads, gone):
    return list(range(len(keep) * shared))


def _columns(w, heads, chosen):
    return w.unflatten(1, (heads, -1))[:, chosen].flatten(1)


def _first_columns(w, heads, chosen):
    return w[:, : len(chosen) * (w.shape[1] // heads)]


def _rows(w, heads, chosen):
    return w[: len(chosen) * (w.shape[1] // heads)]


def _zeroed(weights, heads, kv_heads, gone):
    new = {n: w.clone() for n, w in weights.items()}
    for name in ("query", "key", "value"):
        new[name].unflatten(0, (kv_heads, -1))[gone] = 0
    return new


def _keys_made(q, c, up):
    keys = (c @ up.T).unflatten(-1, (q.shape[1], -1)).transpose(1, 2)
    return q @ keys.transpose(-2, -1) / math.sqrt(q.shape[-1])


def _keys_head_by_head(q, c, up):
    parts = up.unflatten(0, (q.shape[1], -1))
    scores = [q[:, h] @ (c @ u.T).transpose(-2, -1) for h, u in enumerate(parts)]
    return torch.stack(scores, dim=1) / math.sqrt(q.shape[-1])


def _moved(q, c, up, scale):
    moved = q @ up.unflatten(0, (q.shape[1], -1))
    return moved @ c[:, None].transpose(-2, -1) / scale


def _inner_heads(q, c, up):
    up = up.unflatten(0, (q.shape[-1], -1)).transpose(0, 1)
    return q @ up @ c[:, None].transpose(-2, -1) / math.sqrt(q.shape[-1])


WRONG = {
    "cache_bytes": {
        "forgets the values": _bill(_sets, _width, times=1),
        "counts query heads": _bill(lambda c: c["num_attention_heads"], _width),
        "width by heads always": _bill(_sets, lambda c: c["hidden_size"] // c["num_attention_heads"]),
        "no special case for MLA": _bill(_sets, _width),
        "the latent twice": _latent_twice,
        "a turned key for each head": _latent_per_head,
    },
    "my_multi_head": {
        "cut without the transpose": _attend(_cut_view, _join, _share),
        "cut and joined without the transpose": _attend(_cut_view, _join_view, _share),
        "joined without the transpose": _attend(_cut, _join_view, _share),
        "heads are the inner axis": _attend(_cut_inner, _join, _share),
        "sets tiled": _attend(_cut, _join, _tile),
        "scaled by the whole width": _attend(_cut, _join, _share, scale=lambda x, q: x.shape[-1]),
        "scaled by all heads together": _attend(_cut, _join, _share, scale=lambda x, q: q.shape[1] * q.shape[-1]),
        "masked after the softmax": _attend(_cut, _join, _share, late_mask=True),
        "True means forbidden": _opposite,
    },
    "prune": {
        "rows of the output matrix": _prune_with(_users, _rows),
        "the first columns of the output matrix": _prune_with(_users, _first_columns),
        "query heads as if tiled": _prune_with(_tiled_users, _columns),
        "the first query heads": _prune_with(_first_heads, _columns),
        "zeros instead of smaller": _zeroed,
    },
    "latent_scores": {
        "makes the keys": _keys_made,
        "makes the keys head by head": _keys_head_by_head,
        "scaled by the rank": lambda q, c, up: _moved(q, c, up, math.sqrt(c.shape[-1])),
        "not scaled": lambda q, c, up: _moved(q, c, up, 1.0),
        "heads are the inner axis": _inner_heads,
    },
}
