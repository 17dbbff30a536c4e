"""What the runs found, as two pages: Results, a row for every claim, and Status, a row for every day.

The data come from ``helpers.runner.ledger.collect``; nothing is typed by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import book_history
import book_marks as marks
import book_plan
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from helpers.runner import ledger

# Pages that show the ledger or gather from the lessons are read again at every build.
PAGES = tuple(
    f"book/{name}" for name in ("index", "results", "status", "hardware", "references", "interview", "feynman")
)
STALE = "stale: the code has changed since"
WORD = {"holds": "Holds", "fails": "Fails", "not-run": "Not run"}


def table(env: Any) -> ledger.Ledger:
    """The ledger, collected once a build. Claims of a stale lesson count as not run: its code has changed."""
    app = env.app
    if getattr(app, "llm90_ledger", None) is None:
        found = ledger.collect(Path(env.srcdir))
        stale = {one["day"] for one in found["lessons"] if one["state"] == "stale"}
        for claim in found["claims"]:
            if claim["lesson"] in stale:
                page = claim["link"].split("#")[0]  # it shows no claims until it has run again
                claim.update(status="not-run", measured=STALE, link=page)
        app.llm90_ledger = found
    kept: ledger.Ledger = app.llm90_ledger
    return kept


def count(found: ledger.Ledger) -> dict[str, int]:
    """How many claims hold, fail, were not run."""
    return {status: sum(one["status"] == status for one in found["claims"]) for status in WORD}


class Results(SphinxDirective):
    """``{results}``: the squares, the filters and the table of all claims."""

    def run(self) -> list[nodes.Node]:
        """Static HTML; ``ledger.js`` only hides rows."""
        found, plan = table(self.env), book_plan.load(self.env.srcdir)
        if not found["claims"]:
            return [_raw("<p>No claim has been measured yet.</p>")]
        head = "".join(f"<th>{name}</th>" for name in ("Claim", "Measured", "Lesson", "Device", "Checked"))
        rows = "".join(_claim_row(one, plan) for one in found["claims"])
        return [
            _raw(
                f"{_squares(found['claims'], plan)}{_filters(found)}"
                f'<table class="led"><thead><tr><th><span class="vh">State</span></th>{head}</tr></thead>'
                f'<tbody>{rows}</tbody></table><p class="none" hidden>No claim matches.</p>'
            )
        ]


class Status(SphinxDirective):
    """``{status}``: ninety rows, what ran where and when."""

    def run(self) -> list[nodes.Node]:
        """One row a day, in the order of the book; the heads sort."""
        found, plan = table(self.env), book_plan.load(self.env.srcdir)
        ran = {one["day"]: one for one in found["lessons"]}
        names = ("Day", "Lesson", "State", "Device", "Took", "Runs", "Date", "Claims", "Exercises", "Key")
        head = "".join(
            f'<th><button type="button" data-sort="{i}">{name}</button></th>' for i, name in enumerate(names)
        )
        runs = book_history.load(Path(self.env.srcdir))
        rows = "".join(
            _day_row(day, ran.get(day.number), book_history.spark(book_history.of_day(runs, day.number)))
            for day in plan.days
        )
        states = [_state(ran.get(day.number)) for day in plan.days]
        words = [f"<b>{states.count(state)}</b> {word}" for state, word in STATES.items() if states.count(state)]
        return [
            _raw(
                f'<p class="night">{" · ".join(words)}</p>'
                f'<table class="led stat"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
            )
        ]


STATES = {
    "passed": "verified",
    "to re-run": "verified, helpers changed since",
    "failed": "failed",
    "stale": "stale",
    "missing": "not run",
    "planned": "not written yet",
}
MARK = {"passed": "holds", "to re-run": "holds", "failed": "fails", "stale": "fails"}


def _state(lesson: dict[str, Any] | None) -> str:
    if lesson is None:
        return "planned"
    if lesson["state"] in ("stale", "missing"):
        return str(lesson["state"])
    if not lesson["passed"]:
        return "failed"
    return "to re-run" if lesson["state"] == "to re-run" else "passed"


def _day_row(day: book_plan.Day, lesson: dict[str, Any] | None, spark: str) -> str:
    state = _state(lesson)
    name = marks.esc(day.title)
    link = f'<a href="../{day.docname}.html">{name}</a>' if day.docname else name
    square = marks.mark(MARK.get(state, "not-run")) if state != "planned" else marks.mark("none")
    cells = [
        f'<td class="num">{day.two}</td><td class="t">{link}</td>',
        f'<td class="s" data-v="{list(STATES).index(state)}">{square}<span>{STATES[state]}</span></td>',
    ]
    made = lesson["provenance"] if lesson else {}
    if lesson and made:
        tried = lesson["exercises"]["passed"] + lesson["exercises"]["other"]
        cells += [
            f'<td class="m" data-k="Device">{marks.esc(marks.machine(made))}</td>',
            f'<td class="m" data-k="Took" data-v="{made["seconds"]}">{marks.duration(float(made["seconds"]))}</td>',
            f'<td class="m" data-k="Runs">{spark}</td>' if spark else "<td></td>",
            f'<td class="m" data-k="Date">{marks.esc(made["finished"][:10])}</td>',
            f'<td data-k="Claims" data-v="{sum(lesson["claims"].values())}">{marks.tally(lesson["claims"])}</td>',
            f'<td class="m" data-k="Exercises" data-v="{tried}">{lesson["exercises"]["passed"]} of {tried}</td>',
            f'<td class="m" data-k="Key" title="{marks.esc(made["key"])}">{marks.esc(made["key"][:8])}</td>',
        ]
    else:
        cells.append("<td></td>" * 7)
    faults = "; ".join(lesson["faults"]) if lesson else ""
    tip = f' title="{marks.esc(faults)}"' if faults else ""
    return f'<tr class="ph{day.phase} {state.replace(" ", "-")}" id="day-{day.number}"{tip}>{"".join(cells)}</tr>'


def _claim_row(one: dict[str, Any], plan: book_plan.Plan) -> str:
    day, status = plan.day(one["lesson"]), one["status"]
    device = "gpu" if (one["profile"] or "cpu") != "cpu" else "cpu"
    measured = one["measured"]
    if status == "not-run" and one.get("needs"):
        measured = f"needs {one['needs']}"
    return (
        f'<tr class="{status} ph{day.phase}" data-status="{status}" data-phase="{day.phase}" data-device="{device}">'
        f'<td class="mkc">{marks.mark(status)}<span class="vh">{WORD[status]}</span></td>'
        f'<td class="c">{marks.esc(one["text"])}</td><td class="m">{marks.figures(measured)}</td>'
        f'<td class="dy"><a href="../{marks.esc(one["link"])}"><span class="num">{one["number"]}</span>'
        f"<span>{marks.esc(day.title)}</span></a></td>"
        f'<td class="dv">{marks.esc(marks.machine(one) if status != "not-run" else "–")}</td>'
        f'<td class="dt">{marks.esc(one["date"] if status != "not-run" else "–")}</td></tr>'
    )


def _filters(found: ledger.Ledger) -> str:
    counts, every = count(found), len(found["claims"])

    def group(name: str, label: str, items: list[tuple[str, str]]) -> str:
        buttons = "".join(
            f'<button type="button" data-filter="{name}" data-value="{value}" '
            f'aria-pressed="{"true" if not value else "false"}">{words}</button>'
            for value, words in items
        )
        return f'<div class="seg" role="group" aria-label="{label}">{buttons}</div>'

    states = [("", f'All <span class="num">{every}</span>')]
    states += [
        (status, f'{word} <span class="num">{counts[status]}</span>')
        for status, word in (("holds", "Hold"), ("fails", "Fail"), ("not-run", "Not run"))
    ]
    phases = [("", "Any phase"), ("1", "1"), ("2", "2"), ("3", "3")]
    devices = [("", "Any device"), ("cpu", "CPU"), ("gpu", "GPU")]
    return (
        f'<div class="filters">{group("status", "State", states)}{group("phase", "Phase", phases)}'
        f'{group("device", "Device", devices)}<span class="found" role="status"></span>'
        '<label class="vh" for="claims-text">Find in claims</label>'
        '<input id="claims-text" class="flt" type="search" placeholder="Find in claims"></div>'
    )


def _squares(claims: list[dict[str, Any]], plan: book_plan.Plan) -> str:
    """One square a claim over the ninety days, three drawings side by side, stacked on a phone."""
    wide, side, gap = 348.0, 7.0, 2.0
    step = wide / 30
    of: dict[int, list[dict[str, Any]]] = {}
    for one in claims:
        of.setdefault(one["lesson"], []).append(one)
    tallest = max(4, *(len(some) for some in of.values()))
    base = tallest * (side + gap) + 16
    drawings = []
    for phase in plan.phases:
        parts = []
        for day in phase.days:
            x = ((day.number - 1) % 30) * step + (step - side) / 2
            top = base - len(of.get(day.number, [])) * (side + gap) - 3
            for k, one in enumerate(of.get(day.number, [])):
                parts.append(_square(one, phase.number, x, base - (k + 1) * (side + gap) + gap, side, top))
        first = phase.days[0].number
        for number in (first if first == 1 else 0, first + 9, first + 19, first + 29):
            if number:
                x = (((number - 1) % 30) + 0.5) * step
                parts.append(f'<text x="{x:.1f}" y="{base + 19:.0f}" text-anchor="middle">{number}</text>')
        held = sum(one["status"] == "holds" for d in phase.days for one in of.get(d.number, []))
        total = sum(len(of.get(d.number, [])) for d in phase.days)
        drawings.append(
            f'<svg viewBox="0 0 {wide:.0f} {base + 24:.0f}" role="img" aria-label="Phase {phase.number}: '
            f'{held} of {total} claims hold"><line x1="2" y1="{base + 4:.0f}" x2="{wide - 2:.0f}" '
            f'y2="{base + 4:.0f}"/>{"".join(parts)}</svg>'
        )
    key = (
        "<figcaption><span>One square a claim, by day</span>"
        '<span><i class="sq holds ph1"></i>holds, in its phase’s colour</span>'
        '<span><i class="sq fails"></i>fails</span><span><i class="sq not-run"></i>not run</span></figcaption>'
    )
    return f'<figure class="dots"><div class="row">{"".join(drawings)}</div>{key}</figure>'


def _square(one: dict[str, Any], phase: int, x: float, y: float, side: float, top: float) -> str:
    kind, grow, word = f"ph{phase}", 0.0, ""
    if one["status"] == "fails":
        kind, grow = "fails", 1.5
        word = f'<text class="fails" x="{x + 3.5:.1f}" y="{top:.1f}" text-anchor="middle">{one["number"]}</text>'
    elif one["status"] == "not-run":
        kind, grow = "not-run", -0.5
    wide = side + 2 * grow
    return (
        f"<g><title>{one['number']} {marks.esc(one['text'])}</title>"
        f'<rect class="{kind}" x="{x - grow:.1f}" y="{y - grow:.1f}" width="{wide:g}" height="{wide:g}"/>{word}</g>'
    )


def _raw(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def outdated(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """The pages that show the ledger are read again at every build: they take a moment, and are never old."""
    app.llm90_ledger = None
    return [name for name in PAGES if name in env.found_docs]


def setup(app: Any) -> None:
    """Register the directives."""
    app.connect("env-get-outdated", outdated)
    app.add_directive("results", Results)
    app.add_directive("status", Status)
