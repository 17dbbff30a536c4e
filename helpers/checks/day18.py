"""Checks of day 18's exercises, and the wrong answers they must find."""

import asyncio
import contextlib
import itertools
import queue
import random
import threading
import time
from collections import Counter, deque

PATIENCE = 1.5  # seconds after which a thread is said to wait for ever


# ---- transfer


class _Fault(BaseException):
    """What an instrumented lock or account found."""


class _Lock:
    """A lock of one account that writes down who holds it, and refuses to wait for its own holder."""

    def __init__(self, name, log):
        self.name, self.log, self.held = name, log, False

    def acquire(self, blocking=True, timeout=-1):
        if self.held:
            raise _Fault(f"the lock of {self.name!r} is taken twice: a thread that does so waits for itself")
        self.held = True
        self.log.append(self.name)
        return True

    def release(self):
        if not self.held:
            raise _Fault(f"the lock of {self.name!r} is given back without being held")
        self.held = False

    def locked(self):
        return self.held

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *_):
        self.release()


class _Accounts(dict):
    """Amounts that may be touched only under their lock."""

    def guard(self, locks, *pair):
        self.locks, self.pair = locks, pair
        return self

    def __getitem__(self, name):
        if not self.locks[name].held:
            raise _Fault(f"account {name!r} is read without its lock: what you read may be old already")
        return super().__getitem__(name)

    def __setitem__(self, name, value):
        if not self.locks[name].held:
            raise _Fault(f"account {name!r} is written without its lock")
        if not all(self.locks[one].held for one in self.pair):
            raise _Fault("one account changes while the other's lock is free: somebody could see the money in neither")
        super().__setitem__(name, value)


def transfer(fn):
    rng = random.Random(18)
    names = ["anne", "emma", "fanny"]
    for a, b in itertools.product(names, names):
        orders = []
        for one, two in ((a, b), (b, a)):
            log = []
            locks = {name: _Lock(name, log) for name in names}
            money = _Accounts(dict.fromkeys(names, 10)).guard(locks, one, two)
            _call(fn, money, locks, one, two, 4)
            left = [name for name in names if locks[name].held]
            assert not left, f"the lock of {left[0]!r} was not given back"
            want = {name: 10 - 4 * (name == one) + 4 * (name == two) for name in names}
            assert dict(money) == want, f"4 from {one} to {two}: {dict(money)}, not {want}"
            orders.append(list(log))
            _refuses(fn, money, locks, one, two, want)
            _gives_all(fn, locks, names, one, two)
        assert orders[0] == orders[1], (
            f"{a} to {b} locks {orders[0]}, {b} to {a} locks {orders[1]}: two threads, each with one of them, wait "
            "for ever; take them in one order"
        )
    money, locks = dict.fromkeys(names, 1000), {name: threading.Lock() for name in names}
    trips = [(rng.choice(names), rng.choice(names), rng.randint(0, 9)) for _ in range(400)]
    crew = [threading.Thread(target=_travel, args=(fn, money, locks, trips[k::4]), daemon=True) for k in range(4)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join(5)
    assert not any(thread.is_alive() for thread in crew), "four threads in all directions: they wait for each other"
    assert sum(money.values()) == 3000, f"400 transfers by four threads: the sum is {sum(money.values())}, not 3000"
    return "all pairs, too little money, 400 transfers by four threads"


def _call(fn, *args):
    try:
        fn(*args)
    except _Fault as fault:
        raise AssertionError(str(fault)) from None


def _gives_all(fn, locks, names, one, two):
    money = _Accounts(dict.fromkeys(names, 10)).guard(locks, one, two)
    try:
        _call(fn, money, locks, one, two, 10)
    except ValueError:
        raise AssertionError(f"{one} has 10 and may give 10: only *less* than the amount is refused") from None
    assert sum(dict(money).values()) == 30, f"10 of 10 from {one} to {two}: {dict(money)}"


def _refuses(fn, money, locks, one, two, want):
    try:
        _call(fn, money, locks, one, two, 1000)
    except ValueError:
        pass
    else:
        raise AssertionError(f"{one} has less than 1000 and the transfer went through: raise ValueError")
    left = [name for name in locks if locks[name].held]
    assert not left, f"after a refused transfer the lock of {left[0]!r} is still held"
    assert dict(money) == want, "a refused transfer changed an account"


def _travel(fn, money, locks, trips):
    for a, b, amount in trips:
        with contextlib.suppress(ValueError):
            fn(money, locks, a, b, amount)


# ---- read_ahead


class _Source:
    """Yields items, counts what was made, knows its thread and whether it was closed."""

    def __init__(self, items, fail=None):
        self.items, self.fail, self.made = iter(items), fail, 0
        self.threads, self.closed = set(), threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        self.threads.add(threading.get_ident())
        if self.fail is not None and self.made == self.fail[0]:
            raise self.fail[1]
        item = next(self.items)
        self.made += 1
        return item

    def close(self):
        self.closed.set()


def _within(call, what, seconds=PATIENCE):
    """The result of call() in a thread of its own, or the sentence `what`."""
    box = []

    def run():
        try:
            box.append((call(), None))
        except BaseException as err:
            box.append((None, err))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert box, what
    if box[0][1] is not None:
        raise box[0][1]
    return box[0][0]


def _until(true, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


def read_ahead(fn):
    hang = "the consumer waits for ever: what tells it that nothing more will come?"
    for items in (
        [],
        [1],
        [1, None, 2],
        [(), 0, "end", False],
        list(range(30)),
        [StopIteration, ValueError("an item")],
    ):
        for room in (1, 2, 5):
            got = _within(lambda i=items, r=room: list(fn(iter(i), r)), f"items {items}, room {room}: {hang}")
            assert got == items, f"items {items} came out as {got}: any object may be an item, and order stays"
    for room in (1, 3):
        _stays_ahead(fn, room)
    _carries_errors(fn)
    _ends(fn)
    _takes_lists_and_generators(fn)
    return "any items, room to the last place, errors, early ends"


def _stays_ahead(fn, room):
    source = _Source(range(1000))
    stream = fn(source, room)
    try:
        for got in range(1, 8):
            _within(lambda: next(stream), "the consumer waits for an item that never comes")
            assert _until(lambda g=got: source.made >= g + room), (
                f"room {room}, {got} items taken: only {source.made} were made while the consumer was busy"
            )
            time.sleep(0.02)
            assert source.made == got + room, (
                f"room {room}, {got} items taken, {source.made} made: {source.made - got} are ahead. Does the "
                "thread make an item before it knows that there is a place for it?"
            )
        assert threading.get_ident() not in source.threads, "the items must be made by a thread, not by the consumer"
    finally:
        with contextlib.suppress(AssertionError):
            _within(stream.close, "close hangs")


def _carries_errors(fn):
    for at in (0, 1, 4):
        error = KeyError(f"item {at}")
        stream, got = fn(_Source(range(9), (at, error)), 2), []
        try:
            while True:
                got.append(_within(stream.__next__, "after an error in the source the consumer waits for ever"))
                time.sleep(0.01)
        except KeyError as err:
            assert err is error, "the error must be the source's own object, with its traceback"
        except StopIteration:
            raise AssertionError(f"the source failed at item {at} and the consumer saw a normal end") from None
        assert got == list(range(at)), f"the source failed at item {at}, the consumer got {got} before the error"


def _ends(fn):
    for room, taken in ((1, 1), (3, 2), (2, 5)):
        source = _Source(range(10**9))
        before = threading.active_count()
        stream = fn(source, room)
        for _ in range(taken):
            next(stream)
        _until(lambda s=source, t=taken, r=room: s.made >= t + r)
        _within(stream.close, "close does not come back: is the thread waiting for a place that nobody frees?")
        ended = _until(lambda b=before: threading.active_count() <= b)
        assert ended, "the consumer closed the generator and the thread still lives: what wakes it?"
        assert source.closed.is_set(), "the thread ended and left the source open"
        made = source.made
        time.sleep(0.02)
        assert source.made == made, "the generator is closed and the source is still read"
    source = _Source([1, 2])
    _within(lambda: list(fn(source, 1)), "the consumer waits for ever")
    assert _until(source.closed.is_set, 0.5), "after a full run the source is not closed"


def _takes_lists_and_generators(fn):
    try:
        got = _within(lambda: list(fn([4, 5], 1)), "a list of two items: the consumer waits for ever")
    except TypeError:
        raise AssertionError("the items may be a list, and next() wants an iterator: who makes one of it?") from None
    assert got == [4, 5], f"the items may be a list; [4, 5] came out as {got}"
    closed = threading.Event()

    def slow():
        try:
            for k in range(1000):
                time.sleep(0.03)
                yield k
        finally:
            closed.set()

    stream = fn(slow(), 2)
    try:
        _within(lambda: next(stream), "the consumer waits for ever")
        _within(stream.close, "close does not come back")
    except ValueError as err:
        raise AssertionError(
            f"the consumer closed a generator that the thread was running ({err}): let the thread close its source"
        ) from None
    assert _until(closed.is_set), "the consumer left and the source, a generator, is still open"


# ---- fetch_all


class _Site:
    """Coroutines that answer, fail or hang, and counts of how they were called."""

    def __init__(self, waits):
        self.waits, self.now, self.most, self.cancelled, self.log = waits, 0, 0, 0, []

    error = OSError

    async def fetch(self, k):
        self.now += 1
        self.most = max(self.most, self.now)
        self.log.append(("begin", k))
        try:
            await asyncio.sleep(self.waits[k])
            if k % 5 == 3:
                raise self.error(f"page {k}")
            return f"page {k}"
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
            self.log.append(("end", k))


def _said(results):
    return [x if isinstance(x, str) else type(x).__name__ for x in results]


def fetch_all(fn):
    def run(site, items, limit, timeout):
        got = _within(lambda: fn(site.fetch, items, limit, timeout), "it does not come back: who waits for whom?", 8)
        assert isinstance(got, (list, tuple)), f"return a list of results, got {type(got).__name__}"
        return list(got)

    assert run(_Site([]), [], 3, 1) == [], "no items, no results: return an empty list"
    rng = random.Random(3)
    for limit in (1, 3, 20):
        site = _Site([rng.random() * 0.02 for _ in range(12)])
        got = _said(_caught(run, site, range(12), limit, 5))
        want = ["OSError" if k % 5 == 3 else f"page {k}" for k in range(12)]
        assert sorted(got) != sorted(want) or got == want, "results stand in the order in which they came, not of items"
        assert got == want, f"pages 3 and 8 fail, the others do not; got {got}"
        assert site.most <= limit, f"limit {limit}, and {site.most} calls ran at once"
        assert site.most == min(limit, 12), f"limit {limit}, 12 items, and never more than {site.most} ran at once"
    site = _Site([0.01] * 4)
    site.error = KeyError
    got = _said(_caught(run, site, range(4), 2, 5))
    assert got[3] == "KeyError", f"page 3 raised KeyError; got {got}"
    site = _Site([0.25, *[0.01] * 9])
    run(site, range(10), 2, 5)
    slow = site.log.index(("end", 0))
    beside = sum(what == "end" for what, _ in site.log[:slow])
    assert beside >= 5, (
        f"two places, one slow call: {beside} quick ones ended beside it. Does each wave wait for its slowest?"
    )
    site = _Site([0.3] * 8)
    got = _said(run(site, [0, 1, 2, 4, 5, 6, 7, 0], 2, 0.8))
    assert got.count("TimeoutError") == 0, (
        f"calls of 0.3 s with 0.8 s each, and {got.count('TimeoutError')} of 8 timed out: when does the clock start?"
    )
    site = _Site([0.01, 30, 0.01, 0, 30, 0.01])
    got = _said(run(site, [0, 1, 2, 4, 5], 2, 0.2))
    want = ["page 0", "TimeoutError", "page 2", "TimeoutError", "page 5"]
    assert got == want, f"pages 1 and 4 hang: got {got}, not {want}"
    assert site.most <= 2, f"limit 2, and {site.most} calls ran at once: those that timed out were not cancelled"
    assert site.cancelled == 2 and site.now == 0, "two calls timed out and were not cancelled: they still run"
    return "order, errors, limit, one slow call among quick ones, timeouts"


def _caught(run, *args):
    try:
        return run(*args)
    except (OSError, KeyError, ExceptionGroup):
        raise AssertionError("one page failed and all others were lost: an error stands in its own place") from None


# ---- Outstanding


def Outstanding(fn):  # noqa: N802
    book = fn(["a", "b"], 2)
    assert book.take("w1") == (0, "a") and book.take("w2") == (1, "b"), "take gives (index, item), first things first"
    assert book.take("w3") is None, "all items are in somebody's hands: there is nothing to take"
    book.bury("w3")
    book.bury("w1")
    assert book.take("w4") == (0, "a"), "the worker of item 0 died: the item must wait again"
    assert _finish(book, "w2", 1) is True, "the first result of an item is True"
    assert _finish(book, "w1", 0) is True, "a buried worker's result is the first for its item: True"
    assert _finish(book, "w4", 0) is False, "the second result of an item is False"
    book.bury("w4")
    assert book.take("w5") is None, "both items are done, and one is given out again"
    for tries in (1, 2, 3):
        _poison(fn, tries)
    for seed in range(300):
        _schedule(fn, random.Random(seed))
    return "late answers, deaths with empty hands, poison, 300 random schedules"


def _finish(book, worker, index):
    try:
        first = book.finish(worker, index)
    except KeyError:
        raise AssertionError(
            "a result came from a worker without an item in hand (it was buried): no KeyError"
        ) from None
    assert first in (True, False), f"finish says True or False, got {first!r}"
    return first


def _poison(fn, tries):
    book, deaths = fn(["bad", "good"], tries), 0
    for k in range(20):
        task = book.take(k)
        if task is None:
            break
        if task[0] == 0:
            deaths += 1
            book.bury(k)
        else:
            assert _finish(book, k, 1), "the good item's first result is True"
    assert deaths == tries, f"tries {tries}: the bad item killed {deaths} workers"
    assert list(book.given_up) == [0], f"tries {tries}: given_up is {list(book.given_up)}, not [0]"
    assert _finish(book, "late", 0) is True, "an item that was given up is answered after all: its first result, True"
    assert list(book.given_up) == [], "a given-up item was answered: it leaves the list"
    assert book.take("w") is None, "an item that was given up or done is given out again"


def _schedule(fn, rng):
    n, tries = rng.randint(0, 5), rng.randint(1, 3)
    book, hands, buried = fn([f"item {k}" for k in range(n)], tries), {}, []
    done, deaths, lost, fresh = set(), Counter(), set(), iter(range(10**6))
    for _ in range(40):
        move = rng.random()
        if move < 0.45:
            worker = next(fresh)
            task = book.take(worker)
            waiting = set(range(n)) - done - lost - set(hands.values())
            assert (task is None) == (not waiting), (
                f"{len(waiting)} item(s) wait and take gives {task}: done {done}, in hand {set(hands.values())}, "
                f"given up {lost}"
            )
            if task is not None:
                assert task[0] in waiting and task[1] == f"item {task[0]}", f"item {task[0]} is not free to be taken"
                hands[worker] = task[0]
        elif move < 0.65 and hands:
            worker = rng.choice(list(hands))
            index = hands.pop(worker)
            assert _finish(book, worker, index) is (index not in done), f"item {index}: first result or not?"
            done.add(index)
            lost.discard(index)
        elif move < 0.75 and buried:
            worker, index = rng.choice(buried)
            assert _finish(book, worker, index) is (index not in done), f"item {index}: a late result, first or not?"
            done.add(index)
            lost.discard(index)
        elif hands:
            worker = rng.choice(list(hands))
            index = hands.pop(worker)
            buried.append((worker, index))
            book.bury(worker)
            if index not in done:
                deaths[index] += 1
                if deaths[index] >= tries:
                    lost.add(index)
        assert set(book.given_up) == lost, f"given_up is {sorted(book.given_up)}, not {sorted(lost)}"
        assert len(set(book.given_up)) == len(list(book.given_up)), "an index stands twice in given_up"


# ---- wrong answers


def _transfer(order="name", check_first=False, twice=False, both=True, leak=False, refuse=True):
    def transfer(accounts, locks, a, b, amount):
        names = [a, b] if order == "given" else sorted([a, b])
        if not twice:
            names = list(dict.fromkeys(names))
        if not both:
            names = [a]
        if check_first and accounts[a] < amount:
            raise ValueError("too little")
        if leak:
            for name in names:
                locks[name].acquire()
            if accounts[a] < amount:
                raise ValueError("too little")
            accounts[a] -= amount
            accounts[b] += amount
            for name in names:
                locks[name].release()
            return
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(locks[name])
            if refuse and accounts[a] < amount:
                raise ValueError("too little")
            accounts[a] -= amount
            accounts[b] += amount

    return transfer


def _refuses_all(accounts, locks, a, b, amount):
    with contextlib.ExitStack() as stack:
        for name in sorted({a, b}):
            stack.enter_context(locks[name])
        if accounts[a] <= amount:
            raise ValueError("too little")
        accounts[a] -= amount
        accounts[b] += amount


def _one_then_the_other(accounts, locks, a, b, amount):
    with locks[a]:
        if accounts[a] < amount:
            raise ValueError("too little")
        accounts[a] -= amount
    with locks[b]:
        accounts[b] += amount


def _takes_then_gives(accounts, locks, a, b, amount):
    for name in sorted({a, b}):
        locks[name].acquire()
    try:
        accounts[a] -= amount
        if accounts[a] < 0:
            raise ValueError("too little")
        accounts[b] += amount
    finally:
        for name in {a, b}:
            locks[name].release()


def _ahead(*, sentinel=False, errors=True, stop=True, bound=True, late=False, close=True, swallow=False, flag=False):
    def read_ahead(items, room):
        ready = queue.Queue(room if bound and late else 0)
        free, leaving, failed = threading.Semaphore(room if bound else 10**9), threading.Event(), []

        def produce():
            source = iter(items)
            try:
                while True:
                    if not late:
                        free.acquire()
                    if leaving.is_set():
                        break
                    item = next(source)
                    ready.put(item if sentinel else ("item", item))
            except StopIteration:
                pass
            except BaseException as err:
                failed.append(err)
                if not errors:
                    return
            if close and hasattr(source, "close"):
                source.close()
            if failed and not swallow:
                ready.put(("error", failed[0]))
            else:
                ready.put(None if sentinel else ("end", None))

        threading.Thread(target=produce, daemon=True).start()
        try:
            while True:
                if flag and failed:
                    raise failed[0]
                message = ready.get()
                if sentinel:
                    if message is None:
                        return
                    free.release()
                    yield message
                    continue
                if message[0] == "end":
                    return
                if message[0] == "error":
                    raise message[1]
                free.release()
                yield message[1]
        finally:
            if stop:
                leaving.set()
                free.release()
                with contextlib.suppress(queue.Empty):
                    while late:
                        ready.get(timeout=0.05)

    return read_ahead


def _ahead_of(own, close_here):
    """By the book, but for `own` (iter is called) and who closes the source."""

    def read_ahead(items, room):
        free, ready, stop = threading.Semaphore(room), queue.Queue(), []
        source = iter(items) if own else items

        def produce():
            try:
                while free.acquire() and not stop:
                    ready.put((next(source),))
            except BaseException as err:
                ready.put(err)
            if not close_here:
                getattr(source, "close", list)()

        threading.Thread(target=produce, daemon=True).start()
        try:
            while isinstance(message := ready.get(), tuple):
                free.release()
                yield message[0]
            if not isinstance(message, StopIteration):
                raise message
        finally:
            stop.append(True)
            free.release()
            if close_here:
                getattr(source, "close", list)()

    return read_ahead


def _no_thread(items, room):
    yield from items


def _all_first(items, room):
    made = []
    thread = threading.Thread(target=lambda: made.extend(itertools.islice(items, 5000)), daemon=True)
    thread.start()
    thread.join()
    yield from made


def _stops_on_flag(items, room):
    ready, finished = queue.Queue(), threading.Event()
    free = threading.Semaphore(room)

    def produce():
        for item in items:
            free.acquire()
            ready.put(item)
        finished.set()

    threading.Thread(target=produce, daemon=True).start()
    time.sleep(0.01)
    while not finished.is_set():
        with contextlib.suppress(queue.Empty):
            yield ready.get(timeout=0.01)
            free.release()


def _fetch(*, gate=True, inside=True, gather=True, waves=False, order=True, cancel=True, single=False):
    def fetch_all(fetch, items, limit, timeout):
        async def main():
            places = asyncio.Semaphore(1 if single else limit if gate else 10**6)
            done = []

            async def one(item):
                if inside:
                    async with places:
                        result = await timed(item)
                else:
                    async with asyncio.timeout(timeout), places:
                        result = await fetch(item)
                done.append(result)
                return result

            async def timed(item):
                if not cancel:
                    job = asyncio.ensure_future(fetch(item))
                    finished, _ = await asyncio.wait([job], timeout=timeout)
                    if not finished:
                        raise TimeoutError
                    return job.result()
                return await asyncio.wait_for(fetch(item), timeout)

            todo = list(items)
            if waves:
                out = []
                for k in range(0, len(todo), limit):
                    out += await asyncio.gather(*map(one, todo[k : k + limit]), return_exceptions=True)
                return out
            got = await asyncio.gather(*map(one, todo), return_exceptions=gather)
            return got if order else done + [x for x in got if isinstance(x, Exception)]

        return asyncio.run(main())

    return fetch_all


def _network_errors_only(fetch, items, limit, timeout):
    async def main():
        places = asyncio.Semaphore(limit)

        async def one(item):
            async with places:
                try:
                    return await asyncio.wait_for(fetch(item), timeout)
                except OSError as err:
                    return err

        return await asyncio.gather(*map(one, items))

    return asyncio.run(main())


def _one_clock(fetch, items, limit, timeout):
    async def main():
        places = asyncio.Semaphore(limit)

        async def one(item):
            async with places:
                return await fetch(item)

        jobs = [asyncio.ensure_future(one(item)) for item in items]
        if jobs:
            await asyncio.wait(jobs, timeout=timeout)
        for job in jobs:
            job.cancel()
        got = await asyncio.gather(*jobs, return_exceptions=True)
        return [TimeoutError() if isinstance(x, asyncio.CancelledError) else x for x in got]

    return asyncio.run(main())


def _outstanding(*, again=True, done_again=False, twice=False, poison=False, late=True, strict=False, remove=True):
    class Outstanding:
        def __init__(self, items, tries):
            self.tries, self.hands, self.deaths = tries, {}, Counter()
            self.waiting, self.done, self.given_up = deque(enumerate(items)), set(), []

        def take(self, worker):
            while self.waiting:
                task = self.waiting.popleft()
                if done_again or task[0] not in self.done:
                    self.hands[worker] = task
                    return task
            return None

        def finish(self, worker, index):
            if strict:
                del self.hands[worker]
            elif worker not in self.hands and not late:
                return False
            elif self.hands.get(worker, (None,))[0] == index:
                del self.hands[worker]
            first = twice or index not in self.done
            self.done.add(index)
            if remove:
                self.given_up = [k for k in self.given_up if k != index]
            return first

        def bury(self, worker):
            index, item = self.hands.pop(worker, (None, None))
            if index is None or index in self.done and not done_again:
                return
            self.deaths[index] += 1
            if poison or self.deaths[index] < self.tries:
                if again:
                    self.waiting.append((index, item))
            else:
                self.given_up.append(index)

    return Outstanding


WRONG = {
    "transfer": {
        "locks in the order given": _transfer(order="given"),
        "the same lock twice": _transfer(twice=True),
        "looks before it locks": _transfer(check_first=True),
        "locks one account": _transfer(both=False),
        "keeps the locks when it refuses": _transfer(leak=True),
        "never refuses": _transfer(refuse=False),
        "one lock after the other": _one_then_the_other,
        "takes before it looks": _takes_then_gives,
        "nobody may give all": _refuses_all,
    },
    "read_ahead": {
        "None is the end": _ahead(sentinel=True),
        "an error hangs the consumer": _ahead(errors=False),
        "an error looks like the end": _ahead(swallow=True),
        "the thread stays": _ahead(stop=False),
        "no bound": _ahead(bound=False),
        "one too many, by queue.Queue(room)": _ahead(late=True),
        "the source stays open": _ahead(close=False),
        "the error overtakes the items": _ahead(flag=True),
        "no thread": _no_thread,
        "everything first": _all_first,
        "stops on a flag, items left in the queue": _stops_on_flag,
        "next without iter": _ahead_of(own=False, close_here=False),
        "closes a generator that runs": _ahead_of(own=True, close_here=True),
    },
    "fetch_all": {
        "no limit": _fetch(gate=False),
        "the clock starts in the queue": _fetch(inside=False),
        "one error loses all": _fetch(gather=False),
        "waves": _fetch(waves=True),
        "in the order of arrival": _fetch(order=False),
        "does not cancel": _fetch(cancel=False),
        "one at a time": _fetch(single=True),
        "one clock for all": _one_clock,
        "errors of the network only": _network_errors_only,
    },
    "Outstanding": {
        "forgets the dead worker's item": _outstanding(again=False),
        "gives out what is done": _outstanding(done_again=True),
        "late results count twice": _outstanding(twice=True),
        "tries for ever": _outstanding(poison=True),
        "drops late results": _outstanding(late=False),
        "a late result is a KeyError": _outstanding(strict=True),
        "stays in given_up": _outstanding(remove=False),
    },
}
