"""The list of lessons: what ``_toc.yml`` names, and what each notebook says about itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

PLACE = re.compile(r"phase(\d)_\w+/day(\d\d)_(\w+)$")


class RunnerError(Exception):
    """What the command line shows as one sentence: what happened, and what to do."""


class CatalogError(RunnerError):
    """A list of lessons, a notebook or a selection that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Lesson:
    """One lesson; ``path`` from the repository's root, ``budget`` in CPU-seconds, ``alone``: runs beside no other."""

    day: int
    phase: int
    path: Path
    slug: str
    title: str
    budget: int = 30
    needs: tuple[str, ...] = ()
    read: int = 0
    work: int = 0
    alone: bool = False

    @property
    def name(self) -> str:
        """``day 33 · Self-attention``, for messages."""
        return f"day {self.day:02d} · {self.title}"


def find_root(start: Path | None = None) -> Path:
    """The repository's root: the nearest folder upwards that holds ``_toc.yml``."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").exists():
            return folder
    raise CatalogError(f"no _toc.yml in {here} or above: run this inside the repository")


def lessons(root: Path) -> list[Lesson]:
    """All lessons in the order of ``_toc.yml``, the only list of them."""
    import yaml

    try:
        toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as err:
        raise CatalogError(f"_toc.yml cannot be read: {err}") from err
    return [lesson(root, Path(f"{name.removesuffix('.ipynb')}.ipynb")) for name in _files(toc) if _place(name)]


def lesson(root: Path, path: Path) -> Lesson:
    """The lesson of one notebook, ``path`` relative to ``root``."""
    place = _place(path)
    if not place:
        raise CatalogError(f"{path} is no lesson: expected notebooks/phaseN_name/dayNN_slug.ipynb")
    notebook = read_notebook(root / path)
    first = next((text(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"), "")
    title = re.match(r"# Day \d+ · (.+)", first)
    about = notebook.get("metadata", {}).get("lesson", {})
    said: dict[str, Any] = {name: int(about[name]) for name in ("budget", "read", "work") if name in about}
    name = title[1].strip() if title else place[3].replace("_", " ")
    said |= {"needs": tuple(about.get("needs", ())), "alone": about.get("alone", False)}
    return Lesson(int(place[2]), int(place[1]), path, place[3], name, **said)


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as plain JSON, with an error that names the file where it is none."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(notebook["cells"], list) or any("cell_type" not in cell for cell in notebook["cells"]):
            raise TypeError
    except FileNotFoundError as err:
        raise CatalogError(f"{path} does not exist: add the notebook, or take its line out of _toc.yml") from err
    except (json.JSONDecodeError, UnicodeDecodeError) as err:
        raise CatalogError(f"{path} is not JSON ({err}): mend it, or bring it back with `git restore`") from err
    except (KeyError, TypeError) as err:
        raise CatalogError(f"{path} is JSON but no notebook: it has no list of cells") from err
    return dict(notebook)


def text(cell: dict[str, Any]) -> str:
    """A cell's source as one string (the file format allows a list of lines)."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def select(
    root: Path, every: list[Lesson], words: Iterable[str], changed: Callable[[Lesson], bool] = lambda _: True
) -> list[Lesson]:
    """The lessons that ``words`` name, in the order of the book; no words mean all of them.

    Args:
        root: the repository.
        every: ``lessons(root)``.
        words: ``33``, ``27-30``, ``1,6,33``, ``phase2``, ``changed``, ``all`` or a
            notebook's path. A day that is named and not yet in ``_toc.yml`` counts
            if its notebook exists, so that an author can run it.
        changed: what ``changed`` means.

    Raises:
        CatalogError: a word that names nothing; the message lists what exists.
    """
    chosen: dict[int, Lesson] = {}
    for word in [part for item in words for part in item.split(",") if part] or ["all"]:
        found = _matching(root, every, word, changed)
        if not found and word not in ("changed", "all"):
            raise CatalogError(f"nothing matches {word!r}: there are {_known(every)}; or say phase1, changed, all")
        chosen.update((one.day, one) for one in found)
    return [chosen[day] for day in sorted(chosen)]


def _matching(root: Path, every: list[Lesson], word: str, changed: Callable[[Lesson], bool]) -> list[Lesson]:
    if word == "all":
        return every
    if word == "changed":
        return [one for one in every if changed(one)]
    if word.endswith(".ipynb"):
        return [lesson(root, Path(word).resolve().relative_to(root) if Path(word).is_absolute() else Path(word))]
    if phase := re.fullmatch(r"phase(\d)", word):
        return [one for one in every if one.phase == int(phase[1])]
    if days := re.fullmatch(r"(?:day)?(\d{1,2})(?:-(\d{1,2}))?", word):
        first, last = int(days[1]), int(days[2] or days[1])
        listed = {one.day: one for one in every if first <= one.day <= last}
        for day in range(first, last + 1):
            for path in () if day in listed else sorted(root.glob(f"notebooks/phase*/day{day:02d}_*.ipynb")):
                listed[day] = lesson(root, path.relative_to(root))
        return list(listed.values())
    return []


def _known(every: list[Lesson]) -> str:
    days = enumerate(sorted(one.day for one in every))
    runs = [[day for _, day in run] for _, run in groupby(days, lambda pair: pair[1] - pair[0])]
    return "days " + ", ".join(f"{run[0]}-{run[-1]}" if run[1:] else f"{run[0]}" for run in runs)


def _place(name: str | Path) -> re.Match[str] | None:
    return PLACE.search(Path(name).with_suffix("").as_posix())


def _files(toc: Any) -> Iterator[str]:
    if isinstance(toc, dict):
        if isinstance(toc.get("file"), str):
            yield toc["file"]
        toc = list(toc.values())
    if isinstance(toc, list):
        for part in toc:
            yield from _files(part)
