"""Claims: sentences of a lesson that every run checks again."""

from __future__ import annotations

import hashlib
import html
import re
from typing import Any

from helpers.lesson import current

MIME = "application/vnd.llm90.claim+json"
MARK = {"holds": "✓", "fails": "✗", "not-run": "–"}
WORD = {"holds": "Holds", "fails": "Fails", "not-run": "Not run here"}


def claim(text: str, measured: str, holds: Any, needs: str | None = None) -> None:
    """Show and record a claim. Never raises on a failed one: the ledger fails the run, not the page.

    Args:
        text: a sentence a reader would repeat at work, with its threshold.
        measured: the number found, with its unit.
        holds: the condition, a boolean (Python's, NumPy's or torch's). Anything
            else is recorded as failed, so that a truthy slip cannot pass.
        needs: ``"gpu"`` or the name of a service; on a machine without it the
            claim is recorded as *not run*, whatever the condition says.
    """
    from IPython.display import display

    record = judge(text, measured, holds, needs)
    display(
        {MIME: record, "text/html": _html(record), "text/plain": _plain(record)},
        raw=True,
    )


def judge(text: str, measured: str, holds: Any, needs: str | None = None) -> dict[str, Any]:
    """The record of a claim: ``{lesson, id, text, measured, status, needs}``."""
    measured = str(measured)
    if needs and not available(needs):
        status, measured = "not-run", f"needs {needs}"
    else:
        verdict = _boolean(holds)
        if verdict is None:
            measured += f" (the condition is a {type(holds).__name__}, not a boolean)"
        status = "holds" if verdict else "fails"
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if len(slug) > 60:  # two long sentences may begin alike
        slug = f"{slug[:53].rstrip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return {
        "lesson": current.day,
        "id": f"{current.day:02d}-{slug}",
        "text": text,
        "measured": measured,
        "status": status,
        "needs": needs,
    }


def available(needs: str) -> bool:
    """Whether this lesson has what a claim needs: ``"gpu"``, or a service by its name."""
    if needs == "gpu":
        return current.device is not None and current.device.type == "cuda"
    from helpers import services

    return services.available(needs)


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if type(value).__module__ in ("numpy", "torch") and "bool" in str(getattr(value, "dtype", "")):
        return bool(value) if getattr(value, "ndim", 1) == 0 else None
    return None


def _html(record: dict[str, Any]) -> str:
    status = record["status"]
    return (
        f'<div class="claim {status}" id="claim-{record["id"]}" '
        'style="display:flex;gap:.8em;align-items:baseline;padding:.5em 0">'
        f'<b class="mark" aria-hidden="true">{MARK[status]}</b>'
        f'<span class="text" style="flex:1">{html.escape(record["text"])}'
        f' <small class="word">{WORD[status]}</small></span>'
        f'<code class="measured">{html.escape(record["measured"])}</code></div>'
    )


def _plain(record: dict[str, Any]) -> str:
    status = record["status"]
    return f"{MARK[status]} {record['text']} · {WORD[status]}: {record['measured']}"
