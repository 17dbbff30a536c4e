"""The front page: the line of the last run, the three doors, the grid of ninety days, what was measured."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import date
from pathlib import Path
from typing import Any

import book_ledger
import book_marks as marks
import book_plan
from book_cells import figure_image
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from helpers.runner import catalog, outputs


def raw(text: str) -> nodes.raw:
    """HTML as it is."""
    return nodes.raw("", text, format="html")


class Part(SphinxDirective):
    """``{part} Title``: a heading of the second level with its text, outside the order of the page's sections."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {"class": directives.class_option, "tag": directives.unchanged, "note": directives.unchanged}
    level = 2

    def run(self) -> list[nodes.Node]:
        """Opening tag and heading, the parsed text, closing tag."""
        title, tag = self.arguments[0], self.options.get("tag", "section")
        classes = " ".join(self.options.get("class", []))
        place = nodes.make_id(title)
        body = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, body)
        head = f'<h{self.level} id="{place}">{marks.esc(title)}</h{self.level}>'
        return [raw(f'<{tag} class="{classes}" aria-labelledby="{place}">{head}'), *body.children, raw(f"</{tag}>")]


class Milestone(SphinxDirective):
    """``{milestone} 27-30 An LSTM that forecasts``: one thing the reader will build, and when."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """One item of the list of steps."""
        days, title = self.arguments[0].split(" ", 1)
        phase = book_plan.load(self.env.srcdir).day(int(days.split("-")[0])).phase
        body = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, body)
        head = f'<p class="d">Days {days.replace("-", "–")}</p><h3>{marks.esc(title)}</h3>'
        return [raw(f'<div class="step ph{phase}">{head}'), *body.children, raw("</div>")]


class LastRun(SphinxDirective):
    """``{last-run}``: how many lessons ran, how many claims hold, from the ledger."""

    def run(self) -> list[nodes.Node]:
        """Two lines of numbers, none of them typed."""
        table = book_ledger.table(self.env)
        ran = [one for one in table["lessons"] if one["provenance"] and one["state"] != "stale"]
        counts = book_ledger.count(table)
        if not ran:
            return [raw('<p class="night">No lesson has run yet.</p>')]
        last = max(one["provenance"]["finished"] for one in ran)[:10]
        day = date.fromisoformat(last)
        parts = [f"{counts['holds']} claim{'s hold' if counts['holds'] != 1 else ' holds'}"]
        if counts["fails"]:
            parts.append(f'<a href="results.html#fails">{counts["fails"]} fail{"s" * (counts["fails"] == 1)}</a>')
        stale = sum(one["measured"] == book_ledger.STALE for one in table["claims"])
        if counts["not-run"] > stale:
            parts.append(f"{counts['not-run'] - stale} not run here")
        if stale:
            parts.append(f"{stale} stale")
        return [
            raw(
                f'<p class="night"><b>Last run, {day.day} {day:%b %Y}</b> · {len(ran)} of 90 lessons ran<br>'
                f"{' · '.join(parts)}</p>"
            )
        ]


class Doors(SphinxDirective):
    """``{start-here}``: where to go on reading; the script turns it into "continue with day 54"."""

    def run(self) -> list[nodes.Node]:
        """A link to the first lesson that is finished."""
        finished = book_plan.load(self.env.srcdir).finished
        if not finished:
            return [raw('<p class="do">The first lesson is being written.</p>')]
        first = finished[0]
        return [
            raw(
                f'<p class="do"><a id="continue" href="../{first.docname}.html">Start with day {first.number}</a>'
                f'<span id="restart" hidden> or <a href="../{first.docname}.html">start at day {first.number}</a>'
                "</span></p>"
            )
        ]


class Grid(SphinxDirective):
    """``{ninety-days}``: one square a day; done days come from the reader's browser."""

    def run(self) -> list[nodes.Node]:
        """Three rows of thirty, in their sections."""
        self.env.note_dependency(str(Path(self.env.srcdir) / "_toc.yml"))
        self.env.note_dependency(str(Path(self.env.srcdir) / "book/plan.yml"))
        plan = book_plan.load(self.env.srcdir)
        ran = {one["day"]: one for one in book_ledger.table(self.env)["lessons"]}
        about = {day.number: self._about(day, ran.get(day.number)) for day in plan.days}
        head = (
            '<header><h2 id="ninety">Ninety days</h2>'
            '<p id="count"><b>0 of 90</b> done, kept in this browser</p>'
            '<div class="io"><button class="btn sm" type="button" id="export">Export</button>'
            '<button class="btn sm" type="button" id="import">Import</button>'
            '<input type="file" id="file" accept="application/json" hidden></div><span class="sp"></span>'
            '<ul class="legend"><li><span class="sw full"></span>done</li><li><span class="sw today"></span>today</li>'
            '<li><span class="sw"></span>unread</li></ul></header>'
        )
        rows = "".join(self._phase(phase, about) for phase in plan.phases)
        return [raw(f'<section class="band" aria-labelledby="ninety" id="grid">{head}{rows}</section>')]

    def _phase(self, phase: book_plan.Phase, about: dict[int, str]) -> str:
        groups = []
        for name, days in phase.sections:
            cells = "".join(self._cell(day, about[day.number]) for day in days)
            project = " proj" if name.startswith("Project") else ""
            groups.append(
                f'<li class="grp{project}" style="--n:{len(days)}"><ol>{cells}</ol>'
                f'<span class="gl">{marks.esc(name)}</span></li>'
            )
        return (
            f'<div class="phase ph{phase.number}"><h3><a href="phase{phase.number}.html"><b>Phase {phase.number}</b> '
            f'{marks.esc(phase.name)}</a><span class="n" data-of="{phase.number}"></span></h3>'
            f'<ul class="strip">{"".join(groups)}</ul></div>'
        )

    def _cell(self, day: book_plan.Day, about: str) -> str:
        title = marks.esc(day.title)
        tip = f'<span class="tip" aria-hidden="true"><b>{title}</b>{about}</span>'
        if not day.docname:
            words = f'<span class="vh">: {title}, not written yet</span>'
            return f'<li><span class="day none">{day.two}{words}{tip}</span></li>'
        return (
            f'<li><a class="day" data-day="{day.number}" href="../{day.docname}.html" '
            f'aria-label="Day {day.two}: {title}, unread">{day.two}{tip}</a></li>'
        )

    def _about(self, day: book_plan.Day, ran: dict[str, Any] | None) -> str:
        if not day.docname or ran is None:
            return "not written yet"
        lesson = catalog.lesson(Path(self.env.srcdir), Path(f"{day.docname}.ipynb"))
        minutes = lesson.read + lesson.work
        parts = [marks.hours(minutes).removeprefix("≈ ")] if minutes else []
        if ran["provenance"]:
            parts.append(marks.machine(ran["provenance"]))
        return marks.esc(" · ".join(parts))


class Measured(SphinxDirective):
    """``{measured}``: lines ``33.5 cell-id:2`` show that claim and that cell's second figure, as they were run."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The figures whose lesson is finished and whose claim was measured."""
        claims = {one["number"]: one for one in book_ledger.table(self.env)["claims"]}
        shown: list[nodes.Node] = []
        for line in self.content:
            if not line.strip():
                continue
            number, cell_id = line.split()
            claim = claims.get(number)
            if claim is None or claim["status"] == "not-run":
                continue
            image = self._figure(claim["lesson"], cell_id)
            if image is None:
                continue
            day = book_plan.load(self.env.srcdir).day(claim["lesson"])
            shown += [
                raw(f'<figure class="ph{day.phase}"><div class="figs">'),
                image,
                raw(
                    f"</div><figcaption>{marks.esc(claim['text'].rstrip('.'))}: <b>{marks.esc(claim['measured'])}</b>."
                    f'</figcaption><p class="pv"><a href="../{claim["link"]}">Day {day.number}</a> · '
                    f"{marks.esc(marks.machine(claim))} · {marks.esc(claim['date'])}</p></figure>"
                ),
            ]
        if not shown:
            return []
        total = len(claims)
        return [
            raw(
                '<section class="band" aria-labelledby="measured"><header><h2 id="measured">Measured</h2>'
                f'<span class="sp"></span><p><a href="results.html">All {total} claims</a></p></header>'
                '<div class="meas">'
            ),
            *shown,
            raw("</div></section>"),
        ]

    def _figure(self, number: int, cell_id: str) -> figure_image | None:
        root = Path(self.env.srcdir)
        day = book_plan.load(root).day(number)
        copy = outputs.read(root, catalog.lesson(root, Path(f"{day.docname}.ipynb"))) if day.docname else None
        cell_id, _, which = cell_id.partition(":")
        kinds = (("image/svg+xml", ".svg"), ("image/png", ".png"))
        found = [
            (mime, ending, out)
            for cell in (outputs.code_cells(copy) if copy else ())
            if cell.get("id") == cell_id
            for out in cell.get("outputs", [])
            for mime, ending in kinds
            if mime in out.get("data", {})
        ]
        place = int(which or 1)
        return self._image(*found[place - 1]) if len(found) >= place else None

    def _image(self, mime: str, ending: str, out: dict[str, Any]) -> figure_image:
        content = "".join(out["data"][mime])
        data = content.encode() if ending == ".svg" else base64.b64decode(content)
        place = Path(self.env.doctreedir).parent / "figures" / (hashlib.sha256(data).hexdigest()[:16] + ending)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(data)
        about = out.get("metadata", {}).get("figure", {})
        here = Path(self.env.doc2path(self.env.docname)).parent
        node = figure_image(uri=os.path.relpath(place, here))
        node["alt"] = about.get("alt", "")
        node["figure"] = {"alt": node["alt"], "photo": about.get("photo", False), "width": 0, "height": 0}
        return node


def setup(app: Any) -> None:
    """Register the directives."""
    for name, directive in (
        ("part", Part),
        ("milestone", Milestone),
        ("last-run", LastRun),
        ("start-here", Doors),
        ("ninety-days", Grid),
        ("measured", Measured),
    ):
        app.add_directive(name, directive)
