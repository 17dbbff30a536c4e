"""Lists that pages make of files: the days of a phase, and where data and weights come from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import book_marks as marks
import book_plan
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

SOURCES = "helpers/sources/sources.toml"


class PhaseDays(SphinxDirective):
    """``{phase-days} 2``: the days of a phase by section, with what each finished lesson promises."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One list a section. Promises are filled in when the page is written: all lessons are read by then."""
        root = Path(self.env.srcdir)
        for name in ("_toc.yml", "book/plan.yml"):
            self.env.note_dependency(str(root / name))
        phase = book_plan.load(root).phases[int(self.arguments[0]) - 1]
        parts = []
        for name, days in phase.sections:
            rows = "".join(self._row(day) for day in days)
            parts.append(f'<h2 id="{nodes.make_id(name)}">{marks.esc(name)}</h2><ol class="days">{rows}</ol>')
        return [nodes.raw("", f'<div class="ph{phase.number}">{"".join(parts)}</div>', format="html")]

    def _row(self, day: book_plan.Day) -> str:
        title = marks.esc(day.title)
        if not day.docname:
            words = f"<span>{title}<i>not written yet</i></span>"
            return f'<li class="none"><span class="num">{day.two}</span> {words}</li>'
        return (
            f'<li data-day="{day.number}"><span class="num">{day.two}</span> <span><a href="../{day.docname}.html">'
            f"{title}</a><i>@@DECK {day.docname}@@</i></span></li>"
        )


class DataTable(SphinxDirective):
    """``{data-table}``: what ``helpers`` loads, with origin and licence, from its own list."""

    def run(self) -> list[nodes.Node]:
        """One row a key."""
        path = Path(self.env.srcdir) / SOURCES
        self.env.note_dependency(str(path))
        plan = book_plan.load(self.env.srcdir)
        rows = []
        for key, one in tomllib.loads(path.read_text(encoding="utf-8")).items():
            link = f'<a href="{marks.esc(one["licence_url"])}">{marks.esc(one["licence"])}</a>'
            rows.append(
                f'<tr id="data-{marks.esc(key)}"><td><code>{marks.esc(key)}</code></td><td>{marks.esc(one["what"])}'
                f"<br><small>{marks.esc(one['size'])}</small></td><td>{marks.esc(one['origin'])}</td>"
                f"<td>{link if one.get('licence_url') else marks.esc(one['licence'])}</td>"
                f"<td>{self._days(plan, one.get('days', []))}</td></tr>"
            )
        head = "".join(f"<th>{name}</th>" for name in ("Key", "What", "From", "Licence", "Days"))
        table = f'<table class="data"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        return [nodes.raw("", table, format="html")]

    def _days(self, plan: book_plan.Plan, numbers: list[int]) -> str:
        words = []
        for number in numbers:
            day = plan.day(number)
            words.append(f'<a href="../{day.docname}.html">{day.two}</a>' if day.docname else day.two)
        return ", ".join(words)


def setup(app: Any) -> None:
    """Register the directives."""
    app.add_directive("phase-days", PhaseDays)
    app.add_directive("data-table", DataTable)
