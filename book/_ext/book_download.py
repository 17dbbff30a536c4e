"""All notebooks in one file, with the helpers they import: unpack, ``pip install .``, run."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import book_plan

NAME = "llm90-notebooks.zip"
FOLDER = "llm90"
BESIDE = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT")
EPOCH = (2026, 1, 1, 0, 0, 0)  # the same files give the same archive


def members(root: Path) -> list[Path]:
    """What the archive holds: the finished lessons and the package they import, without the runner."""
    lessons = [root / f"{day.docname}.ipynb" for day in book_plan.load(root).finished]
    package = [path for path in (root / "helpers").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    helpers = [path for path in package if "runner" not in path.relative_to(root).parts]
    return sorted([*lessons, *helpers, *(root / name for name in BESIDE if (root / name).exists())])


def pack(root: Path, target: Path) -> int:
    """Write the archive; returns how many files it holds."""
    files = members(root)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            about = zipfile.ZipInfo(f"{FOLDER}/{path.relative_to(root).as_posix()}", EPOCH)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(about, path.read_bytes())
    return len(files)


def write(app: Any, exception: Exception | None) -> None:
    """Beside the pages, when they are all written."""
    if exception is None and app.builder.name == "html":
        pack(Path(app.srcdir), Path(app.outdir) / NAME)


def setup(app: Any) -> None:
    """Register the event."""
    app.connect("build-finished", write)
