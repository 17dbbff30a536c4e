"""Checks of day 37: a prefix mask, T5's question, a leak, the parameters of a decoder."""

from dataclasses import dataclass

import torch


def prefix_mask(fn):
    for n, prefix in [(1, 0), (1, 1), (4, 0), (4, 2), (5, 5), (7, 3)]:
        got = fn(n, prefix)
        assert isinstance(got, torch.Tensor), f"return a tensor, got {type(got).__name__}"
        assert got.dtype == torch.bool, f"a mask is boolean (True = may look), yours holds {got.dtype}"
        assert tuple(got.shape) == (n, n), f"the shape is {(n, n)}, got {tuple(got.shape)}"
        for i in range(n):
            want = [j for j in range(n) if j <= i or j < prefix]
            seen = got[i].nonzero().flatten().tolist()
            where = "inside the prefix" if i < prefix else "behind the prefix"
            assert seen == want, (
                f"n={n}, prefix={prefix}: token {i}, {where}, may see {want}, yours sees {seen}. Everybody sees the "
                "whole prefix, and what lies behind it only backwards"
            )
    return "six sizes, from no prefix (causal) to all prefix (encoder)"


def corrupt(fn):
    cases = [
        (list("the·cat"), [(1, 3), (5, 6)], list("ABC"), list("tA·cBt"), list("AheBaC")),
        (list("abc"), [], ["X"], list("abc"), ["X"]),
        (list("abc"), [(0, 3)], ["X", "Y"], ["X"], ["X", *"abc", "Y"]),
        (list("abcdef"), [(0, 1), (5, 6)], ["X", "Y", "Z", "W"], ["X", *"bcde", "Y"], ["X", "a", "Y", "f", "Z"]),
        ([7, 7, 7, 8, 7], [(1, 2), (3, 4)], [90, 91, 92], [7, 90, 7, 91, 7], [90, 7, 91, 8, 92]),
    ]
    for tokens, spans, marks, source, target in cases:
        copies = (list(tokens), list(spans), list(marks))
        got = fn(tokens, spans, marks)
        assert (tokens, spans, marks) == copies, "an argument was changed: build new lists"
        assert isinstance(got, tuple) and len(got) == 2, "return a pair (source, target)"
        left, right = list(got[0]), list(got[1])
        case = f"tokens {tokens}, spans {spans}"
        assert left == source, f"{case}: the source should be {source}, yours is {left}. {_source_hint(left, source)}"
        if right == target[:-1]:
            raise AssertionError(f"{case}: the target ends with one more marker, so that the decoder knows it is done")
        used = [t for t in right if t in marks]
        assert used == marks[: len(spans) + 1], (
            f"{case}: the target's markers should be {marks[: len(spans) + 1]}, yours are {used}: each span has its "
            "own, the same as in the source, and the last is the next unused one"
        )
        assert right == target, f"{case}: the target should be {target}, yours is {right}: each marker, then its span"
    return "five texts: no span, the whole text, both ends, repeated tokens"


def _source_hint(got, want):
    if len(got) > len(want):
        return "A span of several tokens becomes one marker"
    if len(got) < len(want):
        return "What stands between and behind the spans stays; the end of a span is excluded"
    return "Markers are used in order, one a span, at the span's place"


def leaks(fn):
    n, vocab = 12, 40
    for seed in range(3):
        table = torch.randn(vocab, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        got = fn(_model(table, None), n, vocab)
        assert isinstance(got, bool), f"return True or False, got {type(got).__name__}"
        assert got is False, "a causal model was accused: which outputs may change when one input changes?"
        rounded = fn(_model(table, "rounding"), n, vocab)
        assert rounded is False, "a causal model was accused for its rounding: what moves by 1e-9 is no leak"
        for fault, hint in FAULTS.items():
            assert fn(_model(table, fault, 13 * seed), n, vocab) is True, f"a leaking model passed your test: {hint}"
    shorter = fn(_model(table, None), 1, vocab)
    assert shorter is False, "with one position there is no later one"
    return f"six causal models acquitted, {len(FAULTS)} kinds of leak found, three times each"


FAULTS = {
    "next": "position i reads input i + 1: change one input at a time and look at all earlier outputs",
    "last": "every output reads the last input: change that one too",
    **{
        f"{i} {j}": f"only output {i} reads input {j}: look at every pair"
        for i, j in [(4, 9), (0, 1), (7, 8), (10, 11)]
    },
    "balanced": "the numbers of an output move in opposite directions: compare them one by one, not their sum",
    "faint": "the outputs move by less than a ten-thousandth: a rounded or loose comparison hides it",
    "token": "it leaks only where the later input is one of two tokens: try several texts and edits",
}


def _model(table, fault, token=0):
    def model(ids):
        assert isinstance(ids, torch.Tensor) and ids.dtype in (torch.int64, torch.int32), "ids are integers"
        assert ids.ndim == 2 and ids.shape[0] == 1, f"ids have the shape (1, n), got {tuple(ids.shape)}"
        low, high = int(ids.min()), int(ids.max())
        assert low >= 0 and high < len(table), f"ids lie below vocab = {len(table)}, yours go from {low} to {high}"
        x = table[ids]
        out = torch.tanh(x.cumsum(1))
        if fault == "rounding":
            out += 1e-9 * x.sum(1, keepdim=True)
        if fault == "next":
            out[:, :-1] += 0.5 * x[:, 1:]
        if fault == "last":
            out += 0.3 * x[:, -1:]
        if fault and " " in fault:
            i, j = map(int, fault.split())
            if j < ids.shape[1]:
                out[:, i] += 0.5 * x[:, j]
        if fault == "balanced":
            out[:, :-1] += 0.5 * (x - x.mean(-1, keepdim=True))[:, 1:]
        if fault == "faint":
            out[:, :-1] += 1e-4 * torch.sigmoid(x[:, 1:])
        if fault == "token":
            out[:, :-1] += 0.5 * ((ids[:, 1:, None] - token) // 2 == 0)
        return out

    return model


@dataclass(frozen=True)
class _Config:
    vocab: int
    width: int
    heads: int
    depth: int
    hidden: int
    kv_heads: int | None = None
    head_width: int | None = None
    eps: float = 1e-5
    base: float = 10000.0
    tied: bool = True
    places: int = 512


def parameters(fn):
    cases = [
        (_Config(49152, 576, 9, 30, 1536, 3, 64), 134515008),
        (_Config(128256, 4096, 32, 32, 14336, 8, tied=False), 8030261248),
        (_Config(50, 32, 4, 2, 64), None),
        (_Config(50, 32, 4, 0, 64, tied=False), None),
        (_Config(31, 24, 3, 2, 40, 1, 16, tied=False), None),
        (_Config(31, 24, 6, 1, 40, 2), None),
    ]
    for c, published in cases:
        want = sum(_parts(c).values())
        assert published is None or want == published
        got = fn(c)
        assert isinstance(got, int), f"return a whole number, got {type(got).__name__}"
        if got != want:
            off = got - want
            why = next((word for word, size in _slips(c).items() if size and off == size), None)
            why = why or "count tables, then per block: four matrices of attention, three of the network, two gains"
            raise AssertionError(f"{c}: {want:,} expected, yours is {off:+,} off: {why}")
    return "SmolLM2 and Llama 3 8B as published, and four odd shapes"


def _parts(c):
    d, groups = c.head_width or c.width // c.heads, c.kv_heads or c.heads
    return {
        "tables": c.vocab * c.width * (1 if c.tied else 2),
        "attention": c.depth * 2 * c.width * d * (c.heads + groups),
        "network": c.depth * 3 * c.width * c.hidden,
        "gains": (2 * c.depth + 1) * c.width,
    }


def _slips(c):
    d, groups, table = c.head_width or c.width // c.heads, c.kv_heads or c.heads, c.vocab * c.width
    own = c.width // c.heads
    return {
        "a tied output matrix is the embedding: counted twice": table,
        "an untied model has an output matrix of its own": -table,
        "key and value have kv_heads heads, not heads": c.depth * 2 * c.width * d * (c.heads - groups),
        "the norm at the end has a gain, too": -c.width,
        "each block has two gains": -2 * c.depth * c.width,
        "the gains of all norms are missing": -(2 * c.depth + 1) * c.width,
        "SwiGLU has three matrices": -c.depth * c.width * c.hidden,
        "a head may be wider or narrower than width / heads: head_width": c.depth
        * 2
        * c.width
        * (own - d)
        * (c.heads + groups),
    }


def _count(c, *, d=None, groups=None, tables=None, matrices=3, final=1):
    d = d or c.head_width or c.width // c.heads
    groups = groups or c.kv_heads or c.heads
    tables = tables or (1 if c.tied else 2)
    block = 2 * c.width * d * (c.heads + groups) + matrices * c.width * c.hidden + 2 * c.width
    return tables * c.vocab * c.width + c.depth * block + final * c.width


def _unshared(tokens, spans, marks):
    source, target, done = [], [], 0
    for begin, end in spans:
        source += [*tokens[done:begin], marks[0]]
        target += [marks[0], *tokens[begin:end]]
        done = end
    return source + [*tokens[done:]], target + [marks[0]]


def _marks_each(tokens, spans, marks):
    source, target = list(tokens), []
    for (begin, end), mark in zip(spans, marks, strict=False):
        source[begin:end] = [mark] * (end - begin)
        target += [mark, *tokens[begin:end]]
    return source, target + [marks[len(spans)]]


def _no_end(tokens, spans, marks):
    source, target, done = [], [], 0
    for (begin, end), mark in zip(spans, marks, strict=False):
        source += [*tokens[done:begin], mark]
        target += [mark, *tokens[begin:end]]
        done = end
    return source + [*tokens[done:]], target


def _shifted(tokens, spans, marks):
    source, target = list(tokens), []
    for (begin, end), mark in zip(spans, marks, strict=False):
        source[begin:end] = [mark]
        target += [mark, *tokens[begin:end]]
    return source, target + [marks[len(spans)]]


def _cuts_tail(tokens, spans, marks):
    source, target, done = [], [], 0
    for (begin, end), mark in zip(spans, marks, strict=False):
        source += [*tokens[done:begin], mark]
        target += [mark, *tokens[begin:end]]
        done = end
    return (source or list(tokens)), target + [marks[len(spans)]]


def _pairs(tolerance, trials, positions):
    def test(model, n, vocab):
        for trial in range(trials):
            ids = torch.randint(vocab, (1, n), generator=torch.Generator().manual_seed(trial))
            base = model(ids)
            for j in positions(n):
                edited = ids.clone()
                edited[0, j] = (ids[0, j] + 1) % vocab
                if j and (model(edited) - base)[0, :j].abs().max() > tolerance:
                    return True
        return False

    return test


def _neighbour_only(model, n, vocab):
    for trial in range(8):
        ids = torch.randint(vocab, (1, n), generator=torch.Generator().manual_seed(trial))
        base = model(ids)
        for j in range(1, n):
            edited = ids.clone()
            edited[0, j] = (ids[0, j] + 1) % vocab
            if (model(edited) - base)[0, j - 1].abs().max() > 1e-6:
                return True
    return False


def _few_cuts(model, n, vocab):
    for trial in range(50):
        g = torch.Generator().manual_seed(trial)
        ids = torch.randint(vocab, (1, n), generator=g)
        for cut in (n // 4, n // 2, 3 * n // 4):
            edited = ids.clone()
            edited[0, cut:] = torch.randint(vocab, (n - cut,), generator=g)
            if cut and (model(edited) - model(ids))[0, :cut].abs().max() > 1e-6:
                return True
    return False


def _compared(moved):
    def test(model, n, vocab):
        for trial in range(8):
            ids = torch.randint(vocab, (1, n), generator=torch.Generator().manual_seed(trial))
            base = model(ids)
            for j in range(1, n):
                edited = ids.clone()
                edited[0, j] = (ids[0, j] + 1) % vocab
                if moved(model(edited)[0, :j], base[0, :j]):
                    return True
        return False

    return test


def _itself_too(model, n, vocab):
    ids = torch.zeros(1, n, dtype=torch.long)
    edited = ids.clone()
    edited[0, -1] = 1
    return bool((model(edited) - model(ids)).abs().max() > 1e-6)


WRONG = {
    "prefix_mask": {
        "causal only": lambda n, prefix: torch.ones(n, n, dtype=torch.bool).tril(),
        "the prefix sees everything": lambda n, prefix: (
            torch.ones(n, n, dtype=torch.bool).tril() | (torch.arange(n) < prefix)[:, None]
        ),
        "two blocks that do not meet": lambda n, prefix: (
            torch.ones(n, n, dtype=torch.bool).tril()
            & ((torch.arange(n) < prefix)[:, None] == (torch.arange(n) < prefix)[None])
            | ((torch.arange(n) < prefix)[:, None] & (torch.arange(n) < prefix)[None])
        ),
        "True means forbidden": lambda n, prefix: (
            ~(torch.ones(n, n, dtype=torch.bool).tril() | (torch.arange(n) < prefix)[None])
        ),
        "one token too many": lambda n, prefix: (
            torch.ones(n, n, dtype=torch.bool).tril() | (torch.arange(n) <= prefix)[None]
        ),
    },
    "corrupt": {
        "one marker for all": _unshared,
        "one marker a token": _marks_each,
        "no last marker": _no_end,
        "positions of a list that has shrunk": _shifted,
        "the rest is lost": _cuts_tail,
    },
    "leaks": {
        "edits the last token only": _pairs(1e-6, 8, lambda n: [n - 1]),
        "looks one step back only": _neighbour_only,
        "one text": _pairs(1e-6, 1, lambda n: range(n)),
        "a loose comparison": _pairs(1e-2, 8, lambda n: range(n)),
        "counts the token's own output": _itself_too,
        "three cuts, everything behind them new": _few_cuts,
        "compares sums": _compared(lambda a, b: bool((a.sum() - b.sum()).abs() > 1e-6)),
        "compares the best token": _compared(lambda a, b: not torch.equal(a.argmax(-1), b.argmax(-1))),
        "a tolerance of 1e-4": _pairs(1e-4, 8, lambda n: range(n)),
        "takes rounding for a leak": _compared(lambda a, b: not torch.equal(a, b)),
    },
    "parameters": {
        "all heads have keys": lambda c: _count(c, groups=c.heads),
        "tied counted twice": lambda c: _count(c, tables=2),
        "never an output matrix": lambda c: _count(c, tables=1),
        "no final norm": lambda c: _count(c, final=0),
        "two matrices in the network": lambda c: _count(c, matrices=2),
        "head width is width over heads": lambda c: _count(c, d=c.width // c.heads),
    },
}
