"""Checks of day 25: a wire that never buffers, with its own clock, played by threads."""

import math
import random
import threading
from collections.abc import Callable

import numpy as np


class Stuck(Exception):
    """Every rank waits for another one."""


class Misuse(Exception):
    """A call that no wire can serve."""


def _need(holds, words):
    if not holds:
        raise Misuse(words)


class Net:
    """Ranks as threads; a message needs sender and receiver at once, and takes alpha + beta * bytes of a clock."""

    def __init__(self, size, alpha=1.0, beta=0.0):
        self.size, self.alpha, self.beta = size, alpha, beta
        self.door, self.sends, self.takes = threading.Condition(), {}, {}
        self.waiting, self.finished, self.broken = {}, set(), None

    def run(self, fn, arrays):
        """Results and wires of all ranks."""
        wires = [Rank(self, r) for r in range(self.size)]
        results, faults = [None] * self.size, {}

        def work(rank):
            try:
                results[rank] = fn(wires[rank], arrays[rank])
            except BaseException as err:
                with self.door:
                    faults[rank], self.broken = err, self.broken or "another rank failed"
            with self.door:
                self.finished.add(rank)
                self.look()

        threads = [threading.Thread(target=work, args=(r,), daemon=True) for r in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        own = [faults[r] for r in sorted(faults) if not isinstance(faults[r], Stuck)]
        for err in own:  # a rank's own fault says more than the others' waiting
            assert not isinstance(err, Misuse), str(err)
            raise err
        assert not faults, str(faults[min(faults)])
        return results, wires

    def look(self):
        """Called with the door held: does anybody still move?"""
        alive = [r for r in range(self.size) if r not in self.finished]
        if alive and not self.broken and all(any(h.done is None for h in self.waiting.get(r, ())) for r in alive):
            waits = [f"rank {a} sends to rank {b}" for a, b in self.sends]
            waits += [f"rank {b} waits for rank {a}" for a, b in self.takes]
            more = ", and more" if len(waits) > 4 else ""
            gone = f" (rank {min(self.finished)} has finished)" if self.finished else ""
            self.broken = f"with {self.size} ranks all stand still: {'; '.join(sorted(waits)[:4])}{more}{gone}"
        self.door.notify_all()

    def post(self, kind, key, half):
        """One half of a message; delivered as soon as the other half is there."""
        _need(key not in kind, "two messages at once between the same ranks")
        kind[key] = half
        if key not in self.sends or key not in self.takes:
            return
        gone, came = self.sends.pop(key), self.takes.pop(key)
        _need(
            (gone.array.size, gone.array.dtype) == (came.array.size, came.array.dtype),
            f"rank {key[0]} sent {gone.array.size} elements ({gone.array.dtype}) to rank {key[1]}, "
            f"which had made room for {came.array.size} ({came.array.dtype})",
        )
        came.array[...] = gone.array.reshape(came.array.shape)
        gone.done = came.done = max(gone.clock, came.clock) + self.alpha + self.beta * gone.array.nbytes


class Half:
    def __init__(self, array, clock):
        self.array, self.clock, self.done = array, clock, None


class Rank:
    """What the exercises call ``wire``."""

    def __init__(self, net, rank):
        self.net, self.rank, self.size, self.clock = net, rank, net.size, 0.0
        self.messages = self.bytes = self.swaps = 0

    def send(self, x, to):
        self._talk([(self.net.sends, (self.rank, to), x, to)])

    def recv(self, x, source):
        self._talk([(self.net.takes, (source, self.rank), x, source)])

    def swap(self, give, to, take, source):
        self.swaps += 1
        self._talk([(self.net.sends, (self.rank, to), give, to), (self.net.takes, (source, self.rank), take, source)])

    def _talk(self, parts):
        net, mine = self.net, []
        for kind, _, x, other in parts:
            _need(isinstance(x, np.ndarray), f"rank {self.rank} hands the wire a {type(x).__name__}, not an array")
            _need(0 <= other < self.size, f"rank {self.rank} names rank {other}, but there are 0 to {self.size - 1}")
            alone = "sends to itself or receives from itself, which no blocking wire can serve"
            _need(other != self.rank, f"with {self.size} rank(s), rank {self.rank} {alone}")
            if kind is net.sends:
                self.messages, self.bytes = self.messages + 1, self.bytes + x.nbytes
        with net.door:
            for kind, key, x, _ in parts:
                mine.append(Half(x.copy() if kind is net.sends else x, self.clock))
                net.post(kind, key, mine[-1])
            net.waiting[self.rank] = mine
            net.look()
            while any(half.done is None for half in mine):
                if net.broken:
                    raise Stuck(net.broken)
                net.door.wait()
            self.clock = max(half.done for half in mine)


def _play(fn, arrays, alpha=1.0, beta=0.0):
    return Net(len(arrays), alpha, beta).run(fn, arrays)


def _arrays(rng, size, n, kind):
    return [rng.integers(-50, 50, n).astype(kind) for _ in range(size)]


def pass_right(fn):
    rng = np.random.default_rng(25)
    for size in (2, 1, 3, 4, 5, 8, 9):
        for n in (3, 0, 40):
            given = _arrays(rng, size, n, np.int64)
            lent = [x.copy() for x in given]
            got, wires = _play(fn, lent)
            assert not any(wire.swaps for wire in wires), (
                "`swap` needs no order; here find one, with send and recv only"
            )
            for r in range(size):
                kept = np.array_equal(lent[r], given[r])
                assert kept, f"{size} ranks: rank {r}'s own array has changed; receive into an array of your own"
                assert isinstance(got[r], np.ndarray), f"rank {r} returns a {type(got[r]).__name__}, not an array"
                assert got[r].shape == given[r].shape, f"rank {r} returns shape {got[r].shape}, not {given[r].shape}"
                assert np.array_equal(got[r], given[r - 1]), (
                    f"{size} ranks: rank {r} should return what rank {(r - 1) % size} gave"
                    + (", and returns its own" if np.array_equal(got[r], given[r]) else "")
                    + (", and returns its right neighbour's" if np.array_equal(got[r], given[(r + 1) % size]) else "")
                )
            took = max(wire.clock for wire in wires)
            assert took <= 3, f"{size} ranks need {took:.0f} message times, one after the other; can more talk at once?"
            most = max(wire.messages for wire in wires)
            assert most <= 1, f"a rank sends {most} messages: one is enough"
    return "1 to 9 ranks on a wire that never buffers"


def all_reduce(fn):
    rng = np.random.default_rng(2501)
    for size in (2, 3, 1, 4, 5, 8):
        for n in (12, size, size + 1, size - 1, 1, 0, 37):
            for kind in (np.int64, np.float64):
                _one_all_reduce(fn, rng, size, n, kind)
            case = _arrays(rng, size, n, np.int64)
            _, wires = _play(fn, case)
            _frugal(wires, n, 2 * (size - 1), 2 * (n - n // size))
    return "1 to 8 ranks, 0 to 37 elements: sums, bits, messages, bytes"


def _one_all_reduce(fn, rng, size, n, kind):
    given = [(x * rng.choice([1.0, 0.1, 1e6])).astype(kind) for x in _arrays(rng, size, n, kind)]
    arrays = [x.copy() for x in given]
    _play(fn, arrays)
    total, case = sum(given), f"{size} ranks, {n} elements"
    for r, x in enumerate(arrays):
        if n and size > 1 and np.array_equal(x, given[r]) and not np.array_equal(x, total):
            raise AssertionError(f"{case}: rank {r} still holds its own array: the sum goes into x itself, in place")
        if not np.allclose(x, total, rtol=1e-12):
            wrong = int(np.flatnonzero(~np.isclose(x, total, rtol=1e-12))[0])
            raise AssertionError(f"{case}: element {wrong} of rank {r} is {x[wrong]}, the sum of all is {total[wrong]}")
    alike = len({x.tobytes() for x in arrays}) == 1
    assert alike, f"{case}: the ranks differ in the last bits; add each element in one order only, then copy the result"


def _frugal(wires, n, messages, elements):
    case = f"{len(wires)} ranks, {n} elements"
    most = max(wire.messages for wire in wires)
    assert most <= messages, f"{case}: a rank sends {most} messages, {messages} are enough"
    most = max(wire.bytes for wire in wires)
    assert most <= 8 * elements, (
        f"{case}: a rank sends {most // 8} elements, {elements} are enough: who needs whole arrays?"
    )


def crossover(fn):
    rng = random.Random(25)
    for _ in range(200):
        p, alpha, beta = rng.randint(1, 200), 10 ** rng.uniform(-7, -2), 10 ** rng.uniform(-11, -6)
        got = fn(p, alpha, beta)
        assert isinstance(got, int | float) and not isinstance(got, bool), f"a number of bytes, not {got!r}"
        deep = (p - 1).bit_length()

        def tree(n, deep=deep, alpha=alpha, beta=beta):
            return 2 * deep * (alpha + beta * n)

        def ring(n, p=p, alpha=alpha, beta=beta):
            return 2 * (p - 1) * (alpha + beta * n / p)

        if p <= 3:
            assert abs(got) < 1e-9, f"{p} ranks: the ring never takes longer, so 0 bytes, not {got:.4g}"
            continue
        close = abs(tree(got) - ring(got)) <= 1e-6 * ring(got)
        if not close:
            late = "tree" if tree(got) > ring(got) else "ring"
            raise AssertionError(
                f"{p} ranks, alpha {alpha:.2g}, beta {beta:.2g}: at your {got:.4g} bytes the {late} takes longer; "
                f"how many steps has the tree with {p} ranks, both ways?"
            )
    return "200 networks of 1 to 200 ranks"


def halving(fn):
    rng = np.random.default_rng(2504)
    for size in (2, 4, 1, 8, 16):
        for n in (2 * size, 64, 37, 3, 1, 0):
            for kind in (np.int64, np.float64):
                _one_all_reduce(fn, rng, size, n, kind)
            _, wires = _play(fn, _arrays(rng, size, n, np.int64))
            steps = (size - 1).bit_length()
            spare = 0 if n % size == 0 else 2 * steps
            _frugal(wires, n, 2 * steps, 2 * n * (size - 1) // size + spare)
    return "1 to 16 ranks, 0 to 64 elements: sums, bits, messages, bytes"


def _all_send_first(wire, x):
    box = np.empty_like(x)
    if wire.size == 1:
        return x.copy()
    wire.send(x, (wire.rank + 1) % wire.size)
    wire.recv(box, (wire.rank - 1) % wire.size)
    return box


def _chain(wire, x):
    p, me, box = wire.size, wire.rank, np.empty_like(x)
    if p == 1:
        return x.copy()
    if me == 0:
        wire.recv(box, p - 1)
        wire.send(x, 1)
    else:
        wire.send(x, (me + 1) % p)
        wire.recv(box, me - 1)
    return box


def _to_the_left(wire, x):
    p, me, box = wire.size, wire.rank, np.empty_like(x)
    if p == 1:
        return x.copy()
    if me % 2 == 0:
        wire.send(x, (me - 1) % p)
        wire.recv(box, (me + 1) % p)
    else:
        wire.recv(box, (me + 1) % p)
        wire.send(x, (me - 1) % p)
    return box


def _forgets_one(wire, x):
    p, me, box = wire.size, wire.rank, np.empty_like(x)
    if me % 2 == 0:
        wire.send(x, (me + 1) % p)
        wire.recv(box, (me - 1) % p)
    else:
        wire.recv(box, (me - 1) % p)
        wire.send(x, (me + 1) % p)
    return box


def _by_swap(wire, x):
    box = np.empty_like(x)
    if wire.size == 1:
        return x.copy()
    wire.swap(x, (wire.rank + 1) % wire.size, box, (wire.rank - 1) % wire.size)
    return box


def _into_x(wire, x):
    p, me, going = wire.size, wire.rank, x.copy()
    if p > 1 and me % 2 == 0:
        wire.send(going, (me + 1) % p)
        wire.recv(x, (me - 1) % p)
    elif p > 1:
        wire.recv(x, (me - 1) % p)
        wire.send(going, (me + 1) % p)
    return x


def _ring(wire, x, hops=0, copy=True, first=0):
    p, me = wire.size, wire.rank
    part = np.array_split(x, p)
    for hop in range(2 * (p - 1) + hops):
        give, take = part[(me - hop - first) % p], part[(me - hop - 1 - first) % p]
        came = np.empty_like(take)
        wire.swap(give, (me + 1) % p, came, (me - 1) % p)
        if hop < p - 1 or not copy:
            take += came
        else:
            take[:] = came


def _whole_arrays(wire, x):
    p, me = wire.size, wire.rank
    going = x.copy()
    for _ in range(p - 1):
        came = np.empty_like(x)
        wire.swap(going, (me + 1) % p, came, (me - 1) % p)
        x += came
        going = came


def _drops_the_rest(wire, x):
    p, me = wire.size, wire.rank
    k = len(x) // p
    part = [x[i * k : (i + 1) * k] for i in range(p)]
    for hop in range(2 * (p - 1)):
        give, take = part[(me - hop) % p], part[(me - hop - 1) % p]
        came = np.empty_like(take)
        wire.swap(give, (me + 1) % p, came, (me - 1) % p)
        if hop < p - 1:
            take += came
        else:
            take[:] = came


def _own_room(wire, x):
    p, me = wire.size, wire.rank
    part = np.array_split(x, p)
    for hop in range(2 * (p - 1)):
        give, take = part[(me - hop) % p], part[(me - hop - 1) % p]
        came = np.empty_like(give)
        wire.swap(give, (me + 1) % p, came, (me - 1) % p)
        if hop < p - 1:
            take += came
        else:
            take[:] = came


def _a_copy(wire, x):
    _ring(wire, x.copy())


def _star(wire, x):
    box = np.empty_like(x)
    if wire.rank:
        wire.send(x, 0)
        wire.recv(x, 0)
        return
    for r in range(1, wire.size):
        wire.recv(box, r)
        x += box
    for r in range(1, wire.size):
        wire.send(x, r)


def _doubling(wire, x):
    step = 1
    while step < wire.size:
        came = np.empty_like(x)
        wire.swap(x, wire.rank ^ step, came, wire.rank ^ step)
        x += came
        step *= 2


def _halving_forward(wire, x):
    part, step, done = x, wire.size // 2, []
    while step:
        middle, friend = len(part) // 2, wire.rank ^ step
        keep, give = part[:middle], part[middle:]
        if wire.rank & step:
            keep, give = give, keep
        came = np.empty_like(keep)
        wire.swap(give, friend, came, friend)
        keep += came
        done.append((keep, give, friend))
        part, step = keep, step // 2
    for keep, give, friend in done:
        wire.swap(keep, friend, give, friend)


def _halving_half(wire, x):
    part, step = x, wire.size // 2
    while step:
        middle, friend = len(part) // 2, wire.rank ^ step
        keep, give = part[:middle], part[middle:]
        if wire.rank & step:
            keep, give = give, keep
        came = np.empty_like(keep)
        wire.swap(give, friend, came, friend)
        keep += came
        part, step = keep, step // 2


WRONG: dict[str, dict[str, Callable]] = {
    "pass_right": {
        "all send first: only buffering saves it": _all_send_first,
        "only rank 0 listens first: a chain": _chain,
        "to the left": _to_the_left,
        "forgets that one rank is alone": _forgets_one,
        "swap finds the order itself": _by_swap,
        "receives into the array it was lent": _into_x,
    },
    "all_reduce": {
        "whole arrays around the ring": _whole_arrays,
        "drops what does not divide": _drops_the_rest,
        "room as large as what it gives": _own_room,
        "adds on the second trip, too": lambda wire, x: _ring(wire, x, copy=False),
        "works on a copy": _a_copy,
        "everything through rank 0": _star,
        "one hop short": lambda wire, x: _ring(wire, x, hops=-1),
    },
    "crossover": {
        "the tree one way only": lambda p, a, b: (
            (2 * (p - 1) - math.ceil(math.log2(p))) * a / ((math.ceil(math.log2(p)) - 2 * (p - 1) / p) * b)
            if p > 3
            else 0.0
        ),
        "rounds the depth down": lambda p, a, b: (
            (2 * (p - 1) - 2 * int(math.log2(p))) * a / ((2 * int(math.log2(p)) - 2 * (p - 1) / p) * b)
            if p > 3
            else 0.0
        ),
        "the formula for four ranks": lambda p, a, b: 0.8 * a / b if p > 3 else 0.0,
    },
    "halving": {
        "recursive doubling: whole arrays": _doubling,
        "a ring: too many messages": _ring,
        "back in the wrong order": _halving_forward,
        "stops after the reduce-scatter": _halving_half,
    },
}
