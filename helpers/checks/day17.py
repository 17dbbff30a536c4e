"""Checks of day 17's exercises, and the wrong answers they must find."""

import itertools
import math
import random


class _Source:
    """An iterator that counts what is taken from it and knows whether it was closed."""

    def __init__(self, items, log=None, name="", fail=None):
        self.items, self.taken, self.closed = iter(items), 0, 0
        self.log, self.name, self.fail = log, name, fail

    def __iter__(self):
        return self

    def __next__(self):
        if self.taken == self.fail:
            raise OSError("broken shard")
        item = next(self.items)
        self.taken += 1
        if self.log is not None:
            self.log.append(self.name)
        return item

    def close(self):
        self.closed += 1


def _pair(fn, items, *default):
    try:
        got = fn(items, *default)
    except StopIteration:
        raise AssertionError(
            "an empty stream raised StopIteration; inside a generator that is a RuntimeError"
        ) from None
    assert isinstance(got, tuple) and len(got) == 2, "return two things: the first item and an iterator"
    return got


def peek(fn):
    first, again = _pair(fn, [7, 8, 9])
    assert first == 7, f"the first of [7, 8, 9] is 7, got {first!r}"
    assert iter(again) is iter(again), "the second result must be an iterator: the rest of the program calls next on it"
    assert list(again) == [7, 8, 9], "for a list, the iterator must give all three items, the first included"
    first, again = _pair(fn, (x for x in [7, 8, 9]))
    got = list(again)
    assert (first, got) == (7, [7, 8, 9]), f"for a generator the iterator gave {got}: next() took the first item away"
    source = _Source(itertools.count(5))
    first, again = _pair(fn, source)
    assert source.taken == 1, f"{source.taken} items were taken from the stream to look at one"
    assert [next(again) for _ in range(4)] == [5, 6, 7, 8], "an endless stream must go on after the look"
    assert source.taken == 4, f"after four items {source.taken} were taken from the stream"
    for empty in ([], iter(()), (x for x in ())):
        first, again = _pair(fn, empty)
        assert hasattr(again, "__next__"), "nothing to come is also an iterator, not a list: iter(()), for example"
        assert first is None and list(again) == [], "an empty stream has no item: give None and an iterator of nothing"
    first, again = _pair(fn, iter(()), "none")
    assert (first, list(again)) == ("none", []), "the default is an answer, not an item: the iterator must stay empty"
    for items in ([None, 1], [0], [False, 2], [[]]):
        first, again = _pair(fn, iter(items), "none")
        assert first == items[0] and list(again) == items, f"{items[0]!r} is an item like any other, in {items}"
    first, outer = _pair(fn, iter("abc"))
    second, inner = _pair(fn, outer)
    assert (second, "".join(inner)) == ("a", "abc"), "to look twice must work as well as once"
    return "lists, generators, an endless stream, empty ones, None and 0 as items"


def pack_stream(fn):
    rng = random.Random(17)
    trials = [([], 3), ([[]], 3), ([[], [], []], 2), ([[1, 2, 3]], 3), ([[1, 2, 3], []], 3), ([[1]], 3)]
    trials += [([[1, 2], [3, 4, 5]], 3), ([list(range(14))], 4), ([[5], [6], [7]], 1), ([[0, 0], [0]], 2)]
    for _ in range(150):
        documents = [
            [rng.randrange(9) for _ in range(rng.choice([0, 1, 2, 3, 5, 17]))] for _ in range(rng.randrange(7))
        ]
        trials.append((documents, rng.randint(1, 6)))
    for documents, length in trials:
        given = [list(ids) for ids in documents]
        rows, copies = [], []
        for row in fn(iter(documents), length):
            assert isinstance(row, list), f"a row is a list of ids, got {type(row).__name__}"
            rows.append(row)
            copies.append(list(row))
            assert len(rows) < 500, f"documents {given}, length {length}: the rows do not end"
        case = f"documents {given}, length {length}"
        assert rows == copies, f"{case}: a row changed after it was handed out: give the consumer a list of its own"
        tape = [i for ids in given for i in ids]
        assert documents == given, f"{case}: the caller's documents were changed; `row = ids` is no copy"
        assert [] not in copies, f"{case}: an empty row came out; what if nothing is left?"
        laid = [i for row in copies for i in row]
        if laid != tape:
            if len(laid) < len(tape) and laid == tape[: len(laid)]:
                hint = "the end is missing: what happens to the rest of a document, and to the last, short row?"
            elif len(laid) < len(tape):
                hint = "ids are missing in the middle: what is left of a document when its row is full?"
            else:
                hint = "ids come twice or in another order: is one list handed out and filled again?"
            raise AssertionError(f"{case}: rows {copies}: {hint}")
        full = [len(row) for row in copies[:-1]]
        assert full == [length] * len(full), f"{case}: rows {copies}: only the last may be short"
        assert len(copies) == math.ceil(len(tape) / length), f"{case}: rows {copies}: the last is too long"
    _packs_lazily(fn)
    return f"{len(trials)} corpora, one endless, rows changed by the consumer"


def _packs_lazily(fn):
    source = _Source([[k, k] for k in range(1000)])
    rows = fn(source, 4)
    for k in range(1, 6):
        next(rows)
        assert source.taken <= 2 * k, (
            f"{source.taken} documents were read for {k} rows of 4 (two ids each): yield a row as soon as it is full"
        )
        assert source.taken == 2 * k, f"after {k} rows {source.taken} documents were read, {2 * k} hold their ids"
    documents, kept = [[1, 2, 3], [4, 5, 6], [7, 8]], []
    for row in fn(iter(documents), 2):
        kept.append(list(row))
        row[:] = [-1, -1, -1]
    assert kept == [[1, 2], [3, 4], [5, 6], [7, 8]], (
        f"the consumer overwrote each row after use, and then came {kept}: a row that was handed out is not yours"
    )
    assert documents == [[1, 2, 3], [4, 5, 6], [7, 8]], (
        f"the consumer overwrote its rows, and the caller's documents are {documents}: a document that happens to fill "
        "a row must be copied, too"
    )


def _turns(streams):
    streams, out = [list(s) for s in streams], []
    for k in range(max(map(len, streams), default=0)):
        out += [s[k] for s in streams if k < len(s)]
    return out


def interleave(fn):
    rng = random.Random(5)
    trials = [[], [[]], [[], [1], []], [[1, 2, 3], [4], [5, 6]], [[None, None], [None]], [[1], [2, None, 3]]]
    trials += [[[rng.choice([None, 0, 1, 2]) for _ in range(rng.randrange(5))] for _ in range(4)] for _ in range(60)]
    for streams in trials:
        for make in (lambda s: s, iter, lambda s: (x for x in s)):
            try:
                got, want = list(itertools.islice(fn([make(s) for s in streams]), 100)), _turns(streams)
            except AttributeError:
                raise AssertionError("a list's iterator has no close: ask before you call it") from None
            if got == want:
                continue
            hint = "one item of each in turn; those that ended drop out, the others keep their order"
            if len(got) < len(want):
                hint = "items are missing: does it stop with the shortest, or take None for the end?"
            elif len(got) > len(want):
                hint = "there are too many items: what stands in for the streams that ended?"
            raise AssertionError(f"streams {streams} gave {got}, not {want}: {hint}")
    _fetches_and_closes(fn)
    return f"{len(trials)} sets of streams; early end, error, laziness"


def _fetches_and_closes(fn):
    log = []
    streams = [_Source(itertools.count(), log, name) for name in "abc"]
    rows = fn(streams)
    assert not log, "nothing was asked for yet, and items were fetched"
    for k, want in enumerate(["a", "ab", "abc", "abca"], 1):
        next(rows)
        assert "".join(log) == want, f"for {k} item(s) it fetched from {''.join(log)}, not {want}: one at a time"
    rows.close()
    assert [s.closed > 0 for s in streams] == [True] * 3, (
        "the consumer closed the generator and streams are still open: which statement runs however a generator ends?"
    )
    streams = [_Source([1, 2]), _Source([3, 4, 5], fail=1), _Source([6, 7])]
    try:
        list(fn(streams))
    except OSError:
        pass
    else:
        raise AssertionError("the error of a stream must reach the consumer, not end the others in silence")
    assert [s.closed > 0 for s in streams] == [True] * 3, "one stream raised: the others must be closed, too"
    mixed = _Source([1, 2])
    rows = fn([[9, 9], mixed])
    next(rows)
    rows.close()
    assert mixed.closed, "the stream beside a list was not closed"
    source = _Source([1, 2, 3])
    rows = fn([source])
    next(rows)
    rows.close()
    assert source.closed == 1, f"one stream was closed {source.closed} times"
    streams = [_Source([1]), _Source([2, 3, 4, 5])]
    rows = fn(streams)
    _ = [next(rows) for _ in range(4)]
    rows.close()
    assert [s.closed > 0 for s in streams] == [True] * 2, (
        "a stream that had ended before was not closed: every stream that has a close is, not only those still in turn"
    )


def _fit(documents, length, window):
    rows = []
    for ids in documents:
        for k in range(0, len(ids), length):
            piece = ids[k : k + length]
            best = None
            for row in rows:
                if len(row) + len(piece) <= length and (best is None or len(row) > len(best)):
                    best = row
            if best is None:
                best = []
                rows.append(best)
            best.extend(piece)
            top = max(len(row) for row in rows)
            if top == length or len(rows) > window:
                at = next(i for i, row in enumerate(rows) if len(row) == top)
                yield rows.pop(at)
    yield from rows


def fit(fn):
    rng = random.Random(24)
    trials = [([], 4, 2), ([[]], 4, 2), ([[1, 2, 3, 4]], 4, 1), ([list(range(10))], 4, 1), ([[1], [2], [3]], 3, 1)]
    trials += [([[1, 1, 1], [2, 2], [3, 3], [4]], 4, 2), ([[1, 1], [2, 2, 2], [3], [4, 4]], 4, 3)]
    for _ in range(200):
        many = rng.randrange(9)
        documents = [[k + 1] * rng.choice([0, 1, 1, 2, 3, 4, 5, 9]) for k in range(many)]
        trials.append((documents, rng.randint(3, 7), rng.randint(1, 4)))
    for documents, length, window in trials:
        given = [list(ids) for ids in documents]
        got = [list(row) for row in itertools.islice(fn(iter(documents), length, window), 200)]
        want = list(_fit(given, length, window))
        case = f"documents {given}, length {length}, window {window}"
        assert documents == given, f"{case}: the caller's documents were changed; open a row with a copy"
        assert all(len(row) <= length for row in got), f"{case}: {got} has a row above {length}"
        assert [] not in got, f"{case}: an empty row came out; are empty documents dropped?"
        if got == want:
            continue
        have, need = sorted(sum(got, [])), sorted(sum(given, []))
        hint = "the fullest row that has room takes it (the oldest of equals); a full row leaves at once"
        if have != need:
            hint = "ids were lost or doubled: are long documents split and open rows yielded at the end?"
        elif sorted(map(sorted, got)) == sorted(map(sorted, want)):
            hint = "the rows are right, the order in which they leave is not"
        raise AssertionError(f"{case}: got {got}, not {want}: {hint}")
    source = _Source([[1, 2]] * 1000)
    rows = fn(source, 4, 3)
    next(rows)
    assert source.taken == 2, f"the first row was full after 2 documents, {source.taken} were read before it came"
    return f"{len(trials)} corpora, row by row; no look ahead"


# ---- wrong answers


def _peek_loses(items, default=None):
    items = iter(items)
    return next(items, default), items


def _peek_twice(items, default=None):
    return next(iter(items), default), iter(items)


def _peek_list(items, default=None):
    items = list(itertools.islice(items, 10_000))
    return (items[0] if items else default), iter(items)


def _peek_raises(items, default=None):
    items = iter(items)
    first = next(items)
    return first, itertools.chain([first], items)


def _peek_chains_default(items, default=None):
    items = iter(items)
    first = next(items, default)
    return first, itertools.chain([first], items)


def _peek_none_is_end(items, default=None):
    items = iter(items)
    first = next(items, None)
    if first is None:
        return default, iter(())
    return first, itertools.chain([first], items)


def _peek_falsy_is_end(items, default=None):
    items = iter(items)
    first = next(items, default)
    return (first, itertools.chain([first], items)) if first else (default, iter(()))


def _peek_tee(items, default=None):
    one, two = itertools.tee(items)
    return next(one, default), (x for x in list(itertools.islice(two, 1000)))


def _peek_empty_list(items, default=None):
    items = iter(items)
    for first in items:
        return first, itertools.chain([first], items)
    return default, []


def _packer(*, tail=True, rest=True, copy=True, own=True, eager=False, empty=False, late=False):
    def pack(documents, length):
        if eager:
            documents = list(itertools.islice(documents, 2000))
        row = []
        for ids in documents:
            if not row and not own:
                row = ids
            else:
                row += ids
            while len(row) > length if late else len(row) >= length:
                if not copy:
                    rest_of = row[length:]
                    del row[length:]
                    yield row
                    row[:] = rest_of
                else:
                    yield row[:length]
                    row = row[length:] if rest else []
        while late and len(row) > length:
            yield row[:length]
            row = row[length:]
        if (row and tail) or empty:
            yield row

    return pack


def _each_document_alone(documents, length):
    for ids in documents:
        for k in range(0, len(ids), length):
            yield ids[k : k + length]


def _hands_out_a_document(documents, length):
    row = []
    for ids in documents:
        if not row and len(ids) == length:
            yield ids
            continue
        row = row + ids
        whole = len(row) - len(row) % length
        for k in range(0, whole, length):
            yield row[k : k + length]
        row = row[whole:]
    if row:
        yield row


def _one_row_per_document(documents, length):
    row = []
    for ids in documents:
        row = row + ids
        if len(row) >= length:
            yield row[:length]
            row = row[length:]
    if row:
        yield row


def _turn(*, none=False, shortest=False, fill=False, close=True, ahead=False, ask=True, skip=False, swallow=False):
    def interleave(streams):
        streams = [iter(s) for s in streams]
        going = list(streams)
        try:
            if shortest:
                for some in zip(*streams, strict=False):
                    yield from some
                return
            if fill:
                for some in itertools.zip_longest(*itertools.islice(streams, None)):
                    yield from some
                return
            while going:
                if ahead:
                    some = []
                    for s in list(going):
                        try:
                            some.append(next(s))
                        except StopIteration:
                            going.remove(s)
                    yield from some
                    continue
                for s in going if skip else list(going):
                    try:
                        item = next(s)
                    except StopIteration:
                        going.remove(s)
                        continue
                    except OSError:
                        if not swallow:
                            raise
                        going.remove(s)
                        continue
                    if none and item is None:
                        going.remove(s)
                        continue
                    yield item
        finally:
            for s in streams if close else []:
                if ask and hasattr(s, "close") or not ask:
                    s.close()

    return interleave


def _closes_at_the_end(streams):
    going = streams = [iter(s) for s in streams]
    while going:
        left = []
        for s in going:
            for item in s:
                yield item
                left.append(s)
                break
        going = left
    for s in streams:
        if hasattr(s, "close"):
            s.close()


def _closes_those_in_turn(streams):
    going = [iter(s) for s in streams]
    try:
        while going:
            left = []
            for s in going:
                for item in s:
                    yield item
                    left.append(s)
                    break
            going = left
    finally:
        for s in going:
            if hasattr(s, "close"):
                s.close()


def _fitter(*, choose="fullest", split=True, leave="fullest", wait=False, last=True, cut=False, strict=False):
    def fit(documents, length, window):
        rows = []
        for ids in documents:
            step = length if split else max(len(ids), 1)
            for k in range(0, len(ids), step):
                piece = ids[k : k + step]
                room = [r for r in rows if len(r) + len(piece) + strict <= length]
                if choose == "first":
                    best = room[0] if room else None
                elif choose == "emptiest":
                    best = min(room, key=len, default=None)
                else:
                    best = max(room, key=len, default=None)
                if best is None:
                    rows.append(best := [])
                best += piece
                fullest = max(rows, key=len) if leave == "fullest" else rows[0]
                full = len(fullest) == length and not wait
                if full or len(rows) > window:
                    rows = [r for r in rows if r is not fullest]
                    yield fullest
        if last:
            yield from rows

    return fit


def _end_to_end(documents, length, window):
    return _packer()(documents, length)


WRONG = {
    "peek": {
        "next takes the first away": _peek_loses,
        "iter twice, good for lists only": _peek_twice,
        "makes a list": _peek_list,
        "StopIteration on nothing": _peek_raises,
        "the default becomes an item": _peek_chains_default,
        "None counts as the end": _peek_none_is_end,
        "0 and False count as the end": _peek_falsy_is_end,
        "tee, then a list": _peek_tee,
        "an empty list for an iterator": _peek_empty_list,
    },
    "pack_stream": {
        "drops the short last row": _packer(tail=False),
        "drops what is left of a document": _packer(rest=False),
        "hands out its own list": _packer(copy=False),
        "grows the caller's document": _packer(own=False),
        "reads everything first": _packer(eager=True),
        "an empty last row": _packer(empty=True),
        "waits for the next document": _packer(late=True),
        "packs each document alone": _each_document_alone,
        "if where while is needed": _one_row_per_document,
        "hands out a document that fills a row": _hands_out_a_document,
    },
    "interleave": {
        "stops with the shortest": _turn(shortest=True),
        "fills with None": _turn(fill=True),
        "takes None for the end": _turn(none=True),
        "removes from the list it walks": _turn(skip=True),
        "fetches a whole round ahead": _turn(ahead=True),
        "does not close": _turn(close=False),
        "closes only after a full run": _closes_at_the_end,
        "closes lists, too": _turn(ask=False),
        "swallows a stream's error": _turn(swallow=True),
        "closes only those still in turn": _closes_those_in_turn,
    },
    "fit": {
        "first fit": _fitter(choose="first"),
        "emptiest row first": _fitter(choose="emptiest"),
        "long documents stay whole": _fitter(split=False),
        "the oldest leaves": _fitter(leave="oldest"),
        "a full row waits": _fitter(wait=True),
        "forgets the open rows": _fitter(last=False),
        "no exact fit": _fitter(strict=True),
        "packs end to end": _end_to_end,
    },
}
