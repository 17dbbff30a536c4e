"""The career pages: interview questions of all lessons, the reader's own words, exams, papers to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import book_marks as marks
import book_plan
import book_prose
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

LIST = "book/career.yml"
INTERVIEW = "book/interview"


def raw(text: str) -> nodes.raw:
    """HTML as it is."""
    return nodes.raw("", text, format="html")


def lesson_link(day: book_plan.Day, words: str, place: str = "") -> str:
    """A link to a lesson; words only while it is not finished."""
    if not day.docname:
        return f"<span>{words}</span>"
    return f'<a href="../{day.docname}.html{place}">{words}</a>'


class Lists(SphinxDirective):
    """What the directives share: the plan, the list of exams and papers, Markdown inside HTML."""

    @property
    def root(self) -> Path:
        """The repository."""
        return Path(self.env.srcdir)

    def read(self, name: str) -> list[dict[str, Any]]:
        """One list of ``book/career.yml``."""
        self.env.note_dependency(str(self.root / LIST))
        found: list[dict[str, Any]] = yaml.safe_load((self.root / LIST).read_text(encoding="utf-8"))[name]
        return found

    def markdown(self, text: str, plan: book_plan.Plan) -> list[nodes.Node]:
        """A lesson's Markdown as nodes of this page."""
        box = nodes.container()
        lines = book_prose.links(text, plan).splitlines()
        self.state.nested_parse(StringList(lines, source=self.env.docname), 0, box)  # type: ignore[no-untyped-call]
        return list(box.children)


class Interview(Lists):
    """``{interview-questions}``: every question, by section of the plan, its answer folded."""

    def run(self) -> list[nodes.Node]:
        """Sections, so that the page's contents list them."""
        plan = book_plan.load(self.root)
        sections: list[nodes.Node] = []
        total = 0
        for phase in plan.phases:
            for name, days in phase.sections:
                asked = [(day, question) for day in days if day.docname for question in self._of(day)]
                if asked:
                    total += len(asked)
                    sections.append(self._section(name, phase.number, asked, plan))
        if not total:
            return [raw('<p class="hint">No finished lesson has interview questions yet.</p>')]
        head = (
            f'<p class="pick"><b>{total}</b> questions'
            '<button class="btn" type="button" id="draw" hidden>Draw five</button>'
            '<button class="btn" type="button" id="all" hidden>Show all</button></p>'
        )
        return [raw(head), *sections]

    def _of(self, day: book_plan.Day) -> list[tuple[str, str]]:
        self.env.note_dependency(str(self.root / f"{day.docname}.ipynb"))
        return book_prose.questions(self.root, day)

    def _section(
        self, name: str, phase: int, asked: list[tuple[book_plan.Day, tuple[str, str]]], plan: book_plan.Plan
    ) -> nodes.section:
        place = nodes.make_id(name)
        section = nodes.section("", nodes.title("", name), ids=[place], names=[place], classes=[f"ph{phase}"])
        for day, (question, answer) in asked:
            section += raw(f'<details class="q"><summary>{question}</summary>')
            section += self.markdown(answer, plan)
            link = lesson_link(day, f"Day {day.two}, {marks.esc(day.title)}", "#interview-corner")
            section += raw(f'<p class="from">{link}</p></details>')
        return section


class OwnWords(Lists):
    """``{own-words}``: each lesson's prompt with the field that its page has, kept in the same place."""

    def run(self) -> list[nodes.Node]:
        """Prompts in the order of the days, then a log for everything else."""
        plan = book_plan.load(self.root)
        shown: list[nodes.Node] = []
        for day in plan.finished:
            self.env.note_dependency(str(self.root / f"{day.docname}.ipynb"))
            prompt = book_prose.parts(self.root, day).get("In your own words")
            if not prompt:
                continue
            title = nodes.title("", f"Day {day.two} · {day.title}")
            place = f"day-{day.number}"
            section = nodes.section("", title, ids=[place], names=[place], classes=["say", f"ph{day.phase}"])
            section += self.markdown(prompt, plan)
            section += raw(
                f'<textarea data-keep="say-{day.number}" aria-label="Your explanation of day {day.number}" rows="5">'
                f'</textarea><p class="hint">{lesson_link(day, "To the lesson")}</p>'
            )
            shown.append(section)
        return shown or [raw('<p class="hint">No finished lesson asks for your own words yet.</p>')]


class Papers(Lists):
    """``{reading-plan}``: one paper after another, each when it can be read."""

    def run(self) -> list[nodes.Node]:
        """An ordered list with boxes to tick, kept in the browser."""
        plan = book_plan.load(self.root)
        rows = []
        for one in sorted(self.read("papers"), key=lambda one: one["after"]):
            day = plan.day(one["after"])
            place = nodes.make_id(one["url"].split("/", 3)[-1])
            after = lesson_link(day, f"after day {day.two}, {marks.esc(day.title)}")
            rows.append(
                f'<li class="ph{day.phase}"><label><input type="checkbox" data-tick="paper-{place}">'
                f'<span class="vh">Read: {marks.esc(one["words"])}</span></label>'
                f'<div><a href="{marks.esc(one["url"])}">{marks.esc(one["words"])}</a>'
                f'<p>{marks.esc(one["ask"])}</p><p class="after">{after}</p></div></li>'
            )
        return [raw(f'<p class="count" id="ticked">{len(rows)} papers</p><ul class="reading">{"".join(rows)}</ul>')]


class Projects(Lists):
    """``{projects}``: the days of the three projects."""

    def run(self) -> list[nodes.Node]:
        """One line a project."""
        self.env.note_dependency(str(self.root / "_toc.yml"))
        rows = []
        for phase in book_plan.load(self.root).phases:
            for name, days in phase.sections:
                if name.startswith("Project"):
                    links = ", ".join(lesson_link(day, f"{day.two} {marks.esc(day.title)}") for day in days)
                    rows.append(f'<li class="ph{phase.number}">{links}</li>')
        return [raw(f"<ul>{''.join(rows)}</ul>")]


class Certificates(Lists):
    """``{certificates}``: what an exam asks and which days teach it."""

    def run(self) -> list[nodes.Node]:
        """One table an exam, and what the book does not teach of it."""
        plan = book_plan.load(self.root)
        self.env.note_dependency(str(self.root / "_toc.yml"))
        shown: list[nodes.Node] = []
        for one in self.read("certificates"):
            rows = []
            for area in one["areas"]:
                days = [plan.day(number) for number in sorted(area["days"])]
                links = ", ".join(lesson_link(day, f"{day.two} {marks.esc(day.title)}") for day in days)
                rows.append(f"<tr><td>{marks.esc(area['area'])}</td><td>{links}</td></tr>")
            name, place = one["name"], nodes.make_id(one["name"])
            shown.append(
                raw(
                    f'<h3 id="{place}">{marks.esc(name)}</h3><p class="form"><a href="{marks.esc(one["url"])}">'
                    f'Official page</a> · {marks.esc(one["form"])}</p><table class="exam"><thead><tr><th>Area</th>'
                    f"<th>Days</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
                    f'<p class="form"><b>Not in this book:</b> {marks.esc(one["missing"])}.</p>'
                )
            )
        return shown


def setup(app: Any) -> None:
    """Register the directives."""
    for name, directive in (
        ("interview-questions", Interview),
        ("own-words", OwnWords),
        ("reading-plan", Papers),
        ("certificates", Certificates),
        ("projects", Projects),
    ):
        app.add_directive(name, directive)
