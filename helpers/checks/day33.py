"""Checks of day 33: masks, attention, the test for a missing mask, bytes, a habit of heads."""

import math

import torch
import torch.nn.functional as F


def cached_causal_mask(fn):
    for n_q, n_k in [(1, 1), (3, 3), (1, 6), (2, 5), (4, 7)]:
        got = fn(n_q, n_k)
        assert isinstance(got, torch.Tensor), f"return a tensor, got {type(got).__name__}"
        assert got.dtype == torch.bool, f"a mask is boolean (True = may look), yours holds {got.dtype}"
        shape = tuple(got.shape)
        assert shape == (n_q, n_k), f"for n_q={n_q}, n_k={n_k} the shape is (queries, keys) = {(n_q, n_k)}, got {shape}"
        for i in range(n_q):
            seen = got[i].nonzero().flatten().tolist()
            want = n_k - n_q + i + 1
            assert seen == list(range(want)), (
                f"n_q={n_q}, n_k={n_k}: query {i} is token number {n_k - n_q + i} of the whole sequence; "
                f"it may see itself and all before it, yours sees keys {seen}"
            )
    return "five shapes, with and without a cache"


def my_attention(fn):
    g = torch.Generator().manual_seed(33)
    for lead, n, m, d, dv in [((), 1, 1, 1, 1), ((), 4, 7, 3, 5), ((3,), 5, 2, 8, 1), ((2, 3), 6, 6, 64, 16)]:
        q, k, v = (torch.randn(*lead, *s, generator=g, requires_grad=True) for s in ((n, d), (m, d), (m, dv)))
        mask = torch.rand(*lead, n, m, generator=g) < 0.6
        mask[..., 0] = True
        _compare(fn, q, k, v, mask, f"shapes q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}")
    q, k = (200 * torch.randn(2, 3, 4, generator=g) for _ in range(2))
    got = fn(q, k, k, torch.ones(2, 3, 3, dtype=torch.bool))
    assert got.isfinite().all(), "scores of some thousands give NaN: exp overflows; subtract the largest score first"
    _far_scores(fn, g)
    return "outputs and gradients, large scores, a query that sees nothing: " + _dead_row(fn, g)


def _far_scores(fn, g):
    """Whole-number scores of tens of thousands, so that rounding has no say; the forbidden ones are the largest."""
    q, k = (torch.randint(-200, 201, (2, 5, 4), generator=g).float() for _ in range(2))
    q[:, 0], k[:, 0], k[:, 1] = 100.0, -100.0, 100.0  # the first query may see −20,000 only, and must not see +20,000
    mask = torch.ones(2, 5, 5, dtype=torch.bool).tril()
    v = torch.randn(2, 5, 3, generator=g)
    far = (fn(q, k, v, mask) - F.scaled_dot_product_attention(q, k, v, attn_mask=mask)).abs().max()
    assert far < 1e-5, (  # NaN fails, too
        f"scores of tens of thousands under a causal mask: the output is off by {far:.2g}. Which scores may a row's "
        "largest be taken from, is a forbidden pair certain to lose against any allowed one, and is a score cut off?"
    )


def _compare(fn, q, k, v, mask, case):
    want = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    got = fn(q, k, v, mask)
    assert isinstance(got, torch.Tensor), f"return the output only, a tensor, got {type(got).__name__}"
    shape = tuple(want.shape)
    assert got.shape == want.shape, f"{case}: the output has shape (…, n, dv) = {shape}, got {tuple(got.shape)}"
    far = (got - want).abs().max().item()
    assert far < 1e-5, f"{case}: the output is off by {far:.2g}. {_diagnose(fn, q, k, v)}"
    up = torch.randn(want.shape, generator=torch.Generator().manual_seed(1))
    for name, a, b in zip(
        "qkv", torch.autograd.grad(got, (q, k, v), up), torch.autograd.grad(want, (q, k, v), up), strict=True
    ):
        assert (a - b).abs().max() < 1e-5, f"{case}: the output fits, but the gradient of {name} does not"


def _diagnose(fn, q, k, v):
    """A hint from two probes: equal values, and no mask at all."""
    n, m = q.shape[-2], k.shape[-2]
    everybody = torch.ones(*q.shape[:-2], n, m, dtype=torch.bool)
    with torch.no_grad():
        ones = fn(q, k, torch.ones_like(v), everybody)
        some = everybody.clone()
        some[..., 1:] = False
        masked = fn(q, k, torch.ones_like(v), some)
        plain = (fn(q, k, v, everybody) - F.scaled_dot_product_attention(q, k, v)).abs().max()
    if not torch.allclose(ones, torch.ones_like(ones), atol=1e-4):
        return "With all values 1 the answer must be 1: over which axis do the shares of one query sum to one?"
    if not torch.allclose(masked, torch.ones_like(masked), atol=1e-4):
        return "With a mask the shares no longer sum to one: when is a pair forbidden, before or after the softmax?"
    if plain > 1e-5:
        return "It is off without a mask as well: what is a score multiplied by?"
    return "Without a mask it is right: does True mean 'may look'?"


def _dead_row(fn, g):
    q, k, v = (torch.randn(2, 5, 8, generator=g, requires_grad=True) for _ in range(3))
    mask = torch.ones(2, 5, 5, dtype=torch.bool).tril()
    mask[0, 3] = False
    got = fn(q, k, v, mask)
    assert not got.isnan().any(), "a query that may see nothing gives NaN: its row is all −∞, and softmax is 0/0"
    assert got[0, 3].abs().max() == 0, (
        f"a query that may see nothing should get zeros, yours gets {got[0, 3, 0].item():.2f}…: "
        "a large negative score instead of −∞ makes all its shares equal"
    )
    got.sum().backward()
    bad = [name for name, t in zip("qkv", (q, k, v), strict=True) if not t.grad.isfinite().all()]
    assert not bad, (
        f"the output is fine, but the gradient of {', '.join(bad)} is NaN: NaN × 0 is NaN on the way back, "
        "so no NaN may arise in the first place"
    )
    return "zeros and finite gradients"


def _embedder(fault, noise=1e-6):
    """An embedding service over word hashes; ``fault`` names what is wrong with it."""

    def vector(word):
        g = torch.Generator().manual_seed(sum(ord(c) * 31**i for i, c in enumerate(word)) % 2**31)
        return torch.randn(16, generator=g)

    def embed(texts):
        assert isinstance(texts, list) and all(isinstance(t, str) for t in texts), (
            "embed takes a list of texts, as in embed([text])"
        )
        longest = max(len(t.split()) for t in texts)
        out = []
        for row, text in enumerate(texts):
            words = text.split()
            total = torch.stack([vector(w) for w in words]).mean(0)
            short = (longest - len(words)) / longest
            if fault == "padding":
                total = total + 0.5 * short * vector("[PAD]")
            if fault == "faint padding":
                total = total + 2e-4 * short * vector("[PAD]")
            if fault == "neighbour" and row > 0:
                total = total + 0.1 * vector(texts[row - 1].split()[0])
            if fault == "truncated to the shortest":
                total = torch.stack([vector(w) for w in words[: min(len(t.split()) for t in texts)]]).mean(0)
            out.append(F.normalize(total, dim=0))
        return torch.stack(out) + noise * math.sin(len(texts))

    return embed


def depends_on_company(fn):
    got = fn(_embedder(None))
    assert isinstance(got, (bool,)), f"return True or False, got {type(got).__name__}"
    assert got is False, (
        "a sound service was accused: its vectors differ by rounding only (about 1e-6); allow differences up to 1e-5"
    )
    hints = {
        "padding": "short texts are polluted by padding: compare a short text alone and beside a longer one",
        "faint padding": "the vectors move by a ten-thousandth only: compare number by number; a cosine hides it",
        "neighbour": "a vector depends on the text in the row before it: look at every row, in more than one order",
        "truncated to the shortest": "long texts are cut when a short one is there: look at every text, long ones too",
    }
    for fault, hint in hints.items():
        assert fn(_embedder(fault)) is True, f"a broken service passed your test: {hint}"
    return "one sound service acquitted, four broken ones found; now turn it on the lesson's"


def kept_bytes(fn):
    from helpers import bench

    def attention(q, k, v):
        s = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]))
        e = (s - s.amax(dim=-1, keepdim=True)).exp()
        return e / e.sum(dim=-1, keepdim=True) @ v

    for batch, heads, n, d in [(1, 1, 512, 64), (1, 4, 256, 32), (2, 3, 128, 16), (1, 2, 64, 64), (3, 1, 32, 128)]:
        q, k, v = (torch.randn(batch, heads, n, d, requires_grad=True) for _ in range(3))
        want, got = bench.bytes_saved(attention, q, k, v), fn(batch, heads, n, d)
        assert isinstance(got, (int, float)), f"return a number of bytes, got {type(got).__name__}"
        assert abs(got / want - 1) < 0.05, (
            f"batch {batch}, heads {heads}, n {n}, d {d}: autograd keeps {want:,} bytes, you say {got:,.0f} "
            f"(×{got / want:.2f}). Count per head: how many n × n tables, and which n × d ones? How many heads in all, "
            "and how many bytes has a float32?"
        )
    return "within 5 % of the measured bytes in five shapes, from n ≫ d to n < d"


def duplicate_head(fn):
    g = torch.Generator().manual_seed(2)
    time = 30
    for layer, head in [(0, 0), (2, 3), (1, 1)]:
        ids = torch.randint(6, (time,), generator=g)
        earlier = (ids[:, None] == ids[None, :]).tril(-1)
        attn = torch.rand(3, 4, time, time, generator=g).tril()
        order = earlier.cumsum(-1)  # 1 at the first copy, largest at the latest
        copies = earlier & (order == order[:, -1:]) if layer == 2 else earlier  # one looks at the latest copy only
        attn[layer, head] = 0.05 * attn[layer, head] + 3.0 * copies
        free = [(a, b) for a in range(3) for b in range(4) if (a, b) != (layer, head)]
        attn[free[0]] += 60 * torch.eye(time)  # looks at itself
        attn[free[1]] += 60 * torch.eye(time).roll(1, 0).tril(-1)  # looks at the token before
        attn[free[2]] += 60 * earlier.roll(1, 1).tril()  # one place after the copy: an induction head
        attn[free[3]] += 60 * torch.eye(time).roll(time // 2, 0).tril(-1)  # a fixed distance back
        attn = attn / attn.sum(-1, keepdim=True)
        attn[free[4]] = 0.6 * attn[free[4]] + 0.4 * (earlier & (order == 1))  # a little, on the first copy
        got = fn(attn, ids)
        assert isinstance(got, tuple) and len(got) == 2, "return a pair (layer, head)"
        got = tuple(int(x) for x in got)
        habits = {
            free[0]: "it looks at the token itself, which is no earlier copy",
            free[1]: "it looks at the token just before, whatever that is",
            free[2]: "it looks one place after the copy: an induction head",
            free[3]: "it looks a fixed distance back and ignores ids",
            free[4]: "it puts less than half of its weight on copies, always the first: a token may have several",
        }
        why = habits.get(got, "its weights are random")
        assert got == (layer, head), f"among planted heads you chose {got}: {why}"
    return "found three planted heads among five kinds of decoys"


def _scores(q, k):
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])


def _nan_repaired(q, k, v, mask):
    w = _scores(q, k).masked_fill(~mask, -math.inf).softmax(-1)
    return (w @ v).nan_to_num(0.0)


def _naive_exp(q, k, v, mask):
    e = _scores(q, k).exp() * mask
    return e / e.sum(-1, keepdim=True).clamp_min(1e-30) @ v


def _largest_of_all(q, k, v, mask):
    s = _scores(q, k)
    e = (s - s.amax(-1, keepdim=True)).exp() * mask
    return e / e.sum(-1, keepdim=True).clamp_min(1e-30) @ v


def _ten_thousand(q, k, v, mask):
    return (_scores(q, k).masked_fill(~mask, -1e4).softmax(-1) * mask) @ v


def _masked_after(q, k, v, mask):
    return (_scores(q, k).softmax(-1) * mask) @ v


def _over_queries(q, k, v, mask):
    return _scores(q, k).masked_fill(~mask, -math.inf).softmax(-2).nan_to_num(0.0) @ v


def _divided_by_d(q, k, v, mask):
    s = q @ k.transpose(-2, -1) / q.shape[-1]
    return s.masked_fill(~mask, -math.inf).softmax(-1) @ v


def _large_negative(q, k, v, mask):
    return _scores(q, k).masked_fill(~mask, -1e9).softmax(-1) @ v


def _same_length(embed):
    texts = ["red car here", "blue bus there"]
    return bool((embed(texts) - torch.cat([embed([t]) for t in texts])).abs().max() > 1e-5)


def _exact(embed):
    texts = ["no", "where is my order", "one two three four five six"]
    return not torch.equal(embed(texts), torch.cat([embed([t]) for t in texts]))


def _only_the_short(embed):
    return bool((embed(["no", "one two three four five"])[0] - embed(["no"])[0]).abs().max() > 1e-5)


def _loose(embed):
    texts = ["no", "where is my order", "one two three four five six"]
    return bool(((embed(texts) * torch.cat([embed([t]) for t in texts])).sum(-1) < 0.99).any())


def _strict_cosine(embed):
    texts = ["no", "where is my order", "one two three four five six"]
    return bool((1 - (embed(texts) * torch.cat([embed([t]) for t in texts])).sum(-1) > 1e-5).any())


def _first_copy_only(attn, ids):
    earlier = (ids[:, None] == ids[None, :]).tril(-1)
    score = (attn * (earlier & (earlier.cumsum(-1) == 1))).sum(-1)[..., earlier.any(-1)].mean(-1)
    return divmod(int(score.argmax()), attn.shape[1])


def _fixed_offset(attn, ids):
    t = torch.arange(len(ids) // 2, len(ids))
    score = attn[:, :, t, t - len(ids) // 2].mean(-1)
    return divmod(int(score.argmax()), attn.shape[1])


def _with_itself(attn, ids):
    score = (attn * (ids[:, None] == ids[None, :]).tril()).sum(-1).mean(-1)
    return divmod(int(score.argmax()), attn.shape[1])


def _one_after(attn, ids):
    earlier = (ids[:, None] == ids[None, :]).tril(-1).roll(1, 1)
    return divmod(int((attn * earlier).sum(-1).mean(-1).argmax()), attn.shape[1])


WRONG = {
    "cached_causal_mask": {
        "triangle in the upper left": lambda n_q, n_k: torch.ones(n_q, n_k, dtype=torch.bool).tril(),
        "a token cannot see itself": lambda n_q, n_k: torch.ones(n_q, n_k, dtype=torch.bool).tril(n_k - n_q - 1),
        "True means forbidden": lambda n_q, n_k: torch.ones(n_q, n_k, dtype=torch.bool).triu(n_k - n_q + 1),
        "numbers instead of booleans": lambda n_q, n_k: torch.ones(n_q, n_k).tril(n_k - n_q),
    },
    "my_attention": {
        "softmax over the queries": _over_queries,
        "divided by d": _divided_by_d,
        "masked after the softmax": _masked_after,
        "exp without subtracting the largest": _naive_exp,
        "NaN repaired in the output only": _nan_repaired,
        "a large negative number for −∞": _large_negative,
        "the row's largest score may be a forbidden one": _largest_of_all,
        "a negative number that is not large enough": _ten_thousand,
    },
    "depends_on_company": {
        "texts of one length only": _same_length,
        "bit for bit": _exact,
        "looks at the short text only": _only_the_short,
        "cosine above 0.99 is good enough": _loose,
        "cosine within 1e-5 of one": _strict_cosine,
    },
    "kept_bytes": {
        "one table of scores": lambda batch, heads, n, d: 4 * batch * heads * n * n,
        "forgets the heads": lambda batch, heads, n, d: 4 * batch * (3 * n * n + 3 * n * d),
        "forgets queries, keys and values": lambda batch, heads, n, d: 12 * batch * heads * n * n,
        "two bytes a number": lambda batch, heads, n, d: 2 * batch * heads * (3 * n * n + 3 * n * d + 2 * n),
    },
    "duplicate_head": {
        "a fixed distance back": _fixed_offset,
        "counts the token itself": _with_itself,
        "one place after the copy": _one_after,
        "the first copy only": _first_copy_only,
    },
}
