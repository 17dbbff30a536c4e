"""What the finished lessons say in words, for pages that gather from all of them. Knows notebooks, not Sphinx."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import book_plan

from helpers.runner import catalog

FOLDED = re.compile(r"<details>\s*<summary>(.*?)</summary>\s*(.*?)\s*</details>", re.S)
LESSON = re.compile(r"\[([^\]]+)\]\([^()\s]*?day(\d\d)_\w+\.ipynb(#[^()\s]*)?\)")


def parts(root: Path, day: book_plan.Day) -> dict[str, str]:
    """The lesson's prose by its headings of the second level; what stands before the first is under ``""``."""
    path = Path(root) / f"{day.docname}.ipynb"
    return dict(_parts(path, path.stat().st_mtime_ns))


@cache
def _parts(path: Path, _stamp: int) -> tuple[tuple[str, str], ...]:
    cells = catalog.read_notebook(path)["cells"]
    text = "\n\n".join(catalog.text(cell) for cell in cells if cell["cell_type"] == "markdown")
    pieces = re.split(r"^## +(.+)$", text, flags=re.M)
    found = {"": pieces[0]}
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        title = title.strip()
        found[title] = f"{found[title]}\n\n{body.strip()}" if title in found else body.strip()
    return tuple(found.items())


def questions(root: Path, day: book_plan.Day) -> list[tuple[str, str]]:
    """The interview corner's questions with their answers, both as Markdown."""
    return FOLDED.findall(parts(root, day).get("Interview corner", ""))


def links(text: str, plan: book_plan.Plan) -> str:
    """Links between lessons, as a page under ``book/`` must write them; words only while a lesson is unfinished."""

    def mend(match: re.Match[str]) -> str:
        day = plan.day(int(match[2])) if 1 <= int(match[2]) <= 90 else None
        return f"[{match[1]}](../{day.docname}.ipynb{match[3] or ''})" if day and day.docname else match[1]

    return LESSON.sub(mend, text)
