"""Checks of day 19: reading samples, nearest neighbours in blocks, windows without copies, keeping one of each."""

import random
import tracemalloc
from collections import Counter

import numpy as np


def count_samples(fn):
    got = fn([["main", "load", "parse"], ["main", "load"], ["main", "train"]])
    assert isinstance(got, dict), f"return a dictionary, got {type(got).__name__}"
    assert set(got) == {"main", "load", "parse", "train"}, f"every function that was seen has an entry, got {set(got)}"
    assert got["main"] != (3, 3) and got["main"] != (3, 0), (
        f"main is {got['main']}: it was never the innermost. Which end of the stack was running?"
    )
    want = {"main": (0, 3), "load": (1, 2), "parse": (1, 1), "train": (1, 1)}
    assert {k: tuple(v) for k, v in got.items()} == want, f"(own, total) should be {want}, got {got}"
    got = fn([["walk", "walk", "walk"], ["walk", "leaf", "walk"]])
    assert tuple(got["walk"]) == (2, 2), (
        f"walk calls itself and was seen in two samples, you say {got['walk']}: a sample is a moment, count it once"
    )
    assert tuple(got["leaf"]) == (0, 1), f"leaf was on one stack and never innermost, you say {got['leaf']}"
    assert fn([]) == {} and fn([[]]) == {}, "no stack, or an empty one: nothing to report"
    rng = random.Random(19)
    for _ in range(20):
        stacks = [[rng.choice("abcd") for _ in range(rng.randrange(6))] for _ in range(30)]
        before = [list(s) for s in stacks]
        got = {k: tuple(v) for k, v in fn(stacks).items()}
        assert stacks == before, "leave the stacks as they are"
        names = {f for s in stacks for f in s}
        want = {f: (sum(s[-1:] == [f] for s in stacks), sum(f in s for s in stacks)) for f in names}
        assert got == want, f"for {stacks[:4]} …: {got}, expected {want}"
    return "recursion, empty stacks, 20 random profiles"


def k_nearest(fn):
    rng = np.random.default_rng(19)
    cases = [(1, 1, 1, 1, 0.0), (4, 1, 3, 1, 0.0), (5, 9, 2, 9, 0.0), (9, 60, 16, 5, 0.0), (9, 60, 16, 5, 100.0)]
    for a, m, d, k, offset in cases * 3:
        y = (rng.standard_normal((m, d)) + offset).astype(np.float32)
        x = y[rng.integers(0, m, a)] if a > 4 else (rng.standard_normal((a, d)) + offset).astype(np.float32)
        _same(fn, x, y, k, f"{a} queries, {m} rows of width {d}, k = {k}, {offset:g} from the origin")
    y = rng.standard_normal((200, 32)).astype(np.float32)
    near = np.concatenate([y, y[:5] + np.float32(3e-5) * rng.standard_normal((5, 32)).astype(np.float32)])
    _same(fn, y[:20], near, 3, "near-copies at a distance of 0.0002")
    x, y = (rng.standard_normal((3000, 64)).astype(np.float32) for _ in range(2))
    tracemalloc.start()
    try:
        kept = fn(x, y, 5)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < 30e6, (
        f"it held {held / 1e6:.0f} MB at once, 30 are allowed: take some queries at a time "
        "(and a slice keeps its whole array alive: copy what you keep)"
    )
    gaps = ((x[:50, None].astype(np.float64) - y) ** 2).sum(-1)
    want = np.sort(gaps, 1)[:, :5]
    assert np.allclose(kept[1][:50], want, rtol=0.01), "on the large case some neighbours are missing: the blocks?"
    late = ((x[-50:, None].astype(np.float64) - y) ** 2).sum(-1)
    assert np.allclose(kept[1][-50:], np.sort(late, 1)[:, :5], rtol=0.01), "the last queries are wrong: the last block?"
    for at, real in ((slice(0, 50), gaps), (slice(-50, None), late)):
        mine = np.take_along_axis(real, np.asarray(kept[0][at]), 1)
        assert np.allclose(mine, kept[1][at], rtol=0.01), (
            "on the large case the distances are right and `index` names other rows: does it count from the beginning "
            "of a block instead of the beginning of y?"
        )
    return f"16 small cases and 9 million pairs in {held / 1e6:.0f} MB"


def _same(fn, x, y, k, case):
    before = x.copy(), y.copy()
    got = fn(x, y, k)
    assert isinstance(got, tuple) and len(got) == 2, "return two arrays, index and squared"
    index, squared = np.asarray(got[0]), np.asarray(got[1])
    assert (x == before[0]).all() and (y == before[1]).all(), "x and y were changed: work on copies"
    assert index.shape == squared.shape == (len(x), k), (
        f"{case}: both should be {(len(x), k)}, got {index.shape} and {squared.shape}"
    )
    assert np.issubdtype(index.dtype, np.integer) and (index >= 0).all() and (index < len(y)).all(), (
        f"{case}: index holds row numbers of y"
    )
    assert all(len(set(row)) == k for row in index.tolist()), f"{case}: a row of y occurs twice among the neighbours"
    real = ((x[:, None].astype(np.float64) - y) ** 2).sum(-1)
    want = np.sort(real, 1)[:, :k]
    assert np.isfinite(squared).all() and (squared >= 0).all(), (
        f"{case}: negative or NaN distances: what is the difference of two large, rounded norms worth?"
    )
    mine = np.take_along_axis(real, index, 1)
    far = abs(squared - mine) > np.maximum(0.01 * mine, 1e-12)
    assert not far.any(), (
        f"{case}: a squared distance is {squared[far][0]:.3g}, truly {mine[far][0]:.3g}: "
        "compute those few by subtraction (and is it squared?)"
    )
    missed = abs(mine - want) > np.maximum(1e-6 * want, 1e-12)
    unsorted = (abs(np.sort(mine, 1) - want) <= np.maximum(1e-6 * want, 1e-12)).all()
    assert not missed.any(), (
        f"{case}: the right neighbours, not near first" if unsorted else
        f"{case}: at squared distance {want[missed][0]:.4g} a neighbour was missed: are your first values exact enough?"
    )  # fmt: skip


def windows(fn):
    rng = np.random.default_rng(3)
    for dtype in (np.uint16, np.int64, np.float32):
        for n, length, step in [(10, 4, 2), (10, 4, 4), (11, 4, 3), (9, 9, 5), (8, 3, 5), (20, 1, 1), (30, 7, 2)]:
            long = rng.integers(0, 1000, 3 * n).astype(dtype)
            for name, tokens in (
                ("plain", long[:n].copy()),
                ("strided", long[: 2 * n : 2]),
                ("backward", long[:n][::-1]),
            ):
                _windows(
                    fn, tokens, length, step, f"{n} tokens ({name}, {np.dtype(dtype)}), {length} long, step {step}"
                )
    few = fn(np.arange(3, dtype=np.uint16), 4, 2)
    assert np.shape(few) == (0, 4), f"three tokens hold no window of four: shape (0, 4), yours {np.shape(few)}"
    return "63 arrays, plain, strided and backward, and too few tokens"


def _windows(fn, tokens, length, step, case):
    before = tokens.copy()
    got = fn(tokens, length, step)
    assert isinstance(got, np.ndarray), f"return an array, got {type(got).__name__}"
    starts = range(0, len(tokens) - length + 1, step)
    want = np.stack([before[s : s + length] for s in starts])
    assert got.shape == want.shape, (
        f"{case}: shape {got.shape}, expected {want.shape}: is the last complete window in, and no incomplete one?"
    )
    assert got.dtype == tokens.dtype, f"{case}: the type changed to {got.dtype}"
    assert np.shares_memory(got, tokens), f"{case}: a copy. A view has its own strides on the same memory"
    assert (got == want).all(), f"{case}: wrong tokens: how many bytes apart are two neighbours in `tokens`?"
    assert not got.flags.writeable, (
        f"{case}: the view can be written to; overlapping windows share cells, so one write changes several rows"
    )
    assert (tokens == before).all(), "tokens was changed"
    assert tokens.flags.writeable, f"{case}: tokens itself was made read-only: lock the view, not the stream"


def keep_first(fn):
    line = np.array([[0.0], [0.8], [1.6], [2.4]], np.float32)
    got = list(fn(line, 1.0))
    assert got != [0], "a chain: 0.8 goes because of 0, but 1.6 is near only to 0.8, which was dropped: 1.6 stays"
    assert got == [0, 2], f"rows at 0, 0.8, 1.6, 2.4 with limit 1 (squared): keep [0, 2], yours {got}"
    got = list(fn(np.array([[0.0], [1.0], [3.0]], np.float32), 1.0))
    assert got == [0, 1, 2], f"a squared distance of exactly 1 is not below 1: keep all three, yours {got}"
    got = list(fn(np.array([[0.0], [0.8]], np.float32), 0.7))
    assert got == [0], f"distance 0.8, squared 0.64, below the limit 0.7: keep [0], yours {got}: squared?"
    assert list(fn(np.zeros((4, 3), np.float32), 0.1)) == [0], "four copies: the first stays"
    assert list(fn(np.zeros((4, 3), np.float32), 0.0)) == [0, 1, 2, 3], "with limit 0 nothing lies below it"
    assert list(fn(np.zeros((0, 3), np.float32), 0.5)) == [], "no rows: an empty list"
    rng = np.random.default_rng(5)
    for case in range(30):
        v = rng.integers(0, 4, (int(rng.integers(1, 40)), int(rng.integers(1, 4)))).astype(np.float32)
        v += 10_000 * (case % 2)
        limit = float(rng.choice([0.5, 1.5, 2.5, 4.5]))
        keep = []
        for i in range(len(v)):
            if all(((v[i].astype(float) - v[j]) ** 2).sum() >= limit for j in keep):
                keep.append(i)
        got = [int(i) for i in fn(v.copy(), limit)]
        assert got == keep, (
            f"{len(v)} rows{' far from the origin' if case % 2 else ''}, limit {limit}: {got[:8]} …, expected "
            f"{keep[:8]} …" + (": is a difference of large norms a distance?" if case % 2 else "")
        )
    return "a chain, copies, the limit itself, 30 random tables"


# ---- named wrong answers


def _recursion_twice(stacks):
    own, total = Counter(), Counter()
    for s in stacks:
        total.update(s)
        own.update(s[-1:])
    return {f: (own[f], total[f]) for f in total}


def _outermost(stacks):
    own, total = Counter(), Counter()
    for s in stacks:
        total.update(set(s))
        own.update(s[:1])
    return {f: (own[f], total[f]) for f in total}


def _total_without_own(stacks):
    own, total = Counter(), Counter()
    for s in stacks:
        total.update(set(s[:-1]))
        own.update(s[-1:])
    return {f: (own[f], total[f]) for f in {*own, *total}}


def _only_innermost(stacks):
    own, total = Counter(s[-1] for s in stacks if s), Counter(f for s in stacks for f in set(s))
    return {f: (own[f], total[f]) for f in own}


def _blocks(x, y, k, choose):
    found = [choose(x[lo : lo + 128], y, k) for lo in range(0, len(x), 128)]
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def _formula(x, y, k):
    d = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
    i = np.argsort(d, 1)[:, :k]
    return i, np.take_along_axis(d, i, 1)


def _clamped(x, y, k):
    return _blocks(x, y, k, lambda a, b, c: (lambda i, s: (i, np.maximum(s, 0)))(*_formula(a, b, c)))


def _doubles_at_once(x, y, k):
    return _formula(x.astype(np.float64) - y.mean(0), y.astype(np.float64) - y.mean(0), k)


def _subtract_all(x, y, k):
    d = ((x[:, None] - y) ** 2).sum(-1) if len(x) < 1000 else _formula(x, y, len(y))[1]
    i = np.argsort(d, 1)[:, :k]
    return i, np.take_along_axis(d, i, 1)


def _good(a, b, k):
    d = np.stack([((row.astype(np.float64) - b) ** 2).sum(1) for row in a])
    i = np.argsort(d, 1)[:, :k].copy()
    return i, np.take_along_axis(d, i, 1)


def _not_sorted(x, y, k):
    def choose(a, b, k):
        d = np.stack([((row.astype(np.float64) - b) ** 2).sum(1) for row in a])
        i = np.argpartition(d, k - 1)[:, :k][:, ::-1]
        return i, np.take_along_axis(d, i, 1)

    return _blocks(x, y, k, choose)


def _roots(x, y, k):
    i, s = _blocks(x, y, k, _good)
    return i, np.sqrt(s)


def _last_block_lost(x, y, k):
    if len(x) < 256:
        return _good(x, y, k)
    i, s = _blocks(x[: len(x) // 128 * 128], y, k, _good)
    rest = len(x) - len(i)
    return np.concatenate([i, i[:rest]]), np.concatenate([s, s[:rest]])


def _refined_too_few(x, y, k):
    def choose(a, b, k):
        i = _formula(a, b, k)[0]
        s = ((a[:, None].astype(np.float64) - b[i]) ** 2).sum(-1)
        o = np.argsort(s, 1)
        return np.take_along_axis(i, o, 1), np.take_along_axis(s, o, 1)

    return _blocks(x, y, k, choose)


def _index_in_block(x, y, k):
    near = np.zeros((len(x), 0), int), np.zeros((len(x), 0))
    for lo in range(0, len(y), 1000):
        some = [_good(x[at : at + 128], y[lo : lo + 1000], min(k, len(y) - lo)) for at in range(0, len(x), 128)]
        index = np.concatenate([near[0], np.concatenate([s[0] for s in some])], 1)
        squared = np.concatenate([near[1], np.concatenate([s[1] for s in some])], 1)
        first = np.argsort(squared, 1)[:, :k]
        near = np.take_along_axis(index, first, 1), np.take_along_axis(squared, first, 1)
    return near


def _views(tokens, length, step):
    if len(tokens) < length:
        return np.empty((0, length), tokens.dtype)
    return np.lib.stride_tricks.sliding_window_view(tokens, length)[::step]


def _copied(tokens, length, step):
    return np.array(_views(tokens, length, step))


def _itemsize(tokens, length, step):
    if len(tokens) < length:
        return np.empty((0, length), tokens.dtype)
    rows, b = (len(tokens) - length) // step + 1, tokens.itemsize
    return np.lib.stride_tricks.as_strided(tokens, (rows, length), (step * b, b), writeable=False)


def _one_short(tokens, length, step):
    return _views(tokens[:-1], length, step) if len(tokens) > length else _views(tokens, length, step)


def _writeable(tokens, length, step):
    if len(tokens) < length:
        return np.empty((0, length), tokens.dtype)
    rows, (b,) = (len(tokens) - length) // step + 1, tokens.strides
    return np.lib.stride_tricks.as_strided(tokens, (rows, length), (step * b, b))


def _reshaped(tokens, length, step):
    rows = len(tokens) // length
    out = tokens[: rows * length].reshape(rows, length)
    out.flags.writeable = False
    return out


def _near_any(vectors, limit):
    v = np.asarray(vectors, float)
    return [i for i in range(len(v)) if not (((v[:i] - v[i]) ** 2).sum(1) < limit).any()]


def _keep(vectors, near):
    v, keep = np.asarray(vectors, float), []
    for i in range(len(v)):
        if not near(((v[keep] - v[i]) ** 2).sum(1)).any():
            keep.append(i)
    return keep


def _by_norms(vectors, limit):
    v, keep = np.asarray(vectors, np.float32), []
    norms = (v * v).sum(1)
    squared = norms[:, None] + norms - 2 * v @ v.T
    for i in range(len(v)):
        if not (squared[i, keep] < limit).any():
            keep.append(i)
    return keep


def _last_stays(vectors, limit):
    n = len(vectors)
    return sorted(n - 1 - i for i in _keep(vectors[::-1], lambda s: s < limit))


WRONG = {
    "count_samples": {
        "recursion counted twice": _recursion_twice,
        "the outermost is running": _outermost,
        "total leaves own out": _total_without_own,
        "callers without own time left out": _only_innermost,
    },
    "k_nearest": {
        "the formula alone": _formula,
        "the formula, clamped, in blocks": _clamped,
        "float64, all products at once": _doubles_at_once,
        "subtraction of all at once": _subtract_all,
        "partitioned, not sorted": _not_sorted,
        "roots instead of squares": _roots,
        "the last block is lost": _last_block_lost,
        "exact distances of k candidates only": _refined_too_few,
        "index counts from the block": _index_in_block,
    },
    "windows": {
        "a copy": _copied,
        "strides from the item size": _itemsize,
        "the last window is lost": _one_short,
        "a writeable view": _writeable,
        "no overlap": _reshaped,
    },
    "keep_first": {
        "near to any earlier row": _near_any,
        "at the limit, too": lambda vectors, limit: _keep(vectors, lambda s: s <= limit),
        "distance, not squared": lambda vectors, limit: _keep(vectors, lambda s: np.sqrt(s) < limit),
        "the last stays": _last_stays,
        "distances from norms": _by_norms,
    },
}
