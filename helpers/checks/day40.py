"""Checks of day 40: the bytes of a cache, the best split of a budget, a balance loss, who is dropped."""

import numpy as np
import torch


def cache_bytes(fn):
    cases = [
        dict(width=36, heads=9, groups=3, layers=5, hidden=16, vocab=9),
        dict(width=2048, heads=8, groups=1, layers=18, hidden=16384, vocab=256000, head=256, tied=True),
        dict(width=2048, heads=32, groups=4, layers=48, hidden=768, vocab=151936, head=128, experts=128, chosen=8),
        dict(width=6, heads=3, groups=3, layers=1, hidden=4, vocab=5, head=5),
    ]
    for c in cases:
        head = c.get("head", c["width"] // c["heads"])
        for tokens, size in ((1, 8), (7, 2), (0, 2), (131072, 1)):
            want = 2 * c["layers"] * c["groups"] * head * tokens * size
            got = fn(dict(c), tokens, size)
            assert isinstance(got, int), f"a number of bytes is an int, got {type(got).__name__}"
            if got != want:
                hints = {
                    want // 2: "a token keeps a key and a value",
                    want * c["heads"] // c["groups"]: "the cache holds key/value heads, not query heads",
                    want // c["layers"]: "each layer has its own cache",
                    want * 2 // size: "not every cache has two bytes a number: use itemsize",
                    want // size: "those are numbers; how many bytes has each?",
                    want * c["width"] // (head * c["heads"]): "this row says its head size itself",
                }
                why = hints.get(got, "keys and values, for each layer, key/value head, number of a head and token")
                raise AssertionError(f"{c}, {tokens} tokens of {size} bytes: expected {want:,}, got {got:,}: {why}")
        assert fn(dict(c), 5) == fn(dict(c), 5, 2), "the default is two bytes a number"
    return "grouped heads, a head size of its own, experts, no tokens"


def best_split(fn):
    rng = np.random.default_rng(40)
    cases = [(1.69, 406.4, 0.34, 410.7, 0.28), (0.0, 3.0, 0.5, 3.0, 0.5), (2.0, 5.0, 0.2, 80.0, 0.6)]
    cases += [tuple(rng.uniform([0, 1, 0.1, 1, 0.1], [2, 500, 1, 500, 1])) for _ in range(5)]
    for c in cases:
        for flops in (1e12, 6e20):
            got = fn(c, flops)
            assert isinstance(got, tuple) and len(got) == 2, "return a pair (N, D)"
            n, d = (float(x) for x in got)
            assert n > 0 and d > 0, "N and D are positive"
            spent = 6 * n * d / flops
            assert abs(spent - 1) < 1e-6, f"6 N D is {spent:.3g} times the budget: D follows from N by D = C / (6 N)"
            E, A, a, B, b = c
            push, pull = a * A * n**-a, b * B * d**-b
            if abs(push / pull - 1) > 1e-6:
                best = (a * A / (b * B) * (flops / 6) ** b) ** (1 / (a + b))
                raise AssertionError(
                    f"a = {a:.2f}, b = {b:.2f}, C = {flops:.0e}: your N is {n / best:.3g} times the best. There, a "
                    f"small change of log N moves both terms equally: a A N^-a = b B D^-b; yours are {push:.3g} and "
                    f"{pull:.3g}"
                )
    return "Hoffmann's constants, equal exponents, and random laws"


def balance(fn):
    g = torch.Generator().manual_seed(3)
    for tokens, experts, k in ((12, 4, 1), (12, 4, 2), (30, 6, 3), (5, 8, 2), (1, 3, 1)):
        logits = 2 * torch.randn(tokens, experts, generator=g)
        logits[:, -1] -= 20 * (tokens == 30)  # there the last expert is never chosen
        chance = logits.softmax(-1).requires_grad_()
        pick = chance.detach().topk(k, -1).indices
        used = torch.bincount(pick.flatten(), minlength=experts) / pick.numel()
        want = experts * (used * chance.detach().mean(0)).sum()
        try:
            got = fn(chance, pick)
        except NotImplementedError:  # the untouched stub; a RuntimeError to Python
            raise
        except (RuntimeError, IndexError, ValueError) as err:
            idle = [e for e in range(experts) if used[e] == 0]
            text = f"{tokens} tokens, {experts} experts, k = {k}: shapes do not fit ({err}). Experts that nobody "
            raise AssertionError(text + f"chose here: {idle}; f needs an entry for them too") from None
        assert isinstance(got, torch.Tensor) and got.shape == (), "return a scalar tensor"
        chance_, got_ = chance.detach(), float(got.detach())
        rivals = {
            "the factor X is missing": want / experts,
            "f is a share of all choices, tokens · k of them": want * k,
            "P is the mean over tokens, not the sum": want * tokens,
            "that is X Σ P², which never looks at the choices": experts * (chance_.mean(0) ** 2).sum(),
            "that is X Σ f², which has no gradient": experts * (used**2).sum(),
        }
        far = abs(got_ - float(want))
        why = next(
            (w for w, r in rivals.items() if abs(got_ - float(r)) < 1e-6),
            "f_e: share of choices; P_e: mean probability; some experts may have no choice at all",
        )
        assert far < 1e-5, f"{tokens} tokens, {experts} experts, k = {k}: off by {far:.3g}: {why}"
        assert got.requires_grad, "the value fits, but no gradient reaches the router: P must stay attached"
        mine = torch.autograd.grad(got, chance)[0]
        push = (experts * used / tokens).expand(tokens, -1)
        assert torch.allclose(mine, push, atol=1e-6), "the value fits, the gradient does not: X f_e / tokens each"
    even = torch.full((8, 4), 0.25)
    pick = torch.arange(16).view(8, 2) % 4
    assert abs(float(fn(even, pick)) - 1) < 1e-6, "at perfect balance the loss is 1, for k = 2 too"
    return "values and gradients, idle experts, k from 1 to 3"


def admitted(fn):
    def answer(pick, capacity, by_token=False):
        kept, held = torch.zeros_like(pick, dtype=torch.bool), {}
        places = [(t, k) for k in range(pick.shape[1]) for t in range(pick.shape[0])]
        for t, k in sorted(places) if by_token else places:
            e = int(pick[t, k])
            if held.get(e, 0) < capacity:
                held[e] = held.get(e, 0) + 1
                kept[t, k] = True
        return kept

    g = torch.Generator().manual_seed(4)
    cases = [(torch.tensor([[0, 1], [0, 1], [0, 2]]), 2), (torch.tensor([[0, 1], [1, 0], [1, 0]]), 1)]
    cases += [(torch.rand(t, 5, generator=g).topk(k, -1).indices, c) for t, k, c in ((9, 2, 3), (20, 1, 4), (7, 3, 0))]
    cases.append((torch.zeros(0, 2, dtype=torch.long), 3))
    for pick, capacity in cases:
        before = pick.clone()
        got, want = fn(pick, capacity), answer(pick, capacity)
        assert torch.equal(pick, before), "pick itself was changed"
        assert isinstance(got, torch.Tensor) and got.dtype == torch.bool, "return a boolean tensor"
        assert got.shape == pick.shape, f"one answer for each choice: shape {tuple(pick.shape)}"
        if not torch.equal(got, want):
            rivals = {
                "all first choices come before any second choice": answer(pick, capacity, by_token=True),
                "an expert that holds capacity entries is full: one too many was let in": answer(pick, capacity + 1),
                "an expert that holds capacity - 1 still takes one": answer(pick, max(capacity - 1, 0)),
                "earlier tokens come first": answer(pick.flip(0), capacity).flip(0),
                "places are counted over all choices, not for each choice anew": torch.stack(
                    [answer(pick[:, k : k + 1], capacity)[:, 0] for k in range(pick.shape[1])], 1
                ),
            }
            why = next((w for w, r in rivals.items() if torch.equal(got, r)), "go through it by hand")
            raise AssertionError(f"pick {pick.tolist()}, capacity {capacity}: expected {want.tolist()}: {why}")
    return "hand-made and random choices, no capacity, no tokens"


def _head(c):
    return c.get("head", c["width"] // c["heads"])


def _split(c, flops, swap=False, budget=6.0, flip=False):
    _, A, a, B, b = c
    top, low = (b * B, a * A) if flip else (a * A, b * B)
    n = (top / low * (flops / budget) ** (a if swap else b)) ** (1 / (a + b))
    return n, flops / (6 * n)


def _equal_terms(c, flops):
    _, A, a, B, b = c
    n = (A / B * (flops / 6) ** b) ** (1 / (a + b))
    return n, flops / (6 * n)


def _twenty(c, flops):
    n = (flops / 120) ** 0.5
    return n, 20 * n


def _shares(chance, pick):
    counts = torch.bincount(pick.flatten(), minlength=chance.shape[-1])
    return counts.to(chance) / pick.numel()


def _admit(pick, capacity, places):
    kept, held = torch.zeros_like(pick, dtype=torch.bool), {}
    for t, k in places:
        e = int(pick[t, k])
        held[e] = held.get(e, 0) + 1
        kept[t, k] = held[e] <= capacity
    return kept


def _grid(pick):
    return [(t, k) for t in range(pick.shape[0]) for k in range(pick.shape[1])]


WRONG = {
    "cache_bytes": {
        "query heads": lambda c, tokens, itemsize=2: 2 * c["layers"] * c["heads"] * _head(c) * tokens * itemsize,
        "keys only": lambda c, tokens, itemsize=2: c["layers"] * c["groups"] * _head(c) * tokens * itemsize,
        "width over heads always": lambda c, tokens, itemsize=2: (
            2 * c["layers"] * c["groups"] * (c["width"] // c["heads"]) * tokens * itemsize
        ),
        "one layer": lambda c, tokens, itemsize=2: 2 * c["groups"] * _head(c) * tokens * itemsize,
        "always two bytes": lambda c, tokens, itemsize=2: 4 * c["layers"] * c["groups"] * _head(c) * tokens,
        "the whole width": lambda c, tokens, itemsize=2: 2 * c["layers"] * c["width"] * tokens * itemsize,
    },
    "best_split": {
        "exponents exchanged": lambda c, flops: _split(c, flops, swap=True),
        "ratio upside down": lambda c, flops: _split(c, flops, flip=True),
        "six forgotten in N": lambda c, flops: _split(c, flops, budget=1.0),
        "equal terms instead of equal slopes": _equal_terms,
        "twenty tokens a parameter": _twenty,
        "N D without the six": lambda c, flops: (_split(c, flops)[0], flops / _split(c, flops)[0]),
    },
    "balance": {
        "mean probability squared": lambda chance, pick: chance.shape[-1] * (chance.mean(0) ** 2).sum(),
        "share of choices squared": lambda chance, pick: chance.shape[-1] * (_shares(chance, pick) ** 2).sum(),
        "no factor": lambda chance, pick: (_shares(chance, pick) * chance.mean(0)).sum(),
        "share of tokens": lambda chance, pick: (
            chance.shape[-1] * pick.shape[1] * (_shares(chance, pick) * chance.mean(0)).sum()
        ),
        "detached": lambda chance, pick: chance.shape[-1] * (_shares(chance, pick) * chance.detach().mean(0)).sum(),
        "first choice only": lambda chance, pick: (
            chance.shape[-1] * (_shares(chance, pick[:, :1]) * chance.mean(0)).sum()
        ),
        "length of the last used expert": lambda chance, pick: (
            chance.shape[-1] * (torch.bincount(pick.flatten()) / pick.numel() * chance.mean(0)).sum()
        ),
    },
    "admitted": {
        "token by token": lambda pick, capacity: _admit(pick, capacity, _grid(pick)),
        "one too many": lambda pick, capacity: _admit(pick, capacity + 1, sorted(_grid(pick), key=lambda p: p[::-1])),
        "last come first": lambda pick, capacity: _admit(
            pick, capacity, sorted(_grid(pick), key=lambda p: (p[1], -p[0]))
        ),
        "fresh capacity for each choice": lambda pick, capacity: (
            torch.stack(
                [_admit(pick[:, k : k + 1], capacity, [(t, 0) for t in range(len(pick))])[:, 0] for k in range(2)], 1
            )
            if pick.shape[1] == 2
            else torch.ones_like(pick, dtype=torch.bool)
        ),
        "everything": lambda pick, capacity: torch.ones_like(pick, dtype=torch.bool),
    },
}
