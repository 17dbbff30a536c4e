"""The ninety days as the pages see them: the plan, and which of its lessons are finished.

``book/plan.yml`` names all ninety; ``_toc.yml`` lists the finished ones. Nothing here
knows Sphinx.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Day:
    """One day; ``docname`` is empty until its lesson is finished."""

    number: int
    slug: str
    title: str
    section: str
    phase: int
    docname: str = ""

    @property
    def two(self) -> str:
        """The number with two digits, as it is printed everywhere."""
        return f"{self.number:02d}"


@dataclass(frozen=True)
class Phase:
    """Thirty days under one heading; ``sections`` keeps the order of the plan."""

    number: int
    name: str
    folder: str
    sections: tuple[tuple[str, tuple[Day, ...]], ...]

    @property
    def days(self) -> list[Day]:
        """The phase's days in order."""
        return [day for _, days in self.sections for day in days]

    @property
    def opener(self) -> str:
        """Docname of the page that opens the phase."""
        return f"book/phase{self.number}"


@dataclass(frozen=True)
class Plan:
    """The whole book."""

    phases: tuple[Phase, ...]

    @property
    def days(self) -> list[Day]:
        """All ninety."""
        return [day for phase in self.phases for day in phase.days]

    @property
    def finished(self) -> list[Day]:
        """The days whose lesson is in ``_toc.yml``."""
        return [day for day in self.days if day.docname]

    def day(self, number: int) -> Day:
        """The day of that number, 1 to 90."""
        return self.days[number - 1]

    def of(self, docname: str) -> Day | None:
        """The day whose lesson is that document."""
        return next((day for day in self.days if docname and day.docname == docname), None)

    def neighbours(self, day: Day) -> tuple[Day | None, Day | None]:
        """The finished lessons before and after ``day``."""
        done = self.finished
        before = [one for one in done if one.number < day.number]
        after = [one for one in done if one.number > day.number]
        return (before[-1] if before else None), (after[0] if after else None)


def load(root: Path) -> Plan:
    """Read the plan and the table of contents of the repository at ``root``."""
    root = Path(root)
    stamp = tuple(os.stat(root / name).st_mtime_ns for name in ("book/plan.yml", "_toc.yml"))
    return _load(root, stamp)


@cache
def _load(root: Path, _stamp: tuple[int, ...]) -> Plan:
    listed = {Path(name).name: name.removesuffix(".ipynb") for name in _files(_read(root / "_toc.yml"))}
    phases = []
    for number, phase in enumerate(_read(root / "book/plan.yml")["phases"], start=1):
        sections = []
        for section in phase["sections"]:
            days = []
            for one in section["lessons"]:
                name = f"day{one['day']:02d}_{one['slug']}"
                docname = listed.get(name) or listed.get(f"{name}.ipynb") or ""
                days.append(Day(one["day"], one["slug"], one["title"], section["name"], number, docname))
            sections.append((section["name"], tuple(days)))
        phases.append(Phase(number, phase["name"], phase["folder"], tuple(sections)))
    return Plan(tuple(phases))


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _files(toc: Any) -> Iterator[str]:
    """Every ``file:`` of a table of contents."""
    if isinstance(toc, dict):
        if isinstance(toc.get("file"), str):
            yield toc["file"]
        toc = list(toc.values())
    if isinstance(toc, list):
        for part in toc:
            yield from _files(part)
