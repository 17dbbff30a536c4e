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
    """Two rows of bars over the dates: claims by status, and seconds a lesson took on average."""
    wide, high, low = 1000.0, 110.0, 34.0
    first = date.fromisoformat(found[0][0]).toordinal()
    step = wide / (date.fromisoformat(found[-1][0]).toordinal() - first + 1)
    bar = min(0.66 * step, 9.0)
    tallest = max(sum(counts.values()) for _, counts, _, _ in found) or 1
    means = [3600 * hours / max(lessons, 1) for _, _, hours, lessons in found]
    claims, times = [], []
    for (day, counts, _, lessons), mean in zip(found, means, strict=True):
        x = step * (date.fromisoformat(day).toordinal() - first) + (step - bar) / 2
        base, rows = high, []
        for status in ("holds", "fails", "not-run"):
            part = high * counts[status] / tallest
            if status == "fails" and part:
                part = max(part, 4.0)  # a failure is never too thin to be seen
            base -= part
            rows.append(f'<rect class="{status}" x="{x:.1f}" y="{base:.1f}" width="{bar:.1f}" height="{part:.1f}"/>')
        said = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        claims.append(f"<g><title>{day}: {lessons} lessons, {said}</title>{''.join(rows)}</g>")
        tall = low * mean / max(means)
        times.append(
            f'<g><title>{day}: {marks.duration(mean)} a lesson</title><rect class="holds" x="{x:.1f}" '
            f'y="{low - tall:.1f}" width="{bar:.1f}" height="{tall:.1f}"/></g>'
        )
    begin, last = found[0][0], found[-1]
    told = f"Claims by date, from {begin} to {last[0]}: {last[1]['holds']} hold and {last[1]['fails']} fail at the end"
    mean_told = f"Time a lesson takes on average: {marks.duration(means[0])} first, {marks.duration(means[-1])} last"

    def drawing(rows: list[str], tall: float, name: str) -> str:
        return (
            f'<svg viewBox="0 -6 {wide:.0f} {tall + 6:.0f}" preserveAspectRatio="none" style="height:{tall + 6:.0f}px" '
            f'role="img" aria-label="{name}"><line x1="0" y1="{tall:.0f}" x2="{wide:.0f}" y2="{tall:.0f}"/>'
            f"{''.join(rows)}</svg>"
        )

    return (
        f'<figure class="dots trend">{drawing(claims, high, told)}{drawing(times, low, mean_told)}'
        f'<p class="ends"><span>{begin}</span><span>{last[0]}</span></p>'
        f"<figcaption><span>Above, the claims as the book stood each evening, {tallest} at most; below, the seconds a "
        f'lesson took on average, {marks.duration(means[-1])} at last</span><span><i class="sq ran"></i>hold</span>'
        '<span><i class="sq fails"></i>fail</span><span><i class="sq not-run"></i>not run</span></figcaption></figure>'
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
