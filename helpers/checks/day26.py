"""Checks of day 26: a bounded stream of tasks, what to run again after a loss, a tally that may be shot, ASHA.

Nothing here needs Ray: the stream runs against a small imitation of ``ray.wait`` with a clock of its own, and a
tally is "shot" by an exception that is raised at every step it takes, one step per life.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import pickle
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np


def _need(holds: bool, hint: str) -> None:
    assert holds, hint


class Misuse(Exception):
    """What Ray would not take, or the task forbids; raised inside the learner's code, reported by the check."""


def _must(holds: bool, hint: str) -> None:
    if not holds:
        raise Misuse(hint)


class Machine:
    """``submit`` and ``wait`` as Ray has them, on a clock that only ``wait`` moves."""

    def __init__(self, seconds: dict[int, float], limit: int) -> None:
        self.seconds, self.limit, self.clock = seconds, limit, 0.0
        self.ends: dict[str, float] = {}
        self.most = self.submitted = 0

    def submit(self, item: int) -> str:
        """Start a task; its reference is a string."""
        ref = f"ref-{item}"
        _must(ref not in self.ends, f"item {item} was submitted twice")
        self.ends[ref] = self.clock + self.seconds[item]
        self.submitted += 1
        running = sum(end > self.clock for end in self.ends.values())
        self.most = max(self.most, running)
        _must(running <= self.limit, f"{running} tasks are in flight, the limit is {self.limit}")
        return ref

    def wait(self, refs: list[str], num_returns: int = 1) -> tuple[list[str], list[str]]:
        """As ``ray.wait``: (that many that are done, the rest in their order); blocks until so many are done."""
        _must(isinstance(refs, list), f"wait takes a list of references, as ray.wait does, not a {type(refs).__name__}")
        _must(bool(refs), "wait was called with an empty list; ray.wait raises ValueError for that")
        _must(len(set(refs)) == len(refs), "the same reference twice in one wait")
        _must(all(ref in self.ends for ref in refs), "wait was given something that submit did not return")
        _must(0 < num_returns <= len(refs), f"num_returns={num_returns} of {len(refs)} references")
        first = sorted(refs, key=lambda ref: (self.ends[ref], refs.index(ref)))[:num_returns]
        self.clock = max(self.clock, max(self.ends[ref] for ref in first))
        return first, [ref for ref in refs if ref not in first]


def stream(fn: Callable[..., Any]) -> str:
    """``stream(items, submit, wait, limit)`` yields each finished reference, at most ``limit`` in flight."""
    try:
        return _streams(fn)
    except Misuse as err:
        raise AssertionError(str(err)) from None


def _streams(fn: Callable[..., Any]) -> str:
    rng, cases, late, held = random.Random(26), 0, "", ""
    for count, limit in [(0, 3), (1, 4), (5, 1), (3, 8), (40, 4), (60, 7), (8, 8), (9, 8)]:
        seconds = {i: rng.choice([1.0, 1.0, 1.0, 9.0]) + rng.random() / 10 for i in range(count)}
        machine, taken = Machine(seconds, limit), []

        early: list[int] = []

        def items(
            n: int = count, machine: Machine = machine, taken: list[int] = taken, early: list[int] = early
        ) -> Iterator[int]:
            for i in range(n):
                if sum(end > machine.clock for end in machine.ends.values()) >= machine.limit:
                    early.append(i)
                taken.append(i)
                yield i

        got, case = [], f"{count} items, limit {limit}"
        flow = fn(items(), machine.submit, machine.wait, limit)
        _need(flow is not None, "nothing came back: yield the references as they finish")
        _need(hasattr(flow, "__next__"), "a generator is wanted: yield each reference as soon as it is done")
        for ref in flow:
            got.append(ref)
            ahead = len(taken) - len(got)
            _need(
                ahead <= limit,
                f"{case}: {len(taken)} items were taken when {len(got)} results had been handed over; "
                "take an item only when there is room for it: the source may be endless",
            )
            done = machine.ends.get(ref, math.inf)
            _need(done <= machine.clock, f"{case}: {ref!r} is handed over before it is done")
            if machine.clock > done + 1e-9:
                late = late or f"{case}: {ref!r} is done after {done:.1f} s and handed over after {machine.clock:.1f} s"
        _need(len(set(got)) == len(got), f"{case}: a result is handed over twice")
        missing = [i for i in range(count) if f"ref-{i}" not in got]
        _need(not missing, f"{case}: the results of {missing[:5]} never come; what is in flight when the items end?")
        _need(machine.most == min(limit, count), f"{case}: never more than {machine.most} in flight, {limit} may be")
        best = _greedy([seconds[i] for i in range(count)], limit)
        _need(
            machine.clock <= best + 1e-9,
            f"{case}: done after {machine.clock:.1f} s, {best:.1f} would do. Does a slow task hold up a free place?",
        )
        if early:
            held = held or f"{case}: item {early[0]} was taken while as many as the limit were in flight"
        cases += 1
    _need(not late, f"{late}; how many do you wait for before you hand over the first?")
    _need(not held, f"{held}, and had to wait in your hand; make room first, then take it")
    _lazy(fn)
    return f"{cases} streams of up to 60 items, and an endless one"


def _greedy(seconds: list[float], places: int) -> float:
    """When the last task ends if a place that gets free takes the next one at once."""
    free = [0.0] * places
    for one in seconds:
        k = free.index(min(free))
        free[k] += one
    return max(free, default=0.0) if seconds else 0.0


def _lazy(fn: Callable[..., Any]) -> None:
    machine = Machine(dict.fromkeys(range(10_000), 1.0), 3)

    def endless() -> Iterator[int]:
        for i in itertools.count():
            _must(i < 50, "the source is endless, and you took more than 50 items for the first five results")
            yield i

    got = list(itertools.islice(fn(endless(), machine.submit, machine.wait, 3), 5))
    _need(len(got) == 5, f"of an endless source the first five results were asked for, {len(got)} came")


def again(fn: Callable[..., Any]) -> str:
    """``again(inputs, held, wanted)``: the tasks to run again, in an order in which they can run."""
    paper = {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["a"]}
    _one_loss(fn, paper, set(), ["c"])
    _one_loss(fn, paper, {"a"}, ["c"])
    _one_loss(fn, paper, {"c"}, ["c"])
    _one_loss(fn, paper, {"b"}, ["c", "d"])
    _one_loss(fn, paper, set(), [])
    _one_loss(fn, {"p": None, "x": ["p"], "y": ["x"]}, {"p"}, ["y"])
    _one_loss(fn, {"p": None, "x": ["p"], "y": ["x"]}, {"x"}, ["y"])
    _one_loss(fn, {"p": None, "x": ["p"], "y": ["x"]}, set(), ["y"])
    _one_loss(fn, {"p": None, "x": []}, set(), ["x"])
    rng = random.Random(26)
    for _ in range(300):
        names = [f"t{i}" for i in range(rng.randint(1, 14))]
        inputs: dict[str, list[str] | None] = {}
        for i, name in enumerate(names):
            some = rng.sample(names[:i], min(i, rng.choice([0, 1, 1, 2, 3])))
            inputs[name] = None if i < 3 and rng.random() < 0.2 else some
        rng.shuffle(names)
        held = {name for name in names if rng.random() < rng.choice([0.1, 0.4, 0.8])}
        _one_loss(fn, {name: inputs[name] for name in names}, held, rng.sample(names, rng.randint(1, len(names))))
    long = {f"s{i}": [f"s{i - 1}"] if i else [] for i in range(5000)}
    _one_loss(fn, long, {"s9"}, ["s4999"])
    wide = {f"w{i}": [f"w{i - 1}", f"w{i - 2}"] if i > 1 else [] for i in range(60)}
    _one_loss(fn, wide, set(), ["w59"])
    return "308 graphs, and chains of 5,000 tasks"


def _one_loss(fn: Callable[..., Any], inputs: dict[str, Any], held: set[str], wanted: list[str]) -> None:
    needed, queue, gone = set(), [name for name in wanted if name not in held], None
    while queue:
        name = queue.pop()
        if name in needed:
            continue
        needed.add(name)
        if inputs[name] is None:
            gone = name
            continue
        queue += [x for x in inputs[name] if x not in held]
    small = len(inputs) < 20
    case = f"inputs {inputs}, held {sorted(held)}, wanted {wanted}" if small else f"{len(inputs)} tasks"
    given = ({name: x if x is None else list(x) for name, x in inputs.items()}, set(held), list(wanted))
    try:
        plan = fn(*given)
    except RecursionError:
        raise AssertionError(
            f"{case} in a chain: one call inside the other for each task is too deep for Python; keep a list of what "
            "is to be looked at instead"
        ) from None
    except LookupError as err:
        if gone is None:
            raise AssertionError(f"{case}: everything can be had again, but LookupError came: {err}") from None
        _need(
            any(inputs[x] is None and str(x) in str(err) for x in needed),
            f"{case}: right to refuse, but the message should name the object that was put: {err}",
        )
        return
    _need((given[1], given[2]) == (held, wanted) and given[0] == inputs, f"{case}: leave what you were given as it was")
    _need(gone is None, f"{case}: {gone!r} was put, no task can make it again: LookupError, not {str(plan)[:60]}")
    _need(isinstance(plan, list), f"a list of names is wanted, not a {type(plan).__name__}")
    _need(len(plan) == len(set(plan)), f"{case}: a task stands twice in {plan if small else 'the plan'}")
    extra, short = set(plan) - needed, needed - set(plan)
    kept = sorted(extra & held)
    _need(not kept, f"{case}: {kept[:3]} still lives somewhere and need not run again")
    _need(not extra, f"{case}: nobody needs {sorted(extra)[:3]} again")
    _need(not short, f"{case}: {sorted(short)[:3]} must run again, too: what do lost inputs need?")
    have = set(held)
    for name in plan:
        lacks = [x for x in inputs[name] if x not in have]
        _need(not lacks, f"{case}: {name!r} runs before its input {lacks[:1]}")
        have.add(name)


class Shot(BaseException):
    """Stands for SIGKILL: no ``except Exception`` stops it."""


class Gun:
    """Raises ``Shot`` at the n-th step inside a call: each instruction of the learner's code, each line of a library's.

    Only instructions see the gap inside ``with open(…) as f: dump(…, f)`` on one line.
    """

    def __init__(self, line: int) -> None:
        self.left = line

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        where = frame.f_code.co_filename
        if where.startswith("<frozen importlib"):
            return None
        frame.f_trace_opcodes = own = f"{os.sep}lib{os.sep}python" not in where
        if event == ("opcode" if own else "line"):
            self.left -= 1
            if self.left == 0:
                raise Shot
        return self._trace

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """fn(*args), shot at the line; ``Shot`` if it was reached."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return fn(*args)
        finally:
            sys.settrace(before)


def _tally(fn: Callable[..., Any]) -> str:
    """A class ``Tally(folder)`` with ``add(call, n)``: each call counts once, whatever is shot and repeated."""
    _plain_life(fn)
    _many_lives(fn)
    line, shots = 0, 0
    while True:
        line += 1
        _need(line < 6000, "add() takes thousands of steps: is there a loop that grows with what was counted?")
        hit = _shot_at(fn, line)
        shots += hit
        if not hit:
            break
    return f"shot at each of {shots} steps of add, restarted at random, calls repeated"


Tally = _tally  # a check of the same __qualname__ as the learner's class would be taken for the learner's code


def _fresh(fn: Callable[..., Any], folder: str) -> Any:
    tally = fn(folder)
    _need(hasattr(tally, "add"), "the class needs a method add(call, n)")
    return tally


def _plain_life(fn: Callable[..., Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tally = _fresh(fn, folder)
        odd = "a\tb\nc, 'd'"
        for call, n, total in [("x1", 5, 5), ("x2", 5, 10), ("shard 3/10", 0, 10), ("", -3, 7), (odd, 2, 9)]:
            try:
                got = tally.add(call, n)
            except (OSError, ValueError) as err:
                raise AssertionError(f"add({call!r}, {n}): {type(err).__name__}; any string may name a call") from None
            _need(got == total, f"add({call!r}, {n}) should return the total {total}, not {got!r}")
        got = tally.add("x2", 5)
        _need(got == 9, f"call 'x2' came again (its answer was lost): the total stays 9, not {got!r}")
        shutil.copytree(folder, f"{folder}-moved")
        try:
            moved = _fresh(fn, f"{folder}-moved")
            got, again = moved.add("x5", 1), moved.add(odd, 2)
        except (ValueError, IndexError) as err:
            raise AssertionError(
                f"a new Tally cannot read what the first one wrote ({type(err).__name__}: {err}); a call may be named "
                f"by any string, as {odd!r}"
            ) from None
        finally:
            shutil.rmtree(f"{folder}-moved")
        _need(
            got == 10,
            f"a new process with a copy of the folder goes on at 9 and gives 10, not {got!r}: what is on disk?",
        )
        _need(again == 10, f"call {odd!r} came again after a restart: the total stays 10, not {again!r}")
    with tempfile.TemporaryDirectory() as other:
        got = _fresh(fn, other).add("x1", 2)
        _need(got == 2, f"another folder is another tally: 2, not {got!r}")


def _many_lives(fn: Callable[..., Any]) -> None:
    rng = random.Random(26)
    for _ in range(6):
        with tempfile.TemporaryDirectory() as folder:
            tally, truth = _fresh(fn, folder), {}
            for step in range(40):
                call = rng.choice([f"c{step}", f"c{step}", f"c{rng.randrange(step + 1)}"])
                truth.setdefault(call, rng.randint(-9, 99))
                if rng.random() < 0.25:
                    tally = _fresh(fn, folder)
                got = tally.add(call, truth[call])
                _need(
                    got == sum(truth.values()),
                    f"after {len(truth)} different calls, some repeated, some after a restart, the total should be "
                    f"{sum(truth.values())}, not {got!r}: how does a new Tally know which calls were counted?",
                )


def _shot_at(fn: Callable[..., Any], line: int) -> bool:
    """One life that ends at ``line``, and the next, in which the same call is repeated; whether the shot fell."""
    with tempfile.TemporaryDirectory() as home:
        folder, later = f"{home}/first", f"{home}/second"
        os.mkdir(folder)
        first = _fresh(fn, folder)
        first.add("one", 10)
        first.add("two", 20)
        try:
            Gun(line).call(first.add, "three", 300)
        except Shot:
            hit = True
        else:
            hit = False
        shutil.copytree(folder, later)  # the next life has what is on disk, and no memory that outlived the first
        try:
            second = _fresh(fn, later)
            got = second.add("three", 300)
            _need(second.add("one", 10) == got, "a call of the first life was counted again in the second")
        except (ValueError, KeyError, OSError, EOFError, TypeError, IndexError) as err:
            raise AssertionError(
                f"shot in the middle of add, the next Tally cannot read what is there ({type(err).__name__}: {err}): "
                "a reader must find the old file or the new one, nothing between"
            ) from None
        word = "lost" if got < 330 else "counted twice"
        _need(
            got == 330,
            f"shot in the middle of add('three', 300), restarted, call repeated: the total is {got!r}, not 330; "
            f"something was {word}. Which line makes it final?",
        )
        return hit


def next_job(fn: Callable[..., Any]) -> str:
    """``next_job(rungs, sent, eta)``: whom asynchronous successive halving trains next, by promotion."""
    _one_job(fn, [{}, {}, {}], set(), 2)
    _one_job(fn, [{"a": 0.5}, {}, {}], set(), 2)
    _one_job(fn, [{"a": 0.5, "b": 0.7}, {}, {}], set(), 2)
    _one_job(fn, [{"a": 0.5, "b": 0.7}, {}, {}], {("b", 1)}, 2)
    _one_job(fn, [{"a": 0.5, "b": 0.7, "c": 0.6, "d": 0.1}, {"b": 0.9}, {}], {("b", 1)}, 2)
    _one_job(fn, [{"a": 0.5, "b": 0.7, "c": 0.6, "d": 0.1}, {"b": 0.9, "c": 0.8}, {}], {("b", 1), ("c", 1)}, 2)
    _one_job(fn, [{"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5}, {}, {}], set(), 2)
    _one_job(fn, [{"a": 0.1, "b": 0.2}, {"a": 0.1, "b": 0.2}], {("a", 1), ("b", 1)}, 2)
    _one_job(fn, [{"a": 0.5, "b": 0.7}], set(), 2)
    rng, jobs = random.Random(26), 0
    for _ in range(60):
        eta, top = rng.choice([2, 2, 3, 4]), rng.randint(1, 4)
        rungs: list[dict[str, float]] = [{} for _ in range(top)]
        sent: set[tuple[str, int]] = set()
        busy: list[tuple[str, int]] = []
        born = 0
        for _ in range(rng.randint(5, 60)):
            if busy and rng.random() < 0.5:
                name, k = busy.pop(rng.randrange(len(busy)))
                rungs[k][name] = rng.choice([rng.random(), rng.randint(0, 3) / 3])
                continue
            job = _one_job(fn, rungs, sent, eta)
            jobs += 1
            if job is None:
                job = (f"trial{born}", 0)
                born += 1
            sent.add(job)
            busy.append(job)
    return f"{jobs + 9} decisions, with 1 to 4 rungs and eta from 2 to 4"


def _one_job(fn: Callable[..., Any], rungs: list[dict[str, float]], sent: set[tuple[str, int]], eta: int) -> Any:
    right = None
    for k in range(len(rungs) - 2, -1, -1):
        ranked = sorted(rungs[k], key=lambda name: -rungs[k][name])  # stable: who came first, of equals
        free = [name for name in ranked[: len(ranked) // eta] if (name, k + 1) not in sent]
        if free:
            right = (free[0], k + 1)
            break
    copy = ([dict(rung) for rung in rungs], set(sent))
    got = fn(*copy, eta)
    case = f"rungs {rungs}, sent {sorted(sent)}, eta {eta}" if sum(map(len, rungs)) < 9 else f"eta {eta}, {rungs}"
    case = case if len(case) < 240 else case[:240] + " …"
    _need(copy == (rungs, sent), f"{case}: leave rungs and sent as they were; the caller notes what was handed out")
    if got == right and type(got) is type(right):
        return got
    wish = f"{right} is wanted" if right else "None is wanted (start a new trial)"
    if got is None:
        raise AssertionError(f"{case}: {wish}, not None: a rung need not be full, its best 1/eta so far may go on")
    _need(isinstance(got, tuple) and len(got) == 2, f"a pair (trial, rung) or None, not {got!r}")
    name, k = got
    _need(isinstance(k, int) and 0 < k < len(rungs), f"{case}: there is no rung {k!r} to go to; {wish}")
    _need(name in rungs[k - 1], f"{case}: {name!r} has no result in rung {k - 1}; {wish}")
    _need((name, k) not in sent, f"{case}: {name!r} is in rung {k} or on its way there already; {wish}")
    place = 1 + sum(score > rungs[k - 1][name] for score in rungs[k - 1].values())
    allowed = len(rungs[k - 1]) // eta
    _need(
        place <= allowed,
        f"{case}: {name!r} is number {place} of {len(rungs[k - 1])} in rung {k - 1}, only {allowed} may go on; " + wish,
    )
    raise AssertionError(f"{case}: {got} may go on, but {wish}: higher rungs first, then the best score")


# The tempting wrong answers


def _all_at_once(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    flying = [submit(item) for item in items]
    while flying:
        done, flying = wait(flying)
        yield from done


def _waves(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    items = iter(items)
    while wave := [submit(item) for item in itertools.islice(items, limit)]:
        done, _ = wait(wave, num_returns=len(wave))
        yield from done


def _hands_over_the_first(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    flying: list[Any] = []
    for item in items:
        flying.append(submit(item))
        if len(flying) == limit:
            wait(flying)
            yield flying.pop(0)
    while flying:
        wait(flying)
        yield flying.pop(0)


def _in_order(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    flying: list[Any] = []
    for item in items:
        if len(flying) == limit:
            wait(flying[:1])
            yield flying.pop(0)
        flying.append(submit(item))
    while flying:
        wait(flying[:1])
        yield flying.pop(0)


def _one_ahead(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    source, flying, end = iter(items), [], object()
    ahead = next(source, end)
    while ahead is not end or flying:
        while ahead is not end and len(flying) < limit:
            flying.append(submit(ahead))
            ahead = next(source, end)
        done, flying = wait(flying)
        yield from done


def _all_at_the_end(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    flying: list[Any] = []
    for item in items:
        flying.append(submit(item))
        if len(flying) == limit:
            done, flying = wait(flying)
            yield from done
    if flying:
        done, _ = wait(flying, num_returns=len(flying))
        yield from done


def _loses_the_last(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    flying: list[Any] = []
    for item in items:
        if len(flying) == limit:
            done, flying = wait(flying)
            yield from done
        flying.append(submit(item))


def _one_more(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    flying: list[Any] = []
    for item in items:
        flying.append(submit(item))
        if len(flying) > limit:
            done, flying = wait(flying)
            yield from done
    while flying:
        done, flying = wait(flying)
        yield from done


def _one_fewer(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    flying: list[Any] = []
    for item in items:
        flying.append(submit(item))
        if len(flying) == limit:
            done, flying = wait(flying)
            yield from done
    while flying:
        done, flying = wait(flying)
        yield from done


def _reads_all(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    waiting, flying = list(items), []
    while waiting or flying:
        while waiting and len(flying) < limit:
            flying.append(submit(waiting.pop(0)))
        done, flying = wait(flying)
        yield from done


def _a_list(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    return list(_right_stream(items, submit, wait, limit))


def _right_stream(items: Any, submit: Any, wait: Any, limit: int) -> Any:
    flying: list[Any] = []
    for item in items:
        flying.append(submit(item))
        if len(flying) == limit:
            done, flying = wait(flying)
            yield from done
    while flying:
        done, flying = wait(flying)
        yield from done


def _recursive(inputs: Any, held: Any, wanted: Any) -> Any:
    plan: list[str] = []

    def need(name: str) -> None:
        if name in held or name in plan:
            return
        if inputs[name] is None:
            raise LookupError(f"{name} was put")
        for x in inputs[name]:
            need(x)
        plan.append(name)

    for name in wanted:
        need(name)
    return plan


def _walk(inputs: Any, held: Any, wanted: Any, **how: bool) -> Any:
    """A right answer, unless ``how`` spoils it."""
    plan: list[str] = []
    done = set() if how.get("ignores_held") else set(held)
    if how.get("everything"):
        wanted = list(inputs)
    stack = [(name, False) for name in reversed(wanted)]
    while stack:
        name, ready = stack.pop()
        if name in done:
            continue
        if ready:
            plan.append(name)
            if not how.get("each_path"):
                done.add(name)
            continue
        if inputs[name] is None:
            if how.get("makes_puts"):
                stack.append((name, True))
                continue
            if how.get("skips_puts"):
                continue
            raise LookupError(f"{name} was put: no task makes it")
        stack.append((name, True))
        if not how.get("first_level"):
            stack += [(x, False) for x in reversed(inputs[name])]
    return plan


def _makes_puts(inputs: Any, held: Any, wanted: Any) -> Any:
    return _walk({name: x or [] for name, x in inputs.items()}, held, wanted)


def _skips_puts(inputs: Any, held: Any, wanted: Any) -> Any:
    return _walk(inputs, held, wanted, skips_puts=True)


def _ends_first(inputs: Any, held: Any, wanted: Any) -> Any:
    return _walk(inputs, held, wanted)[::-1]


def _any_put_lost(inputs: Any, held: Any, wanted: Any) -> Any:
    gone = [name for name, x in inputs.items() if x is None and name not in held]
    if gone:
        raise LookupError(f"{gone} cannot be made again")
    return _walk(inputs, held, wanted)


def _in_the_order_given(inputs: Any, held: Any, wanted: Any) -> Any:
    plan = set(_walk(inputs, held, wanted))
    return [name for name in inputs if name in plan]


def _empty_is_put(inputs: Any, held: Any, wanted: Any) -> Any:
    return _walk({name: x or None for name, x in inputs.items()}, held, wanted)


def _marks_the_caller(inputs: Any, held: Any, wanted: Any) -> Any:
    plan = _walk(inputs, held, wanted)
    held |= set(plan)
    return plan


class _Book:
    """Reads and writes one small JSON file as a whole."""

    def __init__(self, folder: str, name: str, empty: Any) -> None:
        self.path = Path(folder) / name
        self.value = json.loads(self.path.read_text()) if self.path.exists() else empty

    def write(self, value: Any) -> None:
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(value))
        os.replace(part, self.path)
        self.value = value


class _InMemory:
    def __init__(self, folder: str) -> None:
        self.calls: dict[str, int] = {}

    def add(self, call: str, n: int) -> int:
        self.calls.setdefault(call, n)
        return sum(self.calls.values())


class _OfTheClass(_InMemory):
    kept: dict[str, dict[str, int]] = {}

    def __init__(self, folder: str) -> None:
        self.calls = self.kept.setdefault(str(folder), {})


class _OnOneLine(_InMemory):
    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "tally.pickle"
        self.calls = pickle.loads(self.path.read_bytes()) if self.path.exists() else {}

    def add(self, call: str, n: int) -> int:
        if call not in self.calls:
            self.calls[call] = n
            with open(self.path, "wb") as file: pickle.dump(self.calls, file)  # noqa: E701  # fmt: skip
        return sum(self.calls.values())


class _FilePerCall:
    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def add(self, call: str, n: int) -> int:
        path = self.folder / call
        if not path.exists():
            path.write_text(str(n))
        return sum(int(path.read_text()) for path in self.folder.iterdir())


class _NoNames:
    def __init__(self, folder: str) -> None:
        self.book = _Book(folder, "total.json", 0)

    def add(self, call: str, n: int) -> int:
        self.book.write(self.book.value + n)
        return int(self.book.value)


class _NamesInMemory(_NoNames):
    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.names: set[str] = set()

    def add(self, call: str, n: int) -> int:
        if call not in self.names:
            self.names.add(call)
            super().add(call, n)
        return int(self.book.value)


class _InPlace:
    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "tally.json"
        self.calls = json.loads(self.path.read_text()) if self.path.exists() else {}

    def add(self, call: str, n: int) -> int:
        if call not in self.calls:
            self.calls[call] = n
            self.path.write_text(json.dumps(self.calls))
        return sum(self.calls.values())


class _Lines:
    """Atomic, but a name with a tab or a new line cannot be read back."""

    def __init__(self, folder: str) -> None:
        self.path, self.calls = Path(folder) / "tally.txt", {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                call, n = line.split("\t")
                self.calls[call] = int(n)

    def add(self, call: str, n: int) -> int:
        if call not in self.calls:
            self.calls[call] = n
            part = self.path.with_suffix(".part")
            part.write_text("".join(f"{name}\t{rows}\n" for name, rows in self.calls.items()))
            os.replace(part, self.path)
        return sum(self.calls.values())


class _ForgivesDamage(_InPlace):
    def __init__(self, folder: str) -> None:
        try:
            super().__init__(folder)
        except ValueError:
            self.calls = {}


class _TwoFiles:
    def __init__(self, folder: str) -> None:
        self.names, self.total = _Book(folder, "names.json", []), _Book(folder, "total.json", 0)

    def add(self, call: str, n: int) -> int:
        if call not in self.names.value:
            self.total.write(self.total.value + n)
            self.names.write([*self.names.value, call])
        return int(self.total.value)


class _NamesFirst(_TwoFiles):
    def add(self, call: str, n: int) -> int:
        if call not in self.names.value:
            self.names.write([*self.names.value, call])
            self.total.write(self.total.value + n)
        return int(self.total.value)


class _NowAndThen(_InMemory):
    def __init__(self, folder: str) -> None:
        self.book = _Book(folder, "tally.json", {})
        self.calls = dict(self.book.value)

    def add(self, call: str, n: int) -> int:
        total = super().add(call, n)
        if len(self.calls) % 2 == 0:
            self.book.write(self.calls)
        return total


class _RemovesFirst(_InPlace):
    def add(self, call: str, n: int) -> int:
        if call not in self.calls:
            self.calls[call] = n
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.calls))
            self.path.unlink(missing_ok=True)
            part.rename(self.path)
        return sum(self.calls.values())


class _LastCallOnly:
    def __init__(self, folder: str) -> None:
        self.book = _Book(folder, "tally.json", ["", 0])

    def add(self, call: str, n: int) -> int:
        last, total = self.book.value
        if call != last:
            self.book.write([call, total + n])
        return int(self.book.value[1])


def _job(rungs: Any, sent: Any, eta: int, **how: bool) -> Any:
    """A right answer, unless ``how`` spoils it."""
    ladder = range(len(rungs) - (1 if how.get("beyond") else 2), -1, -1)
    for k in reversed(ladder) if how.get("bottom_up") else ladder:
        worst = how.get("worst")
        ranked = sorted(rungs[k], key=lambda name: rungs[k][name] * (1 if worst else -1))
        count = math.ceil(len(ranked) / eta) if how.get("ceil") else len(ranked) // eta
        if how.get("full") and len(ranked) < eta ** (len(rungs) - 1 - k):
            continue
        if how.get("percentile") and ranked:
            cut = float(np.quantile(list(rungs[k].values()), 1 - 1 / eta))
            count = sum(score >= cut for score in rungs[k].values())
        best = ranked[:count]
        if how.get("best_of_rest"):
            best = [name for name in ranked if (name, k + 1) not in sent][:count]
        for name in best:
            if how.get("forgets") or (how.get("finished") and name not in (rungs + [{}])[k + 1]):
                return name, k + 1
            if not how.get("finished") and (name, k + 1) not in sent:
                return name, k + 1
    return None


def _best_only(rungs: Any, sent: Any, eta: int) -> Any:
    for k in range(len(rungs) - 2, -1, -1):
        if len(rungs[k]) >= eta and (best := max(rungs[k], key=rungs[k].get), k + 1) not in sent:
            return best, k + 1
    return None


def _highest_only(rungs: Any, sent: Any, eta: int) -> Any:
    for k in range(len(rungs) - 2, -1, -1):
        if rungs[k]:
            return _job([{}] * k + rungs[k:], sent, eta)
    return None


def _backwards(inputs: Any, held: Any, wanted: Any) -> list[str]:
    plan, seen, queue = [], set(held), list(wanted)
    while queue:
        name = queue.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if inputs[name] is None:
            raise LookupError(name)
        plan.append(name)
        queue += inputs[name]
    return plan[::-1]


def _names_the_wanted(inputs: Any, held: Any, wanted: Any) -> list[str]:
    try:
        return list(_walk(inputs, held, wanted))
    except LookupError:
        raise LookupError(wanted[0]) from None


def _spoilt(wrong: Callable[..., Any], how: str) -> Callable[..., Any]:
    return lambda *args: wrong(*args, **{how: True})


WRONG: dict[str, dict[str, Callable[..., Any]]] = {
    "stream": {
        "everything at once": _all_at_once,
        "in waves: waits for all of them": _waves,
        "in the order of submission": _in_order,
        "waits for any, hands over the first": _hands_over_the_first,
        "loses what is in flight at the end": _loses_the_last,
        "takes one item ahead": _one_ahead,
        "waits for all of the last ones": _all_at_the_end,
        "one too many in flight": _one_more,
        "reads the whole source first": _reads_all,
        "a list, when all is done": _a_list,
    },
    "again": {
        "recursion, one level a task": _recursive,
        "runs again what is still held": _spoilt(_walk, "ignores_held"),
        "everything that was lost": _spoilt(_walk, "everything"),
        "once for each path": _spoilt(_walk, "each_path"),
        "the lost task, not its lost inputs": _spoilt(_walk, "first_level"),
        "the end first": _ends_first,
        "runs what was put": _makes_puts,
        "passes over what was put": _skips_puts,
        "gives up for a put that nobody needs": _any_put_lost,
        "adds to the caller's set": _marks_the_caller,
        "in the order of the dictionary": _in_the_order_given,
        "takes a task without inputs for a put": _empty_is_put,
        "breadth first, backwards": _backwards,
        "names what was asked for, not what was put": _names_the_wanted,
    },
    "Tally": {
        "in memory": _InMemory,
        "in memory, of the class": _OfTheClass,
        "a file for each call, under its name": _FilePerCall,
        "writes in place, on one line": _OnOneLine,
        "a total on disk, no names of calls": _NoNames,
        "names of calls in memory": _NamesInMemory,
        "writes in place": _InPlace,
        "starts at zero if the file is damaged": _ForgivesDamage,
        "total and names in two files": _TwoFiles,
        "names first, then the total": _NamesFirst,
        "writes every second call": _NowAndThen,
        "removes the old file before the new one": _RemovesFirst,
        "remembers the last call only": _LastCallOnly,
        "a line for each call, a tab between": _Lines,
    },
    "next_job": {
        "from the lowest rung up": _spoilt(_job, "bottom_up"),
        "rounds up: one alone goes on": _spoilt(_job, "ceil"),
        "waits until the rung is full": _spoilt(_job, "full"),
        "forgets whom it has sent": _spoilt(_job, "forgets"),
        "looks at results, not at what is on its way": _spoilt(_job, "finished"),
        "promotes the worst": _spoilt(_job, "worst"),
        "goes beyond the last rung": _spoilt(_job, "beyond"),
        "Ray's percentile instead of a count": _spoilt(_job, "percentile"),
        "the best of those not yet sent": _spoilt(_job, "best_of_rest"),
        "the best of each rung only": _best_only,
        "the highest rung with results only": _highest_only,
    },
}
