"""Hardware: what ran on which machine, what ran on two kinds, and what no machine here could run."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import book_history
import book_ledger
import book_marks as marks
import book_plan
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from helpers.claims import MIME as CLAIM
from helpers.runner import catalog, outputs

Row = dict[str, Any]


class Machines(SphinxDirective):
    """``{machines}``: one row a machine, and the time of every lesson in a drawing."""

    def run(self) -> list[nodes.Node]:
        """From the provenance of the copies that the pages show."""
        found, plan = book_ledger.table(self.env), book_plan.load(self.env.srcdir)
        ran = [one for one in found["lessons"] if one["provenance"] and one["state"] != "stale"]
        if not ran:
            return [raw("<p>No lesson has run yet.</p>")]
        groups: dict[tuple[str, str], list[Row]] = {}
        for one in ran:
            made = one["provenance"]
            groups.setdefault((str(made["device"]), str(made["profile"])), []).append(one)
        names = ("Machine", "Profile", "Lessons", "Time in all", "Claims", "Software", "Last run")
        rows = "".join(_machine(device, profile, some) for (device, profile), some in groups.items())
        return [raw(_times(ran, plan) + table("hw", names, rows))]


def _machine(device: str, profile: str, ran: list[Row]) -> str:
    made = [one["provenance"] for one in ran]
    total: dict[str, int] = {}
    for one in ran:
        for status, n in one["claims"].items():
            total[status] = total.get(status, 0) + n
    soft = sorted({f"torch {one['torch']}, Python {one['python']}" for one in made})
    soft += sorted({f"driver {one['driver']}" for one in made if one.get("driver")})
    kind = "CPU" if profile == "cpu" else "GPU"
    name = device if kind in device else f"{kind}, {device}"
    cells = [
        f'<td class="t">{marks.esc(name)}</td><td class="m" data-k="Profile">{marks.esc(profile)}</td>',
        f'<td data-k="Lessons"><b>{len(ran)}</b><small>{runs_of([one["day"] for one in ran])}</small></td>',
        f'<td class="m" data-k="Time">{marks.duration(sum(float(one["seconds"]) for one in made))}</td>',
        f'<td data-k="Claims">{marks.tally(total)}</td>',
        f'<td class="m" data-k="Software">{"<br>".join(marks.esc(one) for one in soft)}</td>',
        f'<td class="m" data-k="Last run">{marks.esc(max(one["finished"] for one in made)[:10])}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def runs_of(days: list[int]) -> str:
    """Days with neighbours joined: ``1–7, 11, 12``."""
    found = []
    for _, run in groupby(enumerate(sorted(days)), lambda pair: pair[1] - pair[0]):
        some = [day for _, day in run]
        found.append(", ".join(map(str, some)) if len(some) < 3 else f"{some[0]}–{some[-1]}")
    return ", ".join(found)


def _times(ran: list[Row], plan: book_plan.Plan) -> str:
    """One bar a lesson: how long its last run took, hollow on a CPU, filled on a GPU."""
    took = {one["day"]: one for one in ran}
    longest = max(float(one["seconds"]) for one in ran)
    wide, high, step = 348.0, 88.0, 348.0 / 30
    drawings = []
    for phase in plan.phases:
        bars = []
        for day in phase.days:
            one = took.get(day.number)
            x = ((day.number - 1) % 30) * step + 1.5
            if one:
                tall = max(1.5, (high - 14) * float(one["seconds"]) / longest)
                kind = "on-cpu" if one["provenance"]["profile"] == "cpu" else "on-gpu"
                words = f"Day {day.number}, {marks.esc(day.title)}: {marks.duration(float(one['seconds']))}"
                bars.append(
                    f'<g><title>{words}</title><rect class="ph{phase.number} {kind}" x="{x:.1f}" '
                    f'y="{high - tall:.1f}" width="{step - 3:.1f}" height="{tall:.1f}"/></g>'
                )
                if float(one["seconds"]) == longest:
                    bars.append(
                        f'<text x="{x + step / 2 - 1.5:.1f}" y="{high - tall - 5:.1f}" text-anchor="middle">'
                        f"{marks.duration(longest)}</text>"
                    )
        first = phase.days[0].number
        for number in (first if first == 1 else 0, first + 9, first + 19, first + 29):
            if number:
                x = (((number - 1) % 30) + 0.5) * step
                bars.append(f'<text x="{x:.1f}" y="{high + 15:.0f}" text-anchor="middle">{number}</text>')
        some = [one for day, one in took.items() if plan.day(day).phase == phase.number]
        total = marks.duration(sum(float(one["seconds"]) for one in some))
        drawings.append(
            f'<svg viewBox="0 0 {wide:.0f} {high + 20:.0f}" role="img" aria-label="Phase {phase.number}: '
            f'{len(some)} lessons, {total} in all"><line x1="2" y1="{high:.0f}" x2="{wide - 2:.0f}" y2="{high:.0f}"/>'
            f"{''.join(bars)}</svg>"
        )
    key = (
        "<figcaption><span>How long each lesson’s last run took, by day</span>"
        '<span><i class="sq on-cpu ph1"></i>on a CPU</span>'
        '<span><i class="sq on-gpu ph1"></i>on a GPU</span></figcaption>'
    )
    return f'<figure class="dots times"><div class="row">{"".join(drawings)}</div>{key}</figure>'


class Compared(SphinxDirective):
    """``{cpu-and-gpu}``: the lessons whose present code ran on both kinds of machine, side by side."""

    def run(self) -> list[nodes.Node]:
        """A table, or one honest sentence."""
        root = Path(self.env.srcdir)
        plan, runs = book_plan.load(root), book_history.load(root)
        pairs = [(day, pair) for day in plan.finished if (pair := both(root, day, runs))]
        if not pairs:
            return [raw(f'<p class="hint">{_alone(runs)}</p>')]
        names = ("Lesson", "Measured", "CPU", "GPU")
        return [raw(table("both", names, "".join(_pair(root, day, *pair) for day, pair in pairs)))]


def both(root: Path, day: book_plan.Day, runs: list[Row]) -> tuple[Row, Row] | None:
    """The last run on a CPU and the last on a GPU, if the lesson's present code made both."""
    mine = book_history.of_day(runs, day.number)
    if len({one["profile"] == "cpu" for one in mine}) < 2:
        return None
    clean = catalog.read_notebook(root / f"{day.docname}.ipynb")
    now = {name: outputs.key(clean, {"profile": name}) for name in {one["profile"] for one in mine}}
    mine = [one for one in mine if one["key"] == now[one["profile"]]]
    on_cpu = [one for one in mine if one["profile"] == "cpu"]
    on_gpu = [one for one in mine if one["profile"] != "cpu"]
    return (on_cpu[-1], on_gpu[-1]) if on_cpu and on_gpu else None


def _alone(runs: list[Row]) -> str:
    kinds = {"CPU" if one["profile"] == "cpu" else "GPU" for one in runs}
    if len(kinds) == 1:
        return (
            f"Every run so far was on a {kinds.pop()}: there is nothing to compare yet, and nothing is invented here."
        )
    return "No lesson has run on both kinds of machine with its present code yet."


def _pair(root: Path, day: book_plan.Day, on_cpu: Row, on_gpu: Row) -> str:
    copy = outputs.read(root, catalog.lesson(root, Path(f"{day.docname}.ipynb"))) or {"cells": []}
    texts = {one["id"]: one["text"] for one in outputs.records(copy, CLAIM)}
    rows = [("Whole run, its own sizes", *(marks.duration(float(one["seconds"])) for one in (on_cpu, on_gpu)), "")]
    for name in [one for one in on_cpu["claims"] if one in on_gpu["claims"]]:
        values = [_value(*one["claims"][name]) for one in (on_cpu, on_gpu)]
        rows.append((texts.get(name, name), *values, name))
    first = (
        f'<td class="dy" rowspan="{len(rows)}"><a href="../{day.docname}.html"><span class="num">{day.two}</span>'
        f"<span>{marks.esc(day.title)}</span></a><small>{marks.esc(marks.short_device(str(on_gpu['device'])))}</small></td>"
    )
    cells = []
    for i, (what, left, right, name) in enumerate(rows):
        link = (
            f'<a href="../{day.docname}.html#claim-{name}">{marks.esc(what)}</a>' if name in texts else marks.esc(what)
        )
        cells.append(
            f'<tr class="ph{day.phase}">{"" if i else first}<td class="c">{link}</td>'
            f'<td class="m" data-k="CPU">{left}</td><td class="m" data-k="GPU">{right}</td></tr>'
        )
    return "".join(cells)


def _value(status: str, measured: str) -> str:
    if status == "not-run":
        return "not run"
    return marks.figures(measured) if status == "holds" else f'<b class="fails">{marks.figures(measured)}</b>'


class Open(SphinxDirective):
    """``{not-run-here}``: the claims that wait for a machine, by what they need."""

    def run(self) -> list[nodes.Node]:
        """A table, or one sentence when nothing waits."""
        found, plan = book_ledger.table(self.env), book_plan.load(self.env.srcdir)
        waiting = [c for c in found["claims"] if c["status"] == "not-run" and c["measured"] != book_ledger.STALE]
        if not waiting:
            return [raw('<p class="hint">Nothing waits: every claim of the finished lessons was measured.</p>')]
        rows = "".join(
            f'<tr class="not-run ph{plan.day(one["lesson"]).phase}"><td class="mkc">{marks.mark("not-run")}</td>'
            f'<td class="c">{marks.esc(one["text"])}</td>'
            f'<td class="m">{marks.esc(one.get("needs") or "another machine")}</td>'
            f'<td class="dy"><a href="../{marks.esc(one["link"])}"><span class="num">{one["number"]}</span>'
            f"<span>{marks.esc(plan.day(one['lesson']).title)}</span></a></td></tr>"
            for one in waiting
        )
        return [raw(table("", ("", "Claim", "Needs", "Lesson"), rows))]


def table(kind: str, names: tuple[str, ...], rows: str) -> str:
    """One of the book's tables of rows."""
    head = "".join(f"<th>{name}</th>" if name else '<th><span class="vh">State</span></th>' for name in names)
    return f'<table class="led {kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def raw(text: str) -> nodes.raw:
    """HTML as it is."""
    return nodes.raw("", text, format="html")


def setup(app: Any) -> None:
    """Register the directives."""
    for name, directive in (("machines", Machines), ("cpu-and-gpu", Compared), ("not-run-here", Open)):
        app.add_directive(name, directive)
