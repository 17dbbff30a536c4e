"""Every exercise of every lesson: the stub is to do, the solution passes, tempting mistakes are told what is wrong."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from helpers import exercises
from helpers.lesson import current
from helpers.runner import catalog, outputs

ROOT = Path(__file__).parents[2]
LESSONS = catalog.lessons(ROOT)
BARE = re.compile(r"your function raised|the check cannot use|still running after|\w*(Error|Exception)\b")


@cache
def stubs(lesson) -> dict[str, str]:
    """Name and source of each exercise's stub, in the order of the page."""
    found = {}
    for cell in outputs.code_cells(catalog.read_notebook(ROOT / lesson.path)):
        if "exercise" in cell["metadata"].get("tags", []):
            name = re.search(r"^(?:async )?(?:def|class) (\w+)", catalog.text(cell), flags=re.M)
            found[name[1] if name else cell["id"]] = catalog.text(cell)
    return found


def checks(lesson):
    return importlib.import_module(f"helpers.checks.day{lesson.day:02d}")


def run(fn, name, lesson) -> tuple[str, str]:
    current.day = lesson.day  # a check may start processes, which take the lesson's day with them
    fn.__name__ = name
    return exercises.run(fn, lesson.day)


EXERCISES = [pytest.param(lesson, name, id=f"{lesson.day:02d}-{name}") for lesson in LESSONS for name in stubs(lesson)]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: f"{lesson.day:02d}")
def test_each_exercise_has_a_check_and_each_check_an_exercise(lesson):
    names = list(stubs(lesson))
    assert len(names) >= 3, "a lesson has three exercises or more"
    assert set(checks(lesson).WRONG) == set(names), "WRONG has the notebook's exercises, all of them and no other"
    for name in names:
        assert callable(getattr(checks(lesson), name, None)), f"helpers/checks has no function {name}"
        assert len(checks(lesson).WRONG[name]) >= 2, f"{name}: name two tempting wrong answers or more"


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_the_untouched_stub_is_to_do(lesson, name):
    space: dict = {"__name__": "__main__"}
    exec(compile(stubs(lesson)[name], f"stub of {name}", "exec"), space)
    assert run(space[name], name, lesson)[0] == "todo"


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_tempting_mistakes_are_wrong_in_words_that_teach(lesson, name):
    for mistake, fn in checks(lesson).WRONG[name].items():
        status, message = run(fn, name, lesson)
        assert status == "wrong", f"{mistake!r} gives {status}: {message}"
        assert len(message.split()) >= 5, f"{mistake!r} is told {message!r}: say what is wrong and where to look"
        assert not BARE.match(message), f"{mistake!r} is told {message!r}: catch it in the check and hint"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: f"{lesson.day:02d}")
def test_the_page_shows_each_stub_to_do_and_each_solution_passed(lesson):
    copy = outputs.read(ROOT, lesson)
    assert copy, f"no executed copy: run {lesson.day}, look at it, accept {lesson.day}"
    shown: dict[str, list[str]] = {name: [] for name in stubs(lesson)}
    for record in outputs.records(copy, exercises.MIME):
        assert record["lesson"] == lesson.day
        assert record["passed"] == (record["status"] == "passed")
        shown[record["name"]].append(record["status"])
    assert shown == {name: ["todo", "passed"] for name in stubs(lesson)}
