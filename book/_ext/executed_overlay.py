"""Sphinx extension of the book: clean notebooks go in, pages with their executed outputs come out.

The sources under ``notebooks/`` have no outputs, ever. When Sphinx reads one, this module
answers ``source-read`` with the present prose and code merged with the outputs that
``outputs/`` stores for them. Launch, download and edit links therefore keep pointing at the
clean source. What the outputs look like is decided here (claims, exercises, figures), how
cells are folded and framed in ``book_cells``, the frame around every page in ``book_frame``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import sys
from pathlib import Path
from typing import Any

from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # helpers of this repository, not an installed one

import book_career  # noqa: E402
import book_cells  # noqa: E402
import book_download  # noqa: E402
import book_frame  # noqa: E402
import book_front  # noqa: E402
import book_hardware  # noqa: E402
import book_history  # noqa: E402
import book_ledger  # noqa: E402
import book_lists  # noqa: E402
import book_marks  # noqa: E402
import book_plan  # noqa: E402
import book_refs  # noqa: E402
import book_search  # noqa: E402
import book_terms  # noqa: E402

from helpers.claims import MIME as CLAIM  # noqa: E402
from helpers.exercises import MIME as EXERCISE  # noqa: E402
from helpers.runner import catalog, outputs  # noqa: E402

LOG = logging.getLogger(__name__)
IMAGES = ("image/svg+xml", "image/png", "image/jpeg")
LINK = re.compile(r"\[([^\]]+)\]\([^()\s]*?day(\d\d)_\w+\.ipynb(#[^()\s]*)?\)")


def source_read(app: Any, docname: str, source: list[str]) -> None:
    """Replace a lesson's clean source by its page: prose as it is now, outputs as they were stored."""
    root = Path(app.srcdir)
    plan = book_plan.load(root)
    day = plan.of(docname)
    if day is None:
        return
    lesson = catalog.lesson(root, Path(f"{docname}.ipynb"))
    clean = json.loads(source[0])
    copy = outputs.read(root, lesson)
    stored = outputs.copy_path(root, lesson)
    if stored.exists():
        app.env.note_dependency(str(stored))
    page = describe(lesson, clean, copy)
    merged = outputs.merge(clean, copy) if copy and page["state"] == "current" else outputs.merge(clean, {"cells": []})
    missing = dress(merged, page, day, plan)
    if missing:  # links to lessons that are not finished turn into links when they are
        app.env.note_dependency(str(root / "_toc.yml"))
    pages(app.env)[docname] = page
    source[0] = json.dumps(merged)


def describe(lesson: catalog.Lesson, clean: dict[str, Any], copy: dict[str, Any] | None) -> dict[str, Any]:
    """What the page says about the run: state, provenance, the reader's time."""
    made = (copy or {}).get("metadata", {}).get("provenance") or {}
    if not made:
        state = "missing"
    elif made["key"] != outputs.key(clean, {"profile": made["profile"]}):
        state = "stale"
    else:
        state = "current"
    return {
        "day": lesson.day,
        "path": lesson.path.as_posix(),
        "title": lesson.title,
        "state": state,
        "made": made,
        "read": lesson.read,
        "work": lesson.work,
        "needs": lesson.needs,
        "claims": {},
    }


def dress(notebook: dict[str, Any], page: dict[str, Any], day: book_plan.Day, plan: book_plan.Plan) -> bool:
    """Prepare a merged notebook for the page, in place; True if it names a lesson that is not finished."""
    made, missing, count = page["made"], False, 0
    device = book_marks.machine(made)
    date = made.get("finished", "")[:10]
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text, unfinished = link_lessons(catalog.text(cell), day, plan)
            cells.append({**cell, "source": text})
            missing |= unfinished
            continue
        if cell["cell_type"] != "code":
            continue
        shown: list[dict[str, Any]] = []
        figures: list[dict[str, Any]] = []
        verdicts: list[str] = []
        for out in cell.get("outputs", []):
            data = out.get("data", {})
            if CLAIM in data:
                count += 1
                record = data[CLAIM]
                page["claims"][record["status"]] = page["claims"].get(record["status"], 0) + 1
                row = book_marks.claim(record, f"{day.number}.{count}", device, date)
                _append_html(shown, row, "claims")
            elif EXERCISE in data:
                verdicts.append(data[EXERCISE]["status"])
                _append_html(shown, book_marks.verdict(data[EXERCISE]), "verdict")
            else:
                shown.append(_plain(out, figures))
        about = {"id": cell.get("id", ""), "figures": figures, "verdicts": verdicts}
        about["seconds"] = cell["metadata"].get("seconds", 0)
        tags = list(cell["metadata"].get("tags", []))
        cells.append({**cell, "metadata": {"tags": tags, "llm90": about}, "outputs": shown})
    notebook["cells"] = cells
    kept = ("kernelspec", "language_info")
    notebook["metadata"] = {k: v for k, v in notebook["metadata"].items() if k in kept}
    notebook["metadata"].setdefault("language_info", {"name": "python"})
    return missing


def link_lessons(text: str, day: book_plan.Day, plan: book_plan.Plan) -> tuple[str, bool]:
    """Links to other lessons by their day, wherever the file lies; words only while that lesson is not finished."""
    unfinished = False

    def mend(match: re.Match[str]) -> str:
        nonlocal unfinished
        target = plan.day(int(match[2])) if 1 <= int(match[2]) <= 90 else None
        if target is None or not target.docname:
            unfinished = True
            return match[1]
        folder = Path(target.docname).parent.name
        return f"[{match[1]}](../{folder}/{Path(target.docname).name}.ipynb{match[3] or ''})"

    return LINK.sub(mend, text), unfinished


def _append_html(shown: list[dict[str, Any]], html: str, name: str) -> None:
    """Rows that follow each other share one list."""
    if shown and shown[-1].get("group") == name:
        shown[-1]["data"]["text/html"] = shown[-1]["data"]["text/html"].removesuffix("</div>") + html + "</div>"
    else:
        data = {"text/html": f'<div class="{name}">{html}</div>'}
        shown.append({"output_type": "display_data", "data": data, "metadata": {}, "group": name})


def _plain(out: dict[str, Any], figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Any other output: the one form of it that a page shows, and a figure's words and size aside."""
    data = out.get("data")
    if not data:
        return out
    image = next((mime for mime in IMAGES if mime in data), None)
    if image:
        content = data[image] if isinstance(data[image], str) else "".join(data[image])
        about = out.get("metadata", {})
        said = about.get("figure", {}) or about.get(image, {})
        wide, high = size(image, content)
        if len(said.get("alt", "")) < 20:
            LOG.warning("a figure has no words for those who do not see it: use plots.show(fig, alt=…)")
        width = int(said.get("width") or wide or 0)
        height = round(width * high / wide) if wide else 0
        figures.append({"alt": said.get("alt", ""), "photo": bool(said.get("photo")), "width": width, "height": height})
        return {**out, "data": {image: content}, "metadata": {}}
    best = next((mime for mime in ("text/html", "text/markdown", "text/latex", "text/plain") if mime in data), None)
    return {**out, "data": {best: data[best]} if best else {}, "metadata": {}}


def size(mime: str, content: str) -> tuple[float, float]:
    """Width and height of a picture as drawn, for its proportions; zeros where they cannot be read."""
    if mime == "image/svg+xml":
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', content[:2000])
        return (float(box[1]) * 4 / 3, float(box[2]) * 4 / 3) if box else (0.0, 0.0)
    if mime == "image/png":
        head = base64.b64decode(content[:44])
        wide, high = struct.unpack(">II", head[16:24])
        return wide / 2, high / 2  # drawn at 192 dots an inch
    return 0.0, 0.0


def pages(env: Any) -> dict[str, dict[str, Any]]:
    """What is known of every lesson's page; kept with Sphinx's environment between builds."""
    if not hasattr(env, "llm90_pages"):
        env.llm90_pages = {}
    found: dict[str, dict[str, Any]] = env.llm90_pages
    return found


def purge(app: Any, env: Any, docname: str) -> None:
    """Forget a page that is read again."""
    pages(env).pop(docname, None)


def outdated(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Lessons whose first executed copy has appeared since the last build."""
    stored = {path.name for path in (Path(env.srcdir) / outputs.STORE).glob("*/*.ipynb")}
    return [
        docname
        for docname, page in pages(env).items()
        if page["state"] == "missing" and Path(page["path"]).name in stored
    ]


def setup(app: Any) -> dict[str, Any]:
    """Register everything the book adds to Sphinx."""
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
    app.add_config_value("llm90_code", code.hexdigest(), "env")  # changed code reads every page again
    app.connect("source-read", source_read)
    app.connect("env-purge-doc", purge)
    app.connect("env-get-outdated", outdated)
    parts = (book_cells, book_terms, book_ledger, book_front, book_lists, book_history, book_hardware, book_refs)
    for module in (*parts, book_career, book_search, book_download, book_frame):
        module.setup(app)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
