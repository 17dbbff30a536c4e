"""The plan of ninety days, the glossary, and the finished lessons say the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from helpers.runner import catalog

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book/_ext"))

import book_plan  # noqa: E402
import book_terms  # noqa: E402

PLAN = book_plan.load(ROOT)


def test_ninety_days_in_three_phases_of_thirty() -> None:
    assert [day.number for day in PLAN.days] == list(range(1, 91))
    assert [len(phase.days) for phase in PLAN.phases] == [30, 30, 30]
    assert len({day.slug for day in PLAN.days}) == 90


def test_titles_fit_beside_their_number() -> None:
    assert not [day.title for day in PLAN.days if len(day.title) > 31]


@pytest.mark.parametrize("lesson", catalog.lessons(ROOT), ids=lambda one: f"day{one.day:02d}")
def test_a_finished_lesson_has_the_plans_name_title_and_place(lesson: catalog.Lesson) -> None:
    day = PLAN.day(lesson.day)
    assert (lesson.slug, lesson.title, lesson.phase) == (day.slug, day.title, day.phase), "mend book/plan.yml"
    assert lesson.path.parent.name == PLAN.phases[day.phase - 1].folder
    assert day.docname == lesson.path.with_suffix("").as_posix()


def test_the_table_of_contents_keeps_the_order_of_the_days() -> None:
    days = [lesson.day for lesson in catalog.lessons(ROOT)]
    assert days == sorted(set(days))


def test_every_term_is_defined_once_with_its_chinese_word() -> None:
    terms = yaml.safe_load((ROOT / "book/glossary.yml").read_text(encoding="utf-8"))
    assert len(terms) >= 150
    spellings = [word.casefold() for one in terms for word in (one["term"], *one.get("also", ()))]
    assert len(spellings) == len(set(spellings))
    for one in terms:
        assert set(one) <= {"term", "zh", "also", "day", "says", "common"}, one["term"]
        assert re.search(r"[\u4e00-\u9fff]", one["zh"]) or one["term"] == "Triton", one["term"]
        assert one["says"].endswith(".") and 30 <= len(one["says"]) <= 300, one["term"]
        assert 1 <= one.get("day", 1) <= 90, one["term"]
    places = [book_terms.anchor(one["term"]) for one in terms]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("lesson", catalog.lessons(ROOT), ids=lambda one: f"day{one.day:02d}")
def test_a_term_given_with_its_chinese_word_is_in_the_glossary(lesson: catalog.Lesson) -> None:
    known = book_terms.names(book_terms.load(ROOT / "book/glossary.yml"))
    cells = catalog.read_notebook(ROOT / lesson.path)["cells"]
    prose = "\n".join(catalog.text(cell) for cell in cells if cell["cell_type"] == "markdown")
    given = re.findall(r"\*\*([^*]+)\*\*\s*[(（][^()（）]*[\u4e00-\u9fff]", prose)
    assert not [term for term in given if term.casefold() not in known], "add them to book/glossary.yml"
