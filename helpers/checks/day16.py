"""Checks of day 16: counting calls, a cache, a timer for generators, the cache that knows the future."""

import functools
import random
from collections import OrderedDict


def count_calls(fn):
    def add(a, b=2, *rest, scale=1):
        """Sum of all."""
        return (a + b + sum(rest)) * scale

    wrapped = fn(add)
    assert callable(wrapped), f"a decorator returns a function, yours returned {type(wrapped).__name__}"
    assert wrapped(1) == 3 and wrapped(1, 5, 6, scale=2) == 24, "arguments and results must pass through unchanged"
    assert getattr(wrapped, "calls", None) == 2, f"two calls were made, calls says {getattr(wrapped, 'calls', None)}"
    assert (wrapped.__name__, wrapped.__doc__) == ("add", "Sum of all."), (
        f"name and docstring are now {wrapped.__name__!r}, {wrapped.__doc__!r}: copy the identity of what you wrap"
    )

    def fail():
        raise KeyError("k")

    failing = fn(fail)
    for _ in range(3):
        try:
            failing()
        except KeyError:
            continue
        raise AssertionError("an error inside must come out again")
    assert failing.calls == 3, f"three calls that failed: calls says {failing.calls}; when do you count?"
    assert wrapped.calls == 2, "each wrapped function has a count of its own"

    class Thing:
        @fn
        def me(self, x):
            return self, x

    one, two = Thing(), Thing()
    try:
        got = [one.me(1), two.me(2), one.me(3)]
    except TypeError as err:
        raise AssertionError(f"on a method it fails ({err}): what is self filled in by?") from None
    assert got == [(one, 1), (two, 2), (one, 3)], "on a method, self must be the object"
    assert Thing.me.calls == 3, f"three calls on two objects: Thing.me.calls says {Thing.me.calls}"
    return "functions, errors, methods"


def my_lru_cache(fn):
    _first_steps(fn)
    rng = random.Random(16)
    for places in (0, 1, 2, 3, 5, None):
        for _ in range(6):
            _sequence(fn, places, rng)
    return "36 random call sequences beside functools.lru_cache: answers, hits, misses, size"


def _first_steps(fn):
    made = []

    def work(*args, **kwargs):
        """Doc."""
        made.append((args, kwargs))
        if args == ("bad",):
            raise OSError("bad")
        return (args, sorted(kwargs.items()))

    cached = fn(2)(work)
    assert callable(cached), "used as @my_lru_cache(2): it returns a decorator, which returns a function"
    assert cached.__doc__ == "Doc.", "the wrapper should keep the identity of what it wraps"
    assert cached(1) == cached(1) == ((1,), []), "the answer must be the function's"
    assert len(made) == 1, "the second call with the same argument must not run the function again"
    assert tuple(cached.info()) == (1, 1, 1), f"info() is (hits, misses, kept) = (1, 1, 1), yours {cached.info()}"
    for _ in range(2):
        try:
            cached("bad")
        except OSError:
            continue
        raise AssertionError("an error must come out again")
    assert made.count((("bad",), {})) == 2, "an error is not an answer: do not keep it"
    assert tuple(cached.info())[1] == 3, "a call that ends in an error was a miss, too"
    other = fn(2)(work)
    assert tuple(other.info()) == (0, 0, 0), "two functions must not share one cache"
    twins = fn(5)(lambda x: x)
    one, two = _Twin(), _Twin()
    assert twins(one) is one and twins(two) is two, "two objects that print alike are not equal: what is your key?"
    apart = fn(5)(lambda *args, **kwargs: (args, sorted(kwargs.items())))
    assert apart(("x", 1)) != apart(x=1), (
        "a positional pair ('x', 1) and the named argument x=1 are different calls: keep the two apart in the key"
    )
    same = fn(5)(lambda x: x)
    assert (same(-1), same(-2)) == (-1, -2), (
        "-1 and -2 have the same hash, and only that: the key is the arguments themselves, not their hash"
    )
    nothing = fn(5)(lambda x: made.append(x))
    nothing(7), nothing(7)
    assert made.count(7) == 1, "None is an answer, too: the second call ran the function again"


class _Twin:
    def __repr__(self):
        return "twin"


def _sequence(fn, places, rng):
    def work(x=0, y=0):
        return repr((x, y))

    ours, theirs = fn(places)(work), functools.lru_cache(places)(work)
    for step in range(60):
        value = rng.choice([0, 1, "1", (1,), 2, 3, None])
        other = rng.choice([0, 1, 2])
        args, kwargs = rng.choice(
            [((value,), {}), ((value, other), {}), ((), {"x": value}), ((value,), {"y": other}), ((), {})]
        )
        got, want = ours(*args, **kwargs), theirs(*args, **kwargs)
        case = f"maxsize {places}, call {step}: work(*{args}, **{kwargs})"
        assert got == want, f"{case} gave {got!r}, functools gives {want!r}: which arguments are in your key?"
        have = tuple(ours.info())
        hits, misses, _, kept = theirs.cache_info()
        hint = "which entry leaves when it is full, and what makes an entry young again?"
        if places is not None and have[2] > places:
            hint = f"{have[2]} entries are kept, {places} may be"
        elif have[2] != kept:
            hint = "is an entry dropped too early, or are named arguments missing from the key?"
        assert have == (hits, misses, kept), (
            f"{case}: (hits, misses, kept) = {have}, functools says {(hits, misses, kept)}: {hint}"
        )


class _Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def timed_stream(fn):
    clock = _Clock()

    def work(n, cost=1.0, fail=None):
        """Doc."""
        for i in range(n):
            clock.now += cost
            if i == fail:
                raise OSError("gone")
            yield i
        clock.now += cost / 2  # after the last item

    timed = fn(clock)(work)
    assert timed.__doc__ == "Doc.", "the wrapper should keep the identity of what it wraps"
    stream = timed(4)
    assert timed.seconds == 0, f"nothing was asked for yet, seconds says {timed.seconds}"
    got = []
    for i in stream:
        got.append(i)
        clock.now += 100  # the consumer's work
        assert timed.seconds < 100, f"seconds is {timed.seconds:g}: the consumer's time between two items was counted"
        assert timed.seconds == i + 1, (
            f"after {i + 1} items of 1 s each, seconds says {timed.seconds:g}: it must be right at any moment"
        )
    assert got == [0, 1, 2, 3], f"the items must pass through, got {got}"
    assert timed.seconds == 4.5, f"work after the last item counts, too: 4.5 s, yours {timed.seconds:g}"
    for _ in timed(10):
        break
    assert timed.seconds == 5.5, f"a loop that stopped after one item added 1 s, yours {timed.seconds - 4.5:g}"
    try:
        list(timed(3, fail=1))
    except OSError:
        pass
    else:
        raise AssertionError("an error inside must come out again")
    assert timed.seconds == 7.5, f"the item that failed took its second, too: 7.5 in all, yours {timed.seconds:g}"
    pairs = list(zip(timed(2), timed(2, cost=10.0), strict=True))
    assert pairs == [(0, 0), (1, 1)]
    assert timed.seconds == 7.5 + 2.5 + 25, f"two generators interleaved took 27.5 s, yours {timed.seconds - 7.5:g}"
    endless = timed(10**9)
    assert [next(endless) for _ in range(3)] == [0, 1, 2], "items must come one at a time, not all at once"
    return "a whole run, an early break, an error, two interleaved, an endless one"


def best_hits(fn):
    rng = random.Random(3)
    traces = [([], 2), (list("abc"), 1), (list("aaaa"), 1), (list("abcabcabc"), 2), (list("abab"), 5)]
    for n, kinds, places in [(8, 3, 2), (9, 4, 2), (9, 4, 3), (10, 5, 3), (10, 3, 1)] * 8:
        traces.append(([rng.randrange(kinds) for _ in range(n)], places))
    for trace, places in traces:
        got, want = fn(list(trace), places), _brute(tuple(trace), places)
        assert isinstance(got, int), f"return a number of hits, got {type(got).__name__}"
        if got == want:
            continue
        lru = _lru(trace, places)
        hint = "no cache can do that: is something hit that was dropped?" if got > want else "it can do better: "
        if got < want:
            hint += (
                "you drop what was used longest ago; look forward instead"
                if got == lru
                else "what is never needed again goes first, then what is needed last; keep the next uses up to date"
            )
        raise AssertionError(f"trace {trace}, {places} place(s): the best is {want} hits, you say {got}: {hint}")
    return "45 traces against a search through all caches"


def _brute(trace, places):
    @functools.cache
    def best(i, kept):
        if i == len(trace):
            return 0
        x = trace[i]
        if x in kept:
            return 1 + best(i + 1, kept)
        if len(kept) < places:
            return best(i + 1, kept | {x})
        return max(best(i + 1, (kept - {y}) | {x}) for y in kept)

    return best(0, frozenset())


def _lru(trace, places):
    kept, hits = OrderedDict(), 0
    for x in trace:
        if x in kept:
            hits += 1
            kept.move_to_end(x)
        else:
            kept[x] = None
            if len(kept) > places:
                kept.popitem(last=False)
    return hits


def _counting(identity=True, after=False, shared=None):
    def decorate(fn):
        def wrapper(*args, **kwargs):
            if after:
                result = fn(*args, **kwargs)
                wrapper.calls += 1
                return result
            wrapper.calls += 1
            return fn(*args, **kwargs)

        if identity:
            functools.update_wrapper(wrapper, fn)
        wrapper.calls = 0
        return wrapper

    return decorate


class _Counted:
    def __init__(self, fn):
        functools.update_wrapper(self, fn)
        self.fn, self.calls = fn, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.fn(*args, **kwargs)


def _cache(
    *,
    young=True,
    named=True,
    errors=False,
    none=True,
    shared=False,
    text=False,
    one_more=False,
    flat=False,
    hashed=False,
):
    common = OrderedDict()

    def lru(maxsize):
        def decorate(fn):
            kept = common if shared else OrderedDict()
            count = [0, 0]

            @functools.wraps(fn)
            def wrapper(*args, **kwargs):
                key = (args, tuple(kwargs.items())) if named else args
                key = repr(key) if text else args + tuple(kwargs.items()) if flat else key
                key = hash(key) if hashed else key
                if key in kept and (none or kept[key] is not None):
                    count[0] += 1
                    if young:
                        kept.move_to_end(key)
                    value = kept[key]
                    if isinstance(value, OSError):
                        raise value
                    return value
                count[1] += 1
                try:
                    value = fn(*args, **kwargs)
                except OSError as err:
                    if errors:
                        kept[key] = err
                    raise
                kept[key] = value
                if maxsize is not None and len(kept) > maxsize + one_more:
                    kept.popitem(last=False)
                return value

            wrapper.info = lambda: (*count, len(kept))
            return wrapper

        return decorate

    return lru


def _forgets_zero(maxsize):
    return _cache()(maxsize or None)


def _whole_loop(clock):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            begin = clock()
            try:
                yield from fn(*args, **kwargs)
            finally:
                wrapper.seconds += clock() - begin

        wrapper.seconds = 0.0
        return wrapper

    return decorate


def _creation_only(clock):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            begin = clock()
            items = fn(*args, **kwargs)
            wrapper.seconds += clock() - begin
            return items

        wrapper.seconds = 0.0
        return wrapper

    return decorate


def _as_list(clock):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            begin = clock()
            items = []
            for item in fn(*args, **kwargs):
                items.append(item)
                if len(items) > 1000:  # so that the test ends
                    break
            wrapper.seconds += clock() - begin
            return iter(items)

        wrapper.seconds = 0.0
        return wrapper

    return decorate


def _forgets_the_end(clock):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            items = fn(*args, **kwargs)
            while True:
                begin = clock()
                try:
                    item = next(items)
                except StopIteration:
                    return
                wrapper.seconds += clock() - begin
                yield item

        wrapper.seconds = 0.0
        return wrapper

    return decorate


def _nearest_future(trace, places):
    return _forward(trace, places, min)


def _forward(trace, places, choose, refresh=True):
    kept, hits = {}, 0
    for i, x in enumerate(trace):
        later = next((j for j in range(i + 1, len(trace)) if trace[j] == x), len(trace))
        if x in kept:
            hits += 1
            if refresh:
                kept[x] = later
            continue
        if len(kept) >= places:
            del kept[choose(kept, key=kept.get)]
        kept[x] = later
    return hits


WRONG = {
    "count_calls": {
        "loses name and docstring": _counting(identity=False),
        "counts after the call": _counting(after=True),
        "a class without __get__": _Counted,
    },
    "my_lru_cache": {
        "a hit does not make young": _cache(young=False),
        "named arguments left out of the key": _cache(named=False),
        "keeps errors": _cache(errors=True),
        "None counts as not kept": _cache(none=False),
        "one cache for all functions": _cache(shared=True),
        "the key as text": _cache(text=True),
        "named arguments appended to the positional ones": _cache(flat=True),
        "the hash as the key": _cache(hashed=True),
        "one place too many": _cache(one_more=True),
        "takes 0 for endless": _forgets_zero,
    },
    "timed_stream": {
        "times the consumer, too": _whole_loop,
        "times the making only": _creation_only,
        "makes a list first": _as_list,
        "forgets the end and errors": _forgets_the_end,
    },
    "best_hits": {
        "least recently used": _lru,
        "drops what is needed soonest": _nearest_future,
        "does not look ahead again after a hit": lambda trace, places: _forward(trace, places, max, refresh=False),
        "an endless cache": lambda trace, places: len(trace) - len(set(trace)),
    },
}
