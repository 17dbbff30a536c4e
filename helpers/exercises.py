"""Exercises: ``check(fn)`` finds the day's checks by the function's name and answers in words."""

from __future__ import annotations

import html
import importlib
import inspect
import signal
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from helpers.lesson import current

MIME = "application/vnd.llm90.exercise+json"
MARK = {"todo": "☐", "wrong": "✗", "passed": "✓"}
WORD = {"todo": "Not solved yet.", "wrong": "Not yet.", "passed": "Passes."}
SECONDS = 30


def check(fn: Callable[..., Any]) -> None:
    """Run the day's checks on ``fn`` and show ``todo``, ``wrong`` or ``passed``, never a traceback."""
    from IPython.display import display

    status, message = run(fn, current.day)
    name = getattr(fn, "__name__", str(fn))
    record = {
        "lesson": current.day,
        "name": name,
        "status": status,
        "passed": status == "passed",
        "message": message,
    }
    page = (
        f'<div class="check {status}"><b class="mark" aria-hidden="true">{MARK[status]}</b> '
        f"<span><b>{WORD[status]}</b> <code>{html.escape(name)}</code>: {html.escape(message)}</span></div>"
    )
    plain = f"{MARK[status]} {name}: {message}"
    display({MIME: record, "text/html": page, "text/plain": plain}, raw=True)


def run(fn: Callable[..., Any], day: int) -> tuple[str, str]:
    """Status and message of ``fn`` against ``helpers.checks.dayNN``'s function of the same name.

    A check takes the learner's function, asserts with a message that hints, and
    returns what was tried.

    Raises:
        LookupError: the day has no check of that name (a fault of the lesson, or a
            renamed function).
    """
    name = getattr(fn, "__name__", str(fn))
    module = importlib.import_module(f"helpers.checks.day{day:02d}")
    test = getattr(module, name, None)
    if test is None:
        known = sorted(getattr(module, "WRONG", {}))
        raise LookupError(f"day {day} has no check called {name!r}; keep the exercise's name ({', '.join(known)})")
    try:
        with _time_limit(SECONDS):
            return "passed", str(test(fn) or "all checks passed")
    except _TooLong:
        return "wrong", f"still running after {SECONDS} s: is there a loop that does not end?"
    except (Exception, SystemExit) as err:  # the learner's own mistake: say it, no traceback
        frames = _frames(err)
        if isinstance(err, NotImplementedError) and _belongs(frames[-1], fn):
            return "todo", "replace the body above, then run this cell again"
        first = f"{type(err).__name__}: {err}".splitlines()[0].removesuffix(": ")
        if any(_belongs(code, fn) for code in frames):
            return "wrong", f"your function raised {first}"
        if isinstance(err, AssertionError) and str(err):  # also where a library's assert_close says it
            return "wrong", str(err)
        return "wrong", f"the check cannot use what your function gave it ({first})"


class _TooLong(BaseException):
    """The clock of a check; no Exception, so that a learner's own ``except`` cannot swallow it."""


def _frames(err: BaseException) -> list[types.CodeType]:
    codes, trace = [], err.__traceback__
    while trace is not None:
        codes.append(trace.tb_frame.f_code)
        trace = trace.tb_next
    return codes


def _belongs(code: types.CodeType, fn: Callable[..., Any]) -> bool:
    """Whether ``code`` is that of ``fn``, below its decorators, or of a function or method defined inside it."""
    own = inspect.unwrap(fn)
    inside = f"{code.co_qualname}.".startswith(f"{own.__qualname__}.")
    return inside and (isinstance(own, type) or code.co_filename == own.__code__.co_filename)


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
