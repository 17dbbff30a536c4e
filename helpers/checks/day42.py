"""Checks of day 42: combining halves, attention in tiles, what a causal kernel loads, which tiles need a mask."""

import math

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def _whole(q, k, v, seen):
    """Mixture and log-sum-exp from the whole table in float64; a query that sees nothing gets zeros and -inf."""
    i, j = torch.arange(q.shape[-2])[:, None], torch.arange(k.shape[-2])[None]
    s = q.double() @ k.double().mT / q.shape[-1] ** 0.5
    s = s.masked_fill(~seen(i, j), -math.inf)
    return s.softmax(-1).nan_to_num(0.0) @ v.double(), s.logsumexp(-1)


def _all(i, j):
    return (i >= 0) & (j >= 0)


def combine(fn):
    g = torch.Generator().manual_seed(42)
    for n, m, cut, d, sharp in ((1, 2, 1, 1, 1.0), (5, 9, 4, 3, 1.0), (4, 30, 29, 8, 30.0)):
        q = sharp * torch.randn(2, n, d, generator=g)
        k, v = torch.randn(2, 2, m, d, generator=g)
        parts = [_whole(q, x, y, _all) for x, y in ((k[:, :cut], v[:, :cut]), (k[:, cut:], v[:, cut:]))]
        _same(fn, *parts, _whole(q, k, v, _all), f"{m} keys cut after {cut}")
    out, lse = torch.randn(2, 3, 4, generator=g), torch.randn(2, 3)
    other = torch.randn(2, 3, 4, generator=g)
    big = (0.5 * out + 0.5 * other, lse + 2000 + math.log(2))
    _same(fn, (out, lse + 2000), (other, lse + 2000), big, "log-sum-exps near 2,000 (exp of them overflows)")
    low = (big[0], lse - 2000 + math.log(2))
    _same(fn, (out, lse - 2000), (other, lse - 2000), low, "log-sum-exps near -2,000 (exp of them is 0)")
    none = (torch.zeros_like(out), torch.full_like(lse, -math.inf))
    _same(fn, (out, lse), none, (out, lse), "the second worker had nothing to see")
    _same(fn, none, (out, lse), (out, lse), "the first worker had nothing to see")
    _same(fn, none, none, none, "neither worker had anything to see (zeros and -inf, no NaN)")
    return "three cuts, sums beyond the floats, workers with nothing to see"


def _same(fn, one, two, want, case):
    given = [x.clone() for x in (*one, *two)]
    got = fn(*given)
    assert isinstance(got, tuple) and len(got) == 2, "return two things: the mixture and its log-sum-exp"
    for name, mine, right in (("mixture", got[0], want[0]), ("log-sum-exp", got[1], want[1])):
        assert mine.shape == right.shape, f"{case}: the {name} has shape {tuple(right.shape)}, got {tuple(mine.shape)}"
        both = (mine == right) | ((mine - right).abs() < 1e-5 * (1 + right.abs()))
        if bool(both.all()):
            continue
        hint = "the shares are e^L1 and e^L2 over their sum" if name == "mixture" else "log(e^L1 + e^L2)"
        if not bool(mine.isfinite().all()):
            hint = "subtract the larger of the two first, and 0 where both are -inf"
        raise AssertionError(f"{case}: the {name} is wrong; {hint}")


class _Largest(TorchDispatchMode):
    """The most numbers that the result of one operation held."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(x, torch.Tensor):
                self.numel = max(self.numel, x.numel())
        return out


def my_tiled(fn):
    g = torch.Generator().manual_seed(7)

    def draw(*shape):
        return torch.randn(*shape, generator=g)

    def late(i, j):
        return (j >= 11) & (i >= 0)

    def window(i, j):
        return (j <= i) & (j > i - 5)

    def some(i, j):
        return (j <= i) & (i % 3 > 0)

    cases = [
        ("one tile", (), 6, 8, 3, 16, _all),
        ("two tiles", (), 6, 9, 3, 8, _all),
        ("a last tile of one key", (2,), 7, 17, 4, 8, _all),
        ("tiles of one key", (2, 3), 4, 10, 5, 1, _all),
        ("causal", (2,), 33, 33, 4, 8, lambda i, j: j <= i),
        ("the first tile is hidden from everybody", (), 5, 20, 4, 8, late),
        ("a window", (), 40, 40, 4, 8, window),
        ("queries that see nothing", (2,), 20, 20, 4, 8, some),
    ]
    for name, lead, n, m, d, tile, seen in cases:
        q, k, v = draw(*lead, n, d), draw(*lead, m, d), draw(*lead, m, d)
        if name == "two tiles":
            k[-1] *= 30  # the largest score comes last, or the sum is tiny before it
        want = _whole(q, k, v, seen)[0]
        got = fn(q.clone(), k.clone(), v.clone(), seen, tile)
        assert isinstance(got, torch.Tensor) and got.shape == want.shape, (
            f"{name}: return the mixture, shape {tuple(want.shape)}"
        )
        assert bool(got.isfinite().all()), (
            f"{name}: NaN. Where a tile holds nothing to see, the largest score is -inf; -inf minus -inf is NaN"
        )
        far = (got - want).abs().max().item()
        hint = "is what was summed before rescaled, the sum AND the mixture, when a larger score comes?"
        if name in ("one tile", "a last tile of one key", "tiles of one key"):
            hint = "are all keys used, the last, shorter tile too, and the scores divided by the root of d?"
        if name == "queries that see nothing":
            hint = "such a query gets zeros"
        assert far < 1e-5, f"{name}: off by {far:.2g}; {hint}"
    q, k, v = draw(200, 4), draw(200, 4), draw(200, 4)
    with _Largest() as largest:
        fn(q, k, v, _all, 16)
    assert largest.numel <= 200 * 200 / 4, (
        f"with 200 queries, 200 keys and tiles of 16 an operation made {largest.numel:,} numbers at once: "
        "that is the table; cut the keys before you multiply"
    )
    q, k, v = draw(16, 4), draw(400, 4), draw(400, 4)
    with _Largest() as largest:
        fn(q, k, v, _all, 16)
    assert largest.numel <= 16 * 400 / 4, (
        f"16 queries are one tile, and against 400 keys an operation made {largest.numel:,} numbers at once, "
        "a quarter of the table or more: cutting the queries is not enough, cut the keys"
    )
    q, k, v = 300 * draw(5, 4), draw(20, 4), draw(20, 4)
    far = (fn(q, k, v, _all, 8) - _whole(q, k, v, _all)[0]).abs().max()
    assert far < 1e-3, "scores of several hundred: subtract the largest score so far before exp"
    return "eight cases with and without masks, large scores, and no table"


def causal_loads(fn):
    cases = [
        (1, 1, 1, 1, 1),
        (64, 64, 32, 16, 16),
        (64, 64, 8, 32, 16),
        (60, 60, 32, 16, 32),
        (5, 100, 16, 16, 32),
        (33, 40, 4, 8, 64),
    ]
    for n, m, d, rows, cols in cases:
        want = n * d
        for first in range(0, n, rows):
            reach = first + rows - 1 + m - n  # the last key that the last row of the tile may see
            for col in range(0, m, cols):
                if col <= reach:
                    want += 2 * d * (min(col + cols, m) - col)
        got = fn(n, m, d, rows, cols)
        if got == want:
            continue
        said = f"n={n}, m={m}, d={d}, rows={rows}, cols={cols}: {want:,} numbers are loaded, you say {got:,}; "
        for hint, wrong in _LOADS.items():
            if got == wrong(n, m, d, rows, cols):
                raise AssertionError(said + hint)
        raise AssertionError(said + "list the tiles of keys for each tile of queries on paper, for 4 × 4 tiles first")
    return "six shapes, from one key to a cache of a hundred"


def tile_map(fn):
    def document(i, j):
        return (i // 7 == j // 7) & (j <= i)

    def band(i, j):
        return (j <= i) & (j > i - 3)

    def dot(i, j):
        return (i == 5) & (j == 6)

    rules = {"causal": lambda i, j: j <= i, "documents of 7": document, "a narrow band": band, "one pair": dot}
    rules |= {"everything": _all, "nothing": lambda i, j: (i < 0) & (j < 0), "keys only": lambda i, j: j < 5}
    rules["all but one pair"] = lambda i, j: (i != 5) | (j != 6)
    for name, seen in rules.items():
        for n, m, rows, cols in ((16, 16, 4, 4), (17, 18, 4, 8), (1, 9, 4, 4), (21, 21, 16, 8)):
            got = fn(seen, n, m, rows, cols)
            table = seen(torch.arange(n)[:, None], torch.arange(m)[None]).expand(n, m)
            shape = -(-n // rows), -(-m // cols)
            assert isinstance(got, torch.Tensor) and tuple(got.shape) == shape, (
                f"{n} × {m} in tiles of {rows} × {cols}: an integer tensor of shape {shape} "
                "(the ragged last tiles are tiles, too)"
            )
            for a in range(shape[0]):
                for b in range(shape[1]):
                    piece = table[a * rows : (a + 1) * rows, b * cols : (b + 1) * cols]
                    want = int(piece.any()) + int(piece.all())
                    mine = int(got[a, b])
                    if mine == want:
                        continue
                    hint = "look at every position of the tile, not at its corners"
                    if want == 2 and piece.numel() < rows * cols:
                        hint = "positions beyond n and m do not exist, so a ragged tile can be full"
                    raise AssertionError(
                        f"{name}, {n} × {m} in tiles of {rows} × {cols}: tile ({a}, {b}) has {int(piece.sum())} of "
                        f"{piece.numel()} positions seen, so {want}, you say {mine}; {hint}"
                    )
    return "eight masks in four shapes, ragged edges included"


def _mix(weigh):
    def combined(out1, lse1, out2, lse2):
        a, b = weigh(lse1, lse2)
        total = a + b
        return (a / total)[..., None] * out1 + (b / total)[..., None] * out2, total.log()

    return combined


def _half(out1, lse1, out2, lse2):
    return (out1 + out2) / 2, torch.logaddexp(lse1, lse2)


def _added(out1, lse1, out2, lse2):
    share = torch.sigmoid(lse1 - lse2).nan_to_num(0.0)[..., None]
    return share * out1 + (1 - share) * out2, lse1 + lse2


def _online(q, k, v, seen, tile, keep="both", safe=True, last=True, biggest=True, hidden=-math.inf):
    i, m = torch.arange(q.shape[-2])[:, None], k.shape[-2]
    top = q.new_full((*q.shape[:-1], 1), -math.inf)
    total, mixed = torch.zeros_like(top), torch.zeros_like(q)
    for b in range(0, m if last else max(tile, m - tile + 1), tile):
        j = torch.arange(b, min(b + tile, m))[None]
        s = (q @ k[..., b : b + tile, :].mT / q.shape[-1] ** 0.5).masked_fill(~seen(i, j), hidden)
        new = torch.maximum(top, s.amax(-1, keepdim=True)) if biggest else torch.zeros_like(top)
        low = new.masked_fill(new == -math.inf, 0) if safe else new
        shrink, p = (top - low).exp() if biggest else torch.ones_like(top), (s - low).exp()
        total = total * (shrink if keep in ("both", "sum") else 1) + p.sum(-1, keepdim=True)
        mixed = mixed * (shrink if keep in ("both", "mixture") else 1) + p @ v[..., b : b + tile, :]
        top = new
    return mixed / total.masked_fill(total == 0, 1)


def _averaged(q, k, v, seen, tile):
    parts = []
    i = torch.arange(q.shape[-2])[:, None]
    for b in range(0, k.shape[-2], tile):
        j = torch.arange(b, min(b + tile, k.shape[-2]))[None]
        s = (q @ k[..., b : b + tile, :].mT / q.shape[-1] ** 0.5).masked_fill(~seen(i, j), -math.inf)
        parts.append(s.softmax(-1).nan_to_num(0.0) @ v[..., b : b + tile, :])
    return torch.stack(parts).mean(0)


def _queries(q, k, v, seen, tile):
    parts, j = [], torch.arange(k.shape[-2])[None]
    for a in range(0, q.shape[-2], tile):
        i = torch.arange(a, min(a + tile, q.shape[-2]))[:, None]
        s = (q[..., a : a + tile, :] @ k.mT / q.shape[-1] ** 0.5).masked_fill(~seen(i, j), -math.inf)
        parts.append(s.softmax(-1).nan_to_num(0.0) @ v)
    return torch.cat(parts, -2)


def _table(q, k, v, seen, tile):
    return _whole(q, k, v, seen)[0].float()


def _full(n, m, d, rows, cols):
    return n * d + -(-n // rows) * 2 * m * d


def _keys(n, m, d, rows, cols, offset=True, whole=True, both=2, query=1):
    total = query * n * d
    for first in range(0, n, rows):
        end = min(m, first + rows + (m - n if offset else 0))
        total += both * d * (min(m, -(-end // cols) * cols) if whole else end)
    return total


_LOADS = {
    "that is the count without the causal rule": _full,
    "a tile of keys is loaded whole, also where only its first key may be seen": lambda *a: _keys(*a, whole=False),
    "with a cache the first query already sees m - n keys: the corner is at the lower right": lambda *a: _keys(
        *a, offset=False
    ),
    "values are loaded as well as keys": lambda *a: _keys(*a, both=1),
    "the queries are loaded, too, once": lambda *a: _keys(*a, query=0),
}


def _corners(seen, n, m, rows, cols):
    found = torch.zeros(-(-n // rows), -(-m // cols), dtype=torch.long)
    for a in range(found.shape[0]):
        for b in range(found.shape[1]):
            i = torch.tensor([a * rows, min((a + 1) * rows, n) - 1])[:, None]
            j = torch.tensor([b * cols, min((b + 1) * cols, m) - 1])[None]
            piece = seen(i, j).expand(2, 2)
            found[a, b] = piece.any().long() + piece.all().long()
    return found


def _filled(seen, n, m, rows, cols):
    a, b = -(-n // rows), -(-m // cols)
    i, j = torch.arange(a * rows)[:, None], torch.arange(b * cols)[None]
    table = (seen(i, j) & (i < n) & (j < m)).view(a, rows, b, cols).transpose(1, 2).flatten(2)
    return table.any(-1).long() + table.all(-1).long()


def _floor(seen, n, m, rows, cols):
    return _filled(seen, n // rows * rows, m // cols * cols, rows, cols)


WRONG = {
    "combine": {
        "the mean": _half,
        "exp of the log-sum-exp": _mix(lambda a, b: (a.exp(), b.exp())),
        "the log-sum-exps added": _added,
        "weighted by the log-sum-exps": _mix(lambda a, b: (a, b)),
        "NaN where nobody sees": lambda o1, l1, o2, l2: (
            (l1 - torch.logaddexp(l1, l2)).exp()[..., None] * o1 + (l2 - torch.logaddexp(l1, l2)).exp()[..., None] * o2,
            torch.logaddexp(l1, l2),
        ),
    },
    "my_tiled": {
        "the mixture is not rescaled": lambda *a: _online(*a, keep="sum"),
        "the sum is not rescaled": lambda *a: _online(*a, keep="mixture"),
        "nothing is rescaled": lambda *a: _online(*a, keep="none"),
        "NaN in a hidden tile": lambda *a: _online(*a, safe=False),
        "the last tile is left out": lambda *a: _online(*a, last=False),
        "exp without the largest score": lambda *a: _online(*a, biggest=False),
        "the mean over tiles": _averaged,
        "the whole table": _table,
        "only the queries are cut": _queries,
        "a large negative number for minus infinity": lambda *a: _online(*a, hidden=-1e9),
    },
    "causal_loads": {
        "as without a mask": _full,
        "half of it": lambda *a: _full(*a) // 2,
        "only the keys that are seen": lambda *a: _keys(*a, whole=False),
        "the upper left corner": lambda *a: _keys(*a, offset=False),
        "keys without values": lambda *a: _keys(*a, both=1),
    },
    "tile_map": {
        "corners only": _corners,
        "edges are never full": _filled,
        "ragged tiles left out": _floor,
    },
}
