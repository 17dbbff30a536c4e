"""Checks of exercises: todo, wrong or passed, in words, and never a traceback."""

import functools
import sys
import threading
import time
import types
from types import SimpleNamespace

import pytest

from helpers import exercises


def module_of(body: str):
    """A day's checks, as a module with a file of its own."""
    module = types.ModuleType("helpers.checks.day91")
    module.__file__ = "day91.py"
    exec(compile(body, "day91.py", "exec"), module.__dict__)
    return module


CHECKS = """
def double(fn):
    for x in (0, 2, -3):
        got = fn(x)
        assert got == 2 * x, f"{x} gives {got}; think of {x} + {x}"
    return "three numbers"

def silent(fn):
    assert fn(1) == 2

def shaped(fn):
    return str(fn(1).shape)

def library(fn):
    import numpy as np
    np.testing.assert_allclose(fn(1), 2, err_msg="the second moment is missing")

def makes(fn):
    assert fn()(3) == 6, "the inner function doubles"

def Counter(fn):
    one = fn()
    one.add(2)
    assert one.total == 2, "add adds"

def nothing(fn):
    fn(1)

def counts(fn):
    return fn(1)

WRONG = {"double": {}}
"""


@pytest.fixture(autouse=True)
def checks(monkeypatch):
    """Checks of a day 91 that no lesson has."""
    monkeypatch.setitem(sys.modules, "helpers.checks.day91", module_of(CHECKS))


def run(fn, name="double"):
    fn.__name__ = name
    return exercises.run(fn, 91)


def test_passed_tells_what_was_tried():
    assert run(lambda x: 2 * x) == ("passed", "three numbers")
    assert run(lambda x: 2 * x, "nothing") == ("passed", "all checks passed")


def test_wrong_tells_the_hint():
    assert run(lambda x: x * x) == ("wrong", "-3 gives 9; think of -3 + -3")
    assert run(lambda x: None)[0] == "wrong"


def test_an_untouched_stub_is_todo():
    def double(x):
        raise NotImplementedError

    status, message = exercises.run(double, 91)
    assert status == "todo" and "replace the body" in message


def test_a_stub_that_makes_a_function_is_todo():
    def makes():
        def inner(x):
            raise NotImplementedError

        return inner

    assert exercises.run(makes, 91)[0] == "todo"


def test_a_decorated_stub_is_todo():
    @functools.cache
    def double(x):
        raise NotImplementedError

    assert exercises.run(double, 91)[0] == "todo"


def test_stub_classes():
    class Counter:
        def __init__(self):
            self.total = 0

        def add(self, n):
            raise NotImplementedError

    assert exercises.run(Counter, 91)[0] == "todo"
    Counter.add = lambda self, n: setattr(self, "total", self.total + n)
    assert exercises.run(Counter, 91)[0] == "passed"
    Counter.add = lambda self, n: None
    assert exercises.run(Counter, 91) == ("wrong", "add adds")


def test_not_implemented_from_a_library_is_wrong():
    def missing():
        raise NotImplementedError("no kernel")

    status, message = run(lambda x: missing())
    assert (status, message) == ("wrong", "your function raised NotImplementedError: no kernel")


def test_what_the_function_raises_is_wrong_and_said():
    assert run(lambda x: {}[x]) == ("wrong", "your function raised KeyError: 0")

    def double(x):
        assert x > 0, "my own assertion\nwith a second line"

    assert exercises.run(double, 91) == ("wrong", "your function raised AssertionError: my own assertion")

    def quits(x):
        raise SystemExit

    assert run(quits) == ("wrong", "your function raised SystemExit")


def test_a_value_that_the_check_cannot_use_is_not_blamed_on_the_function():
    status, message = run(lambda x: None, "shaped")
    assert status == "wrong"
    assert message == (
        "the check cannot use what your function gave it (AttributeError: 'NoneType' object has no attribute 'shape')"
    )


def test_an_assertion_of_a_library_in_the_check_is_the_check_s():
    status, message = run(lambda x: 3, "library")
    assert status == "wrong" and "the second moment is missing" in message and "your function" not in message


def test_an_assertion_without_a_hint_still_says_something():
    status, message = run(lambda x: 3, "silent")
    assert status == "wrong" and message


def test_any_answer_of_a_check_is_text():
    assert run(lambda x: 12, "counts") == ("passed", "12")


def test_another_name_says_which_names_there_are():
    with pytest.raises(LookupError, match="day 91 has no check called 'triple'; keep the exercise's name .double."):
        run(lambda x: x, "triple")


def test_an_endless_loop_is_ended(monkeypatch):
    monkeypatch.setattr(exercises, "SECONDS", 1)

    def double(x):
        while time.monotonic() < start + 4:
            try:
                time.sleep(0.01)
            except Exception:
                continue  # swallows what is raised at it, as retry loops do

    start = time.monotonic()
    status, message = exercises.run(double, 91)
    assert status == "wrong" and message.startswith("still running after 1 s")
    assert time.monotonic() - start < 3


def test_a_timeout_of_its_own_is_no_endless_loop():
    def late(x):
        raise TimeoutError("no answer")

    assert run(late) == ("wrong", "your function raised TimeoutError: no answer")


def test_the_clock_is_stopped_and_put_back():
    import signal

    before = signal.getsignal(signal.SIGALRM)
    run(lambda x: 2 * x)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.alarm(0) == 0


def test_it_works_outside_the_main_thread():
    answers = []
    thread = threading.Thread(target=lambda: answers.append(run(lambda x: 2 * x)))
    thread.start()
    thread.join()
    assert answers == [("passed", "three numbers")]


def test_an_interrupt_goes_through():
    def stops(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stops)


@pytest.mark.parametrize(
    ("fn", "status", "mark", "word"),
    [
        (lambda x: 2 * x, "passed", "✓", "Passes."),
        (lambda x: [x, "<b>"], "wrong", "✗", "Not yet."),
    ],
)
def test_the_page_gets_record_html_and_plain_text(monkeypatch, fn, status, mark, word):
    seen = []
    fake = SimpleNamespace(display=lambda data, raw: seen.append(data))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    monkeypatch.setattr(exercises.current, "day", 91)
    fn.__name__ = "double"
    exercises.check(fn)
    (data,) = seen
    record = data[exercises.MIME]
    expected = {"lesson": 91, "name": "double", "status": status, "passed": status == "passed"}
    assert record == expected | {"message": record["message"]}
    assert exercises.MIME == "application/vnd.llm90.exercise+json"
    assert data["text/plain"] == f"{mark} double: {record['message']}"
    page = data["text/html"]
    assert f'class="check {status}"' in page and mark in page and word in page and "<b>'" not in page


def test_a_stub_on_the_page(monkeypatch):
    seen = []
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=lambda data, raw: seen.append(data)))
    monkeypatch.setattr(exercises.current, "day", 91)

    def double(x):
        raise NotImplementedError

    exercises.check(double)
    assert seen[0][exercises.MIME]["status"] == "todo" and seen[0][exercises.MIME]["passed"] is False
    assert "☐" in seen[0]["text/plain"] and "Not solved yet." in seen[0]["text/html"]
