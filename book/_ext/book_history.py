"""What earlier runs found, from ``_build/history.json`` (``scripts/history.py``), and how it is drawn.

The file may be missing: a book built from a folder without git has no past, and says so.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import book_marks as marks
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

PLACE = "_build/history.json"
Entry = dict[str, Any]


def load(root: Path) -> list[Entry]:
    """All entries, oldest first; none where there is no history."""
    path = Path(root) / PLACE
    if not path.exists():
        return []
    runs: list[Entry] = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return runs


def of_day(runs: list[Entry], day: int) -> list[Entry]:
    """The runs of one lesson."""
    return [one for one in runs if one["day"] == day]


def spark(runs: list[Entry]) -> str:
    """A lesson's last twelve runs on its present machine as bars: height is time, red is a run with a fault."""
    if not runs:
        return ""
    here = [one for one in runs if (one["device"], one["profile"]) == (runs[-1]["device"], runs[-1]["profile"])][-12:]
    if len(here) < 2:
        return ""
    longest = max(float(one["seconds"]) for one in here)
    bars = []
    for i, one in enumerate(here):
        high = max(1.5, 16 * float(one["seconds"]) / longest)
        kind = "" if one["passed"] else ' class="fails"'
        bars.append(f'<rect{kind} x="{5 * i}" y="{17 - high:.1f}" width="4" height="{high:.1f}"/>')
    first, last = (marks.duration(float(here[i]["seconds"])) for i in (0, -1))
    bad = sum(not one["passed"] for one in here)
    words = f"{len(here)} runs, first {first}, last {last}" + (f", {bad} with a fault" if bad else "")
    return (
        f'<svg class="spark" viewBox="0 0 {5 * len(here)} 17" width="{5 * len(here)}" height="17" role="img" '
        f'aria-label="{words}"><title>{words}</title>{"".join(bars)}</svg>'
    )


def nights(runs: list[Entry]) -> list[tuple[str, dict[str, int], float, int]]:
    """For each date with a run: claims by status, hours and lessons, as the book stood that evening."""
    standing: dict[int, Entry] = {}
    found = []
    for i, one in enumerate(runs):
        standing[one["day"]] = one
        today = one["finished"][:10]
        if i + 1 < len(runs) and runs[i + 1]["finished"][:10] == today:
            continue
        counts = {"holds": 0, "fails": 0, "not-run": 0}
        for run in standing.values():
            for status, _ in run["claims"].values():
                counts[status] = counts.get(status, 0) + 1
        hours = sum(float(run["seconds"]) for run in standing.values()) / 3600
        found.append((today, counts, hours, len(standing)))
    return found


class Trend(SphinxDirective):
    """``{trend}``: the claims of the book, night after night."""

    def run(self) -> list[nodes.Node]:
        """A drawing once there are two dates; a sentence before."""
        found = nights(load(Path(self.env.srcdir)))
        if not found:
            words = "No history: this book was built from a folder without git."
        elif len(found) == 1:
            words = f"All runs so far are of one day, {found[0][0]}. The trend begins with the second."
        else:
            return [nodes.raw("", _chart(found[-120:]), format="html")]
        return [nodes.raw("", f'<p class="hint">{words}</p>', format="html")]


def _chart(found: list[tuple[str, dict[str, int], float, int]]) -> str:
    wide, high, left = 1040.0, 120.0, 40.0
    first = date.fromisoformat(found[0][0]).toordinal()
    span = max(1, date.fromisoformat(found[-1][0]).toordinal() - first)
    step = (wide - left) / (span + 1)
    tallest = max(sum(counts.values()) for _, counts, _, _ in found)
    bars = []
    for day, counts, hours, lessons in found:
        x, base = left + step * (date.fromisoformat(day).toordinal() - first), high
        words = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        rows = []
        for status in ("holds", "fails", "not-run"):
            part = high * counts[status] / tallest if tallest else 0
            base -= part
            wider = max(1.0, min(step - 1, 24))
            rows.append(f'<rect class="{status}" x="{x:.1f}" y="{base:.1f}" width="{wider:.1f}" height="{part:.1f}"/>')
        bars.append(f"<g><title>{day}: {lessons} lessons, {hours:.1f} h, {words}</title>{''.join(rows)}</g>")
    last = found[-1]
    ends = (
        f'<text x="{left:.0f}" y="{high + 17:.0f}">{found[0][0]}</text>'
        f'<text x="{wide:.0f}" y="{high + 17:.0f}" text-anchor="end">{last[0]}</text>'
        f'<text x="{left - 8:.0f}" y="12" text-anchor="end">{tallest}</text>'
    )
    name = (
        f"Claims by date, from {found[0][0]} to {last[0]}: {last[1]['holds']} hold, {last[1]['fails']} fail at the end"
    )
    return (
        f'<figure class="dots trend"><svg viewBox="0 0 {wide:.0f} {high + 22:.0f}" role="img" aria-label="{name}">'
        f'<line x1="{left:.0f}" y1="{high:.0f}" x2="{wide:.0f}" y2="{high:.0f}"/>{"".join(bars)}{ends}</svg>'
        "<figcaption><span>Claims as the book stood each evening</span>"
        '<span><i class="sq ran"></i>hold</span><span><i class="sq fails"></i>fail</span>'
        '<span><i class="sq not-run"></i>not run</span></figcaption></figure>'
    )


def publish(app: Any, exception: Exception | None) -> None:
    """The history lies beside the pages, so that the next night can go on from it."""
    place = Path(app.srcdir) / PLACE
    if exception is None and app.builder.name == "html" and place.exists():
        (Path(app.outdir) / "history.json").write_bytes(place.read_bytes())


def setup(app: Any) -> None:
    """Register the directive."""
    app.add_directive("trend", Trend)
    app.connect("build-finished", publish)
