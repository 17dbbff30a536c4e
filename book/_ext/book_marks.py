"""The small pieces of HTML that several pages share: icons, claims, verdicts, provenance.

Every function returns a string and knows neither Sphinx nor files.
"""

from __future__ import annotations

import html
import re
from typing import Any

_PATHS = {
    "search": '<circle cx="7" cy="7" r="4.6"/><path d="M10.5 10.5 14 14"/>',
    "half": '<circle cx="8" cy="8" r="5.6"/><path d="M8 2.4a5.6 5.6 0 0 1 0 11.2z" fill="currentColor"/>',
    "menu": '<path d="M2 4h12M2 8h12M2 12h12"/>',
    "close": '<path d="M3.5 3.5l9 9M12.5 3.5l-9 9"/>',
    "check": '<path d="M3 8.6 6.4 12 13 4.6"/>',
    "cross": '<path d="M4 4l8 8M12 4l-8 8"/>',
    "dash": '<path d="M4 8h8"/>',
    "copy": '<rect x="5.5" y="5.5" width="8" height="8"/><path d="M10.5 5.5v-3h-8v8h3"/>',
    "down": '<path d="M8 2v8.4M4.4 7.2 8 10.8l3.6-3.6M2.5 13.8h11"/>',
    "out": '<path d="M6 3.5h6.5V10M12 4 4 12"/>',
    "chev": '<path d="M6 4l4 4-4 4"/>',
}
ICON_OF = {"holds": "check", "fails": "cross", "not-run": "dash", "passed": "check", "wrong": "cross"}
WORD_OF = {"holds": "Holds", "fails": "Fails", "not-run": "Not run here"}
VERDICT_OF = {"todo": "Not solved yet.", "wrong": "Not yet.", "passed": "Passes."}


def esc(text: object) -> str:
    """Text made safe for HTML, in an attribute too."""
    return html.escape(str(text), quote=True)


def spaced(text: str) -> str:
    """A line break after every block: search takes the tags out, and words must not grow together."""
    return re.sub(r"(</(?:td|th|tr|p|div|dt|dd|li|h\d|summary|figcaption)>|<br>)", r"\1\n", text)


def icon(name: str) -> str:
    """One of the book's eleven icons, drawn inline."""
    return f'<svg class="i" viewBox="0 0 16 16" aria-hidden="true">{_PATHS[name]}</svg>'


def mark(status: str) -> str:
    """The square of a claim or an exercise; the word always stands beside it."""
    inner = icon(ICON_OF[status]) if status in ICON_OF else ""
    return f'<span class="mk {esc(status)}">{inner}</span>'


def claim(record: dict[str, Any], number: str, device: str, date: str) -> str:
    """One row of the ledger: mark, sentence, number measured, state, where and when."""
    status = record["status"] if record.get("status") in WORD_OF else "fails"
    where = " · ".join(part for part in (number, device, date) if part)
    if status == "not-run":
        where = f"{number} · needs {record.get('needs') or 'another machine'}"
    measured = "not run here" if status == "not-run" else record.get("measured", "")
    return (
        f'<div class="claim {status}" id="claim-{esc(record["id"])}">{mark(status)}'
        f'<p>{esc(record["text"])}</p><div class="m">{figures(measured)}</div>'
        f'<p class="w"><b>{WORD_OF[status]}</b> · {esc(where)}</p></div>'
    )


def figures(measured: object) -> str:
    """A measured value, which may break between its words and never inside ``2e-15``."""
    words = (f'<span class="nb">{esc(word)}</span>' if "-" in word else esc(word) for word in str(measured).split())
    return " ".join(words)


def verdict(record: dict[str, Any]) -> str:
    """What a check answered: an empty square until it is solved, never red."""
    status = record["status"] if record.get("status") in VERDICT_OF else "wrong"
    return (
        f'<div class="chk {status}">{mark(status)}<p><b>{VERDICT_OF[status]}</b> '
        f"<code>{esc(record['name'])}</code>: {_ticks(record['message'])}</p></div>"
    )


def _ticks(message: str) -> str:
    """A check's message with its `backticks` as code."""
    parts = esc(message).split("`")
    if len(parts) % 2 == 0:
        return "`".join(parts)
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def duration(seconds: float) -> str:
    """``41 s``, ``4 min`` or ``2.5 h``; below ten seconds with a digit after the point."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def hours(minutes: int) -> str:
    """A reader's time: ``50 min`` or ``≈ 5 h``."""
    return f"{minutes} min" if minutes < 90 else f"≈ {minutes / 60:.0f} h"


def short_device(name: str) -> str:
    """A device's name without what is the same on all of them: ``H200``, ``Intel Xeon``."""
    idle = ("NVIDIA", "TESLA", "GEFORCE", "PROCESSOR", "CPU")
    words = [word for word in re.sub(r"\((R|TM|C)\)", "", name).split() if word.upper() not in idle]
    return " ".join(words) or name


def machine(made: dict[str, Any]) -> str:
    """Where something ran, short: ``CPU`` or the GPU's name."""
    if (made.get("profile") or "cpu") == "cpu":
        return "CPU"
    return short_device(str(made.get("device") or "GPU"))


def tally(counts: dict[str, int]) -> str:
    """``✓ 2  ✗ 1  – 1``, each with its word for those who do not see the mark."""
    words = {"holds": "hold", "fails": "fail", "not-run": "not run here"}
    spans = [
        f'<span class="{status}">{icon(ICON_OF[status])}{counts[status]}<span class="vh"> {word}</span></span>'
        for status, word in words.items()
        if counts.get(status)
    ]
    return f'<span class="marks">{"".join(spans)}</span>' if spans else "none"


def brand() -> str:
    """The book's sign: nine squares, done, today and unread."""
    done = [(0, 0, "p1"), (7.5, 0, "p1"), (15, 0, "p1"), (0, 7.5, "p2")]
    open_ = [(15.5, 8), (0.5, 15.5), (8, 15.5), (15.5, 15.5)]
    return (
        '<svg class="brandmark" viewBox="0 0 20 20" aria-hidden="true">'
        + "".join(f'<rect x="{x}" y="{y}" width="5" height="5" fill="var(--{p}f)"/>' for x, y, p in done)
        + '<rect x="8.25" y="8.25" width="3.5" height="3.5" fill="none" stroke="var(--p2)" stroke-width="1.5"/>'
        + "".join(f'<rect x="{x}" y="{y}" width="4" height="4" fill="none" stroke="var(--edge)"/>' for x, y in open_)
        + "</svg>"
    )
