"""Checks of day 39: a fine for repetition, beams that may end, what a draft buys, a condition on the end."""

import itertools
import math

import torch


def fine(fn):
    cases = [
        ([2.0, -4.0, 0.5, 0.0], [0, 1], 2.0),
        ([2.0, -4.0, 0.5, 0.0], [], 2.0),
        ([2.0, -4.0, 0.5, 0.0], [1, 1, 1, 0], 1.5),
        ([-1.0, -2.0, -3.0], [2, 0, 1], 1.25),
        ([3.0, -3.0], [0, 1], 1.0),
        ([3.0, -float("inf"), 1.0], [1, 2], 1.2),
    ]
    for values, ids, factor in cases:
        logits, seen = torch.tensor(values), list(ids)
        got = fn(logits, seen, factor)
        assert isinstance(got, torch.Tensor) and got.shape == logits.shape, "return a tensor of the shape of logits"
        assert logits.tolist() == values and seen == ids, "an argument was changed: the caller still needs it, clone"
        want = [x * factor if i in ids and x < 0 else x / factor if i in ids else x for i, x in enumerate(values)]
        for i, (a, b) in enumerate(zip(got.tolist(), want, strict=True)):
            case = f"logits {values}, ids {ids}, factor {factor}: token {i}"
            if a == b or abs(a - b) < 1e-5:
                continue
            assert i in ids, f"{case} has not occurred and keeps {values[i]:g}, yours has {a:g}"
            assert not (values[i] < 0 and a > values[i]), (
                f"{case} went from {values[i]:g} to {a:g}: a fine must never make a token likelier"
            )
            assert ids.count(i) == 1, (
                f"{case} occurred {ids.count(i)} times and is fined once: {b:.4g}, yours is {a:.4g}"
            )
            raise AssertionError(f"{case} should have {b:.4g}, yours has {a:.4g}")
    return "positive, negative, repeated, barred tokens, no tokens, a factor of one"


def _table(seed, vocab, blanks):
    g = torch.Generator().manual_seed(seed)
    rows = torch.rand(vocab + 1, vocab, generator=g) ** 3
    if blanks:
        rows[torch.rand(rows.shape, generator=g) < 0.3] = 0
        rows[:, 1] += 0.1
    rows = (rows / rows.sum(1, keepdim=True)).log().tolist()

    def next_logp(text):
        assert isinstance(text, list), f"next_logp takes a list of tokens, got {type(text).__name__}"
        assert all(isinstance(x, int) and 0 <= x < vocab for x in text), f"tokens are whole numbers below {vocab}"
        return list(rows[text[-1] + 1 if text else 0])

    return next_logp


def _total(next_logp, text):
    return sum(next_logp(text[:i])[x] for i, x in enumerate(text))


def _beams(next_logp, width, longest, end, alpha=0.0, *, score=None, replace=False, open_too=False, prune=True):
    beams, finished = [(0.0, [])], []
    for _ in range(longest):
        longer = [
            (total + logp, [*text, token])
            for total, text in beams
            for token, logp in enumerate(next_logp(text))
            if logp > -math.inf
        ]
        longer.sort(key=lambda one: -one[0])
        if replace:  # finished ones do not take a place
            finished += [one for one in longer if one[1][-1] == end]
            beams = [one for one in longer if one[1][-1] != end][:width]
        else:
            finished += [one for one in longer[:width] if one[1][-1] == end]
            beams = [one for one in longer[:width] if one[1][-1] != end]
        if not beams or (not prune and finished):
            break
    if open_too:
        finished += beams
    score = score or (lambda total, text: total / max(len(text), 1) ** alpha)
    return max(finished, default=(0, None), key=lambda one: score(*one))[1]


def best_text(fn):
    def paper(text):  # the lesson's language with an end, token 3
        rows = [[0.5, 0.4, 0.1, 0], [0.3, 0.3, 0.2, 0.2], [0, 0.1, 0.0, 0.9], [0.6, 0.1, 0.2, 0.1]]
        return [math.log(p) if p else -math.inf for p in rows[text[-1] + 1 if text else 0]]

    got = fn(paper, 1, 2, 3)
    assert got is None, (
        f"one beam takes a, then its best continuation, a or b (0.3, the end 0.2): None; yours is {got}"
    )
    got = fn(paper, 2, 2, 3)
    assert got == [1, 3], f"two beams find b and the end (0.36) in two tokens: [1, 3], yours is {got}"
    for seed in range(40):
        vocab, longest = 3 + seed % 3, 1 + seed % 6
        table = _table(seed, vocab, seed % 2)
        for width, alpha in itertools.product((1, 2, 4, 500), (0.0, 0.7, 1.0)):
            if width == 500 and vocab**longest > 500:
                continue
            want = _beams(table, width, longest, 0, alpha)
            got = fn(table, width, longest, 0, alpha)
            case = f"vocabulary {vocab}, width {width}, longest {longest}, alpha {alpha}"
            if got == want:
                continue
            assert want is not None, f"{case}: no beam has ended, the answer is None, yours is {got}"
            assert got is not None, f"{case}: a beam has ended, {want}, yours is None"
            assert isinstance(got, list), f"{case}: return a list of tokens, got {type(got).__name__}"
            assert got[-1:] == [0], f"{case}: {got} has not ended; only a text with the end token counts"
            assert len(got) <= longest, f"{case}: {got} has {len(got)} tokens, the end counts"
            rank = [_total(table, t) / len(t) ** alpha for t in (got, want)]
            if abs(rank[0] - rank[1]) < 1e-9:
                continue
            word = "worse" if rank[0] < rank[1] else "better"
            why = (
                "do you rank finished texts by sum / length ** alpha, all of them, from every step?"
                if rank[0] < rank[1]
                else "a finished text takes one of the width places of its step, and beams are kept by the plain sum"
            )
            raise AssertionError(
                f"{case}: yours, {got}, scores {word} ({rank[0]:.3f}) than {want} ({rank[1]:.3f}): {why}"
            )
    return "forty languages, four widths, three length penalties"


def speedup(fn):
    for alpha, gamma, cost in [
        (0.8, 4, 0.05), (0.8, 0, 0.05), (0.0, 3, 0.1), (1.0, 3, 0.1), (1.0, 5, 0.0), (0.5, 1, 1.0), (0.3, 12, 0.9),
    ]:  # fmt: skip
        want = sum(alpha**i for i in range(gamma + 1)) / (gamma * cost + 1)
        got = fn(alpha, gamma, cost)
        case = f"alpha {alpha}, gamma {gamma}, cost {cost}"
        assert isinstance(got, float | int) and not isinstance(got, bool), f"return a number, got {type(got).__name__}"
        assert not math.isnan(got), f"{case}: not a number; what is the sum of the series when alpha is 1?"
        if abs(got - want) > 1e-9:
            tokens = want * (gamma * cost + 1)
            hint = f"a round writes {tokens:.4g} tokens on average and takes {gamma * cost + 1:.4g} passes"
            if alpha == 0:
                hint = "with every guess refused, the model's own pass still writes one token"
            if gamma == 0:
                hint = "without guesses it is plain decoding: one"
            raise AssertionError(f"{case}: {want:.4f} expected, yours is {got:.4f}; {hint}")
    return "seven drafts, from useless to perfect"


def given_end(fn):
    g = torch.Generator().manual_seed(39)
    paper = torch.tensor([[0.3, 0.3, 0.4], [0, 0.1, 0.9], [0.6, 0.2, 0.2]], dtype=torch.float64)
    cases = [(torch.tensor([0.5, 0.4, 0.1], dtype=torch.float64), paper, torch.tensor([False, True, False]), 2)]
    for n, length in [(1, 1), (2, 1), (3, 3), (4, 5), (3, 4)]:
        first, table = torch.rand(n, generator=g).double(), torch.rand(n, n, generator=g).double()
        table = torch.where((table < 0.3) & ~torch.eye(n, dtype=torch.bool), 0, table)
        good = torch.rand(n, generator=g) < 0.5
        good[int(torch.randint(n, (1,), generator=g))] = True
        cases.append((first / first.sum(), table / table.sum(1, keepdim=True), good, length))
    for first, table, good, length in cases:
        copies = [t.clone() for t in (first, table, good)]
        want = _enumerated(first, table, good, length)
        got = fn(first, table, good, length)
        assert all(torch.equal(a, b) for a, b in zip(copies, (first, table, good), strict=True)), (
            "an argument was changed"
        )
        case = f"{len(first)} states, length {length}"
        assert isinstance(got, torch.Tensor) and got.shape == want.shape, (
            f"{case}: the shape is {tuple(want.shape)}, yours is {tuple(getattr(got, 'shape', ()))}"
        )
        sums = got.sum(1)
        assert torch.allclose(sums, torch.ones_like(sums)), f"{case}: each row sums to 1, yours to {sums.tolist()}"
        assert not got[-1][~good].any(), f"{case}: the last word is good, yours is bad with {got[-1][~good].sum():.2f}"
        for t in range(length):
            if not torch.allclose(got[t].double(), want[t], atol=1e-8):
                raise AssertionError(
                    f"{case}: word {t} should have {[round(x, 4) for x in want[t].tolist()]}, yours has "
                    f"{[round(x, 4) for x in got[t].tolist()]}: how likely is a word, times how likely is a good end "
                    "after it, with as many words still to come as there really are?"
                )
    try:
        dead = torch.eye(2, dtype=torch.float64)
        fn(dead[0], dead, torch.tensor([False, True]), 3)
    except ValueError:
        return "six languages by enumeration, and an end that cannot be reached"
    raise AssertionError("no good end is possible there: raise ValueError rather than return NaN")


def _enumerated(first, table, good, length):
    out = torch.zeros(length, len(first), dtype=torch.float64)
    for text in itertools.product(range(len(first)), repeat=length):
        p = first[text[0]]
        for a, b in itertools.pairwise(text):
            p = p * table[a, b]
        if good[text[-1]]:
            for t, word in enumerate(text):
                out[t, word] += p
    return out / out.sum(1, keepdim=True)


def _fined(logits, ids, factor, *, unique=True, sign=True, place=False, everywhere=False):
    out = logits if place else logits.clone()
    for i in range(len(logits)) if everywhere else set(ids) if unique else ids:
        out[i] = out[i] * factor if out[i] < 0 and sign else out[i] / factor
    return out


def _forward_only(first, table, good, length):
    out, now = [], first
    for t in range(length):
        share = now * good if t == length - 1 else now
        if share.sum() == 0:
            raise ValueError("no good end")
        out.append(share / share.sum())
        now = now @ table
    return torch.stack(out)


def _one_step(first, table, good, length):
    out, now = [], first
    for t in range(length):
        share = now * good if t == length - 1 else now * (table @ good.to(first.dtype))
        if share.sum() == 0:
            raise ValueError("no good end")
        out.append(share / share.sum())
        now = now @ table
    return torch.stack(out)


def _backward(first, table, good, length, *, transpose=False, raises=True):
    ahead = [good.to(first.dtype)]
    for _ in range(length - 1):
        ahead.insert(0, (table.T if transpose else table) @ ahead[0])
    if raises and first @ ahead[0] == 0:
        raise ValueError("no good end")
    out = []
    for chance in ahead:
        share = first * chance
        out.append(share / share.sum())
        first = first @ table
    return torch.stack(out)


def _masked(first, table, good, length):
    out, now = [], first
    for t in range(length):
        now = now * good if t == length - 1 else now
        if now.sum() == 0:
            raise ValueError("no good end")
        now = now / now.sum()
        out.append(now)
        now = now @ table
    return torch.stack(out)


WRONG = {
    "fine": {
        "always divides": lambda logits, ids, factor: _fined(logits, ids, factor, sign=False),
        "once for each occurrence": lambda logits, ids, factor: _fined(logits, ids, factor, unique=False),
        "in place": lambda logits, ids, factor: _fined(logits, ids, factor, place=True),
        "everybody": lambda logits, ids, factor: _fined(logits, ids, factor, everywhere=True),
        "subtracts": lambda logits, ids, factor: (
            logits - torch.tensor([factor if i in ids else 0 for i in range(len(logits))])
        ),
    },
    "best_text": {
        "no length penalty": lambda f, width, longest, end, alpha=0.0: _beams(f, width, longest, end, 0.0),
        "the penalty multiplies": lambda f, width, longest, end, alpha=0.0: _beams(
            f, width, longest, end, score=lambda total, text: total * len(text) ** alpha
        ),
        "open texts count": lambda f, width, longest, end, alpha=0.0: _beams(
            f, width, longest, end, alpha, open_too=True
        ),
        "finished texts take no place": lambda f, width, longest, end, alpha=0.0: _beams(
            f, width, longest, end, alpha, replace=True
        ),
        "stops at the first end": lambda f, width, longest, end, alpha=0.0: _beams(
            f, width, longest, end, alpha, prune=False
        ),
        "greedy": lambda f, width, longest, end, alpha=0.0: _beams(f, 1, longest, end, alpha),
    },
    "speedup": {
        "forgets the model's own token": lambda a, g, c: sum(a**i for i in range(1, g + 1)) / (g * c + 1),
        "counts kept guesses as independent": lambda a, g, c: (a * g + 1) / (g * c + 1),
        "forgets the model's pass": lambda a, g, c: sum(a**i for i in range(g + 1)) / max(g * c, 1e-9),
        "closed form at alpha 1": lambda a, g, c: (
            float("nan") if a == 1 else (1 - a ** (g + 1)) / (1 - a) / (g * c + 1)
        ),
        "cost of gamma + 1 drafts": lambda a, g, c: sum(a**i for i in range(g + 1)) / ((g + 1) * c + 1),
    },
    "given_end": {
        "bars at the end only": _forward_only,
        "looks one word ahead": _one_step,
        "masks and renormalises": _masked,
        "the table turned over": lambda *args: _backward(*args, transpose=True),
        "NaN instead of an error": lambda *args: _backward(*args, raises=False),
    },
}
