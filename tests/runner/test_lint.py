"""Each rule of the lint against a small good lesson, broken in one place."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path

import pytest

from helpers.runner import catalog, lint

FOLDER = "notebooks/phase1_foundations"
SECTIONS = ("Build · one", "Verify · two", "Measure · three")


def lesson(day: int = 7) -> dict:
    """A lesson without a fault; cells are found by id, so that a test can break one."""
    cells = [
        md("opening", f"# Day {day:02d} · A title\n\nBefore this: [day 06 · before](day06_before.ipynb)."),
        code("setup-parameters", 'profile = "auto"\nseed = 0', "parameters"),
        code(
            "setup", f"from helpers import check, claim, plots, start\n\nstart(day={day}, profile=profile, seed=seed)"
        ),
        md("why", "## Why it matters\n\n" + "word " * 2000),
        *(md(f"section-{i}", f"## {heading}") for i, heading in enumerate(SECTIONS)),
        code("compute", "one, two = 1, 2\nprint(one)"),
        code(
            "draw",
            'fig, ax = plots.figure()\nax.step([1], [2])\nplots.show(fig, alt="what is seen, in words")',
            "figure",
        ),
        code(
            "claim-one", '# range over five seeds: 1 to 1\n# breaks if two is less\nclaim("a", "1", two > one)', "claim"
        ),
        code("claim-two", '# exact: 2\n# fails if two is odd\nclaim("b", "2", two % 2 == 0)', "claim"),
        md("exercises", "## Exercises"),
    ]
    for name in ("first", "second", "third"):
        cells += [
            md(f"{name}-task", f"Write `{name}`."),
            code(f"{name}-stub", f"def {name}(x):\n    raise NotImplementedError", "exercise"),
            code(f"{name}-check", f"check({name})", "check"),
            code(f"{name}-solution", f"def {name}(x):\n    return x\n\ncheck({name})", "solution"),
        ]
        cells[-1]["metadata"]["jupyter"] = {"source_hidden": True}
    cells += [md("summary", "## Summary"), md("sources", "## Sources")]
    about = {"budget": 30, "needs": [], "read": 60, "work": 200}
    return {"cells": cells, "metadata": {"lesson": about}, "nbformat": 4, "nbformat_minor": 5}


def md(name: str, source: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def code(name: str, source: str, *tags: str) -> dict:
    meta = {"tags": list(tags)} if tags else {}
    empty = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", "id": name, "metadata": meta, "source": source, **empty}


def faults(root: Path, book: dict, day: int = 7, dump=lambda b: json.dumps(b, indent=1, ensure_ascii=False) + "\n"):
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "day06_before.ipynb").write_text("{}")
    path = folder / f"day{day:02d}_title.ipynb"
    path.write_text(dump(book), encoding="utf-8")
    return lint.check(root, [catalog.lesson(root, path.relative_to(root))])


def test_a_good_lesson_has_no_fault(tmp_path):
    assert faults(tmp_path, lesson()) == []


def set_source(cell, source):
    return lambda book: find(book, cell).update(source=source)


def find(book, cell):
    return next(c for c in book["cells"] if c["id"] == cell)


def replace(cell, old, new):
    def edit(book):
        found = find(book, cell)
        assert old in found["source"]
        found["source"] = found["source"].replace(old, new)

    return edit


def tags(cell, *names):
    return lambda book: find(book, cell)["metadata"].update(tags=list(names))


def rename(cell, new):
    return lambda book: find(book, cell).update(id=new)


def drop(*cells):
    return lambda book: book.update(cells=[c for c in book["cells"] if c["id"] not in cells])


def after(cell, *new):
    def edit(book):
        at = book["cells"].index(find(book, cell)) + 1
        book["cells"][at:at] = list(new)

    return edit


def about(key, value):
    return lambda book: book["metadata"]["lesson"].update({key: value})


BROKEN = {
    # opening
    "title of another day": (replace("opening", "Day 07", "Day 08"), "day07 opening: the first line is '# Day 07"),
    "title without a dot": (replace("opening", "07 · A", "07: A"), "day07 opening: the first line is"),
    "long title": (
        replace("opening", "A title", "A title " * 5),
        "day07 opening: the first line is '# Day 07",
    ),
    "code first": (lambda b: b["cells"].insert(0, code("early", "1 + 1")), "notebook: a lesson opens with a markdown"),
    "no parameters tag": (tags("setup-parameters"), "setup-parameters: the first code cell"),
    "another profile": (replace("setup-parameters", "auto", "cpu"), "setup-parameters: the first code cell"),
    "another seed": (replace("setup-parameters", "= 0", "= 1"), "setup-parameters: the first code cell"),
    "a computed parameter": (replace("setup-parameters", "= 0", "= 0\nn = 2 * 3"), "setup-parameters: the first code"),
    "six parameters": (
        replace("setup-parameters", "= 0", "= 0\na = 1\nb = 1\nc = 1\nd = 1"),
        "setup-parameters: the first code cell",
    ),
    "start of another day": (replace("setup", "day=7", "day=9"), "setup: call start(day=7"),
    "start without the seed": (replace("setup", ", seed=seed", ""), "setup: call start(day=7"),
    "no start": (replace("setup", "start(", "print("), "opening: call start(day=7"),
    "start twice": (after("compute", code("again", "start(day=7, profile=profile, seed=seed)")), "again: call start("),
    "no day before": (
        replace("opening", "Before this: [day 06 · before](day06_before.ipynb).", ""),
        "opening: name the",
    ),
    "day before not linked": (
        replace("opening", "[day 06 · before](day06_before.ipynb)", "day 06"),
        "day 06 is named as",
    ),
    # cells
    "hash as id": (rename("compute", "3f2a9b1c"), "3f2a9b1c: each cell has an id of its own"),
    "id ends in a hash": (rename("compute", "c07-1c555c"), "c07-1c555c: each cell has an id"),
    "id twice": (rename("compute", "setup"), "setup: each cell has an id of its own"),
    "id with spaces": (rename("compute", "the sum"), "the sum: each cell has an id"),
    "unknown tag": (tags("compute", "hide-input"), "compute: unknown tag hide-input"),
    "output kept": (
        lambda b: find(b, "compute").update(outputs=[{"output_type": "stream"}]),
        "compute: a source holds",
    ),
    "count kept": (lambda b: find(b, "compute").update(execution_count=3), "compute: a source holds no outputs"),
    "papermill kept": (lambda b: find(b, "compute")["metadata"].update(papermill={}), "compute: a source holds"),
    "long cell": (set_source("compute", "one, two = 1, 2\n" + "print(1)\n" * 20), "compute: 21 lines, at most 20"),
    "long figure cell": (replace("draw", "ax.step", "print()\n" * 22 + "ax.step"), "draw: 25 lines, at most 24"),
    "wide line": (replace("compute", "print(one)", "print(one)  # " + "x" * 63), "compute: line 2 (77 columns)"),
    "wide Chinese": (replace("compute", "print(one)", "print(one)  # " + "注" * 32), "compute: line 2 (78 columns)"),
    "shell": (replace("compute", "print(one)", "!ls"), "compute: '!ls' is shell or magic"),
    "pip": (replace("compute", "print(one)", "%pip install x"), "compute: '%pip install x' is shell or magic"),
    "syntax": (replace("compute", "print(one)", "print(one"), "compute: line 2 does not parse"),
    "silent warning": (
        set_source("compute", 'import warnings\n\nwarnings.filterwarnings("ignore")\none, two = 1, 2'),
        "compute: a silenced warning has its reason",
    ),
    # prose
    "unknown stage": (set_source("summary", "## Recap"), "summary: unknown stage 'Recap'"),
    "missing stage": (set_source("sources", "**Sources**"), "notebook: no heading '## Sources'"),
    "stage without finding": (set_source("section-1", "## Verify"), "section-1: '## Verify · …' says what"),
    "wrong order": (
        lambda b: (set_source("section-0", "## Measure · x")(b), set_source("section-2", "## Build · x")(b)),
        "notebook: headings come as Why it matters, Measure, Verify, Build",
    ),
    "hype": (replace("summary", "## Summary", "## Summary\nA powerful idea"), "summary: 'powerful' is hype"),
    "dead link": (
        replace("summary", "## Summary", "## Summary\n[x](day99_x.ipynb)"),
        "the link day99_x.ipynb leads no",
    ),
    "few words": (set_source("why", "## Why it matters"), "notebook: note: "),
    # figures
    "figure without tag": (tags("draw"), "draw: a cell that calls plots.show is tagged"),
    "figure tag without figure": (tags("compute", "figure"), "compute: a cell that calls plots.show is tagged"),
    "no alt": (replace("draw", ', alt="what is seen, in words"', ""), "draw: plots.show(fig, alt=…) says"),
    "short alt": (replace("draw", "what is seen, in words", "a plot"), "draw: plots.show(fig, alt=…) says"),
    "three figures": (replace("draw", "ax.step", "plots.figure()\nplots.figure()\nax.step"), "draw: a cell shows one"),
    "wide and half": (replace("draw", "ax.step", "plots.figure(wide=True)\nax.step"), "draw: a cell shows one wide"),
    "training while drawing": (
        replace("draw", "ax.step", "loss.backward()\nax.step"),
        "draw: a figure cell only draws",
    ),
    "claim while drawing": (replace("draw", "ax.step", 'claim("c", "", True)\nax.step'), "draw: a figure cell only"),
    # claims
    "claim without tag": (tags("claim-one"), "claim-one: a cell that calls claim is tagged"),
    "claim tag without claim": (tags("compute", "claim"), "compute: a cell that calls claim is tagged"),
    "loop in a claim": (
        replace("claim-one", "claim(", "for _ in [1]:\n    claim("),
        "claim-one: a claim cell only claims",
    ),
    "no range": (replace("claim-one", "# range over five seeds: 1 to 1", "# well"), "claim-one: no '# range over"),
    "no breaking edit": (
        replace("claim-two", "# fails if two is odd", "# well"),
        "claim-two: no '# breaks if",
    ),
    "comments of the neighbour": (
        replace("claim-one", 'claim("a"', 'claim("c", "", True)\nclaim("a"'),
        "claim-one: no '# range over",
    ),
    "comment inside a string": (
        replace("claim-two", '# exact: 2\n# fails if two is odd\nclaim("b"', 'claim("# exact, breaks if"'),
        "claim-two: no '# range over",
    ),
    "the same claim twice": (replace("claim-two", '"b"', '"a"'), "claim-two: two claims say 'a'"),
    "one claim": (drop("claim-two"), "notebook: 1 claims: a lesson makes two to six"),
    "seven claims": (
        after(
            "claim-two",
            *(code(f"claim-more{i}", f'# exact, breaks if\nclaim("{i}", "", True)', "claim") for i in range(5)),
        ),
        "notebook: 7 claims",
    ),
    # exercises
    "two exercises": (drop(*(f"third-{part}" for part in ("task", "stub", "check", "solution"))), "2 whole exercises"),
    "no task": (drop("first-task", "exercises"), "first-stub: the task stands in a markdown cell"),
    "stub that works": (replace("first-stub", "raise NotImplementedError", "return 0"), "first-stub: a stub is one"),
    "stub of two": (
        replace("first-stub", "def first", "def other(x):\n    pass\n\ndef first"),
        "first-stub: a stub is one",
    ),
    "check without tag": (tags("first-check"), "first-check: the cell after the stub is check(first)"),
    "check of another": (replace("first-check", "first", "second"), "first-check: the cell after the stub is"),
    "check missing": (drop("first-check"), "first-solution: the cell after the stub is check(first)"),
    "solution of another name": (
        replace("first-solution", "def first", "def best"),
        "first-solution: the cell after check(first), tagged",
    ),
    "solution before the check": (
        replace("first-solution", "\n\ncheck(first)", "\n\ncheck(first)\nprint(1)"),
        "first-solution: the cell after check(first), tagged",
    ),
    "solution in the open": (
        lambda b: find(b, "first-solution")["metadata"].pop("jupyter"),
        "first-solution: a solution is folded",
    ),
    "stray check": (after("compute", code("stray", "check(len)", "check")), "stray: the order is task, stub"),
    "exercise used later": (
        after("third-solution", code("later", "print(first(1))")),
        "later: uses the exercise first",
    ),
    "exercise defined before": (
        replace("compute", "one, two", "first = 0\none, two"),
        "compute: uses the exercise first",
    ),
    # the notebook
    "no budget": (about("budget", 45), "notebook: metadata.lesson has budget"),
    "no minutes": (about("read", 0), "notebook: metadata.lesson has budget"),
    "alone, but not true": (about("alone", 1), "notebook: metadata.lesson has budget"),
    "no list of needs": (about("needs", ""), "notebook: metadata.lesson has budget"),
    "old format": (lambda b: b.update(nbformat_minor=4), "notebook: is not nbformat 4.5"),
    "requests": (replace("compute", "one, two", "import requests\n\none, two"), "compute: imports requests: data"),
    "urllib": (
        replace("compute", "one, two", "from urllib.request import urlopen\n\none, two"),
        "imports urllib.request: data",
    ),
    "ruff": (replace("compute", "one, two", "import os\n\none, two"), "compute: ruff F401 in line 1: `os` imported"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_lesson_is_told_so(tmp_path, fault, monkeypatch):
    edit, expected = BROKEN[fault]
    if fault != "ruff":
        monkeypatch.setattr(lint, "_ruff", lambda *_: [])  # 0.1 s each, seen by its own test
    book = copy.deepcopy(lesson())
    edit(book)
    found = faults(tmp_path, book)
    assert any(expected in line for line in found), found
    assert all(line.startswith("day07 ") for line in found)


def test_allowed_things_are_not_faults(tmp_path):
    book = lesson()
    book["metadata"]["lesson"]["needs"] = ["triton"]
    replace("compute", "one, two", "import urllib.request\n\nprint(urllib.request)\none, two")(book)
    replace("setup", "from", 'import warnings\n\nwarnings.filterwarnings("ignore")  # its own reason\nfrom')(book)
    set_source("summary", "## Where it breaks · here\n\n```\n## Not a heading [x](nowhere.md)\n```\n\n## Summary")(book)
    set_source("sources", "## Sources\n\n[a](https://a.org) [b](#sources) `powerful`")(book)
    after("opening", code("colab", "%pip install llm90-helpers", "colab"))(book)
    replace("draw", "fig, ax", "other, _ = plots.figure()\nfig, ax")(book)
    assert faults(tmp_path, book) == []


def test_a_project_has_its_own_spine(tmp_path):
    book = lesson(28)
    assert any("unknown stage 'Build'" in line for line in faults(tmp_path, book, 28))
    for i, stage in enumerate(("Brief", "Acceptance", "Work\n\n## Report")):
        set_source(f"section-{i}", f"## {stage}")(book)
    assert faults(tmp_path, book, 28) == []


def test_noisy_json_and_no_json(tmp_path):
    assert any("(noisy diffs)" in line for line in faults(tmp_path, lesson(), dump=json.dumps))
    one = catalog.lesson(tmp_path, Path(FOLDER) / "day07_title.ipynb")
    (tmp_path / one.path).write_text("{")
    assert [line for line in lint.check(tmp_path, [one]) if "ruff" not in line][0].startswith(
        "day07 notebook: cannot be"
    )


def test_the_executed_copy_shows_no_repr_and_no_warning(tmp_path):
    book = lesson()
    raw = find(book, "compute")
    number = {"output_type": "execute_result", "data": {"text/plain": "np.float64(0.5)"}}
    warning = {"output_type": "stream", "name": "stderr", "text": ["x.py:1: UserWarning: no\n"]}
    executed = {**book, "cells": [{**raw, "outputs": [number, warning]}]}
    place = tmp_path / "outputs/phase1_foundations/day07_title.ipynb"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(executed))
    found = faults(tmp_path, book)
    assert [line.split(":")[1] for line in found] == [
        " the page shows np.float64(…) or the like",
        " the page shows a warning",
    ]


def test_notes_are_told_from_faults(tmp_path):
    book = lesson()
    set_source("why", "## Why it matters")(book)
    (line,) = faults(tmp_path, book)
    assert line == "day07 notebook: note: 27 words of prose, 2,000 to 2,500 are usual"


def test_ninety_lessons_take_seconds(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    every = []
    for day in range(1, 91):
        book = lesson(day)
        for i in range(40):
            book["cells"].insert(8, code(f"compute-more{i}", "one, two = 1, 2\nprint(one)\n" * 8))
        path = folder / f"day{day:02d}_title.ipynb"
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")
        every.append(catalog.lesson(tmp_path, path.relative_to(tmp_path)))
    start = time.process_time()
    lint.check(tmp_path, every)
    assert time.process_time() - start < 5
