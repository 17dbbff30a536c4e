"""The store of executed copies: key, provenance, staleness, merge with the present prose, atomic writes.

Notebooks are plain JSON dictionaries here, so that the book can use this module
without importing a Jupyter library.
"""

from __future__ import annotations

import ast
import base64
import errno
import hashlib
import io
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from helpers.claims import MIME as CLAIM
from helpers.exercises import MIME as EXERCISE
from helpers.runner.catalog import CatalogError, Lesson, RunnerError, read_notebook, text

State = Literal["current", "stale", "to re-run", "missing"]
Notebook = dict[str, Any]

SCHEMA = 1  # raise it when old copies must not pass for new ones
STORE = "outputs"  # what the book shows, in git
BUILD = "_build/executed"  # what `run` writes
FAILED = "_build/failed"  # partial copies
BYTES = 300_000  # largest executed copy that is accepted
TROUBLE = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EROFS: "the file system is read-only: write access is needed there",
    errno.EACCES: "writing there is not allowed: check the folder's permissions",
}


class StoreError(RunnerError):
    """A copy that cannot be written or accepted; the message says why and what to do."""


def copy_path(root: Path, lesson: Lesson, store: str = STORE) -> Path:
    """Where a lesson's executed copy lies: the folder and name of its source, under ``store``."""
    return root / store / lesson.path.parent.name / lesson.path.name


def code_cells(notebook: Notebook) -> list[dict[str, Any]]:
    """The code cells, without the one that papermill injects."""
    found = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [cell for cell in found if "injected-parameters" not in cell.get("metadata", {}).get("tags", [])]


def parameters(notebook: Notebook) -> dict[str, Any]:
    """Names and defaults of the cell tagged ``parameters`` (literals of one line)."""
    found: dict[str, Any] = {}
    for cell in code_cells(notebook):
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            for name, value in re.findall(r"^(\w+) *= *(.+)", text(cell), flags=re.M):
                with suppress(ValueError, SyntaxError):  # what is no literal counts in the key by its source
                    found[name] = ast.literal_eval(value)
    return found


def key(notebook: Notebook, given: Mapping[str, Any]) -> str:
    """What an output depends on: the code cells in order and the parameters; prose does not count.

    Args:
        notebook: the clean source.
        given: parameters that override the defaults; ``profile`` is the one that
            ran (``cpu``, ``gpu``, ``gpu_large``), never ``auto``.
    """
    effective = {**parameters(notebook), **given}
    content = [SCHEMA, [text(cell) for cell in code_cells(notebook)], sorted(effective.items())]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, default=str).encode()).hexdigest()


def helpers_hash(root: Path, notebook: Notebook, day: int) -> str:
    """Hash of the helper files that a lesson can reach: the package, its checks, the taught modules it names."""
    package = root / "helpers"
    files = {p for p in package.rglob("*.py") if p.parent.name not in ("taught", "checks", "runner")}
    files.add(package / "checks" / f"day{day:02d}.py")
    todo = [text(cell) for cell in code_cells(notebook)]
    while todo:
        code = todo.pop()
        for name in set(re.findall(r"\bday\d\d\b", code)) if "taught" in code else ():
            module = package / "taught" / f"{name}.py"
            if module.exists() and module not in files:
                files.add(module)
                todo.append(module.read_text(encoding="utf-8"))
    return _digest(root, files)


def requirements_hash(root: Path) -> str:
    """Hash of the lock."""
    return _digest(root, [root / "requirements.txt"])


def _digest(root: Path, files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(filter(Path.exists, files)):
        total.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]


def commit(root: Path, lesson: Lesson) -> str:
    """Short commit of the tree, with ``+`` where the lesson or the helpers differ from it; without git, the kit's."""

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        paths = str(lesson.path), "helpers", "requirements.txt"
        dirty = ask("--no-optional-locks", "status", "--porcelain", "--", *paths)
        return ask("rev-parse", "--short=12", "HEAD") + ("+" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("LLM90_COMMIT", "")  # a kit has no history, only this


def read(root: Path, lesson: Lesson, store: str = STORE) -> Notebook | None:
    """A lesson's executed copy, or ``None`` where there is none that can be read."""
    try:
        return read_notebook(copy_path(root, lesson, store))
    except (CatalogError, OSError):
        return None


def state(root: Path, lesson: Lesson, store: str = STORE) -> State:
    """Whether the executed copy still belongs to the lesson.

    ``stale``: the lesson's code changed, the output must not be shown. ``to re-run``:
    the code is the same, but helpers or requirements changed since.
    """
    copy = read(root, lesson, store)
    made = (copy or {}).get("metadata", {}).get("provenance")
    if not made:
        return "missing"
    source = read_notebook(root / lesson.path)
    if made["key"] != key(source, {"profile": made["profile"]}):
        return "stale"
    now = helpers_hash(root, source, lesson.day), requirements_hash(root)
    return "current" if now == (made["helpers"], made["requirements"]) else "to re-run"


def merge(clean: Notebook, executed: Notebook) -> Notebook:
    """The present prose with the stored outputs: outputs return to the cell of the same id and the same code."""
    ran = {cell.get("id"): cell for cell in code_cells(executed)}
    merged = []
    for cell in clean["cells"]:
        new = {**cell, "metadata": dict(cell.get("metadata", {}))}
        if cell["cell_type"] == "code":
            old = ran.get(cell.get("id"), {})
            same = bool(old) and text(old) == text(cell)
            new["outputs"] = old.get("outputs", []) if same else []
            new["execution_count"] = old.get("execution_count") if same else None
            if same and "seconds" in old.get("metadata", {}):
                new["metadata"]["seconds"] = old["metadata"]["seconds"]
        merged.append(new)
    about = {k: v for k, v in executed.get("metadata", {}).items() if k == "provenance"}
    return {**clean, "cells": merged, "metadata": {**clean.get("metadata", {}), **about}}


def records(notebook: Notebook, mime: str) -> list[dict[str, Any]]:
    """All records of one kind (``CLAIM`` or ``EXERCISE``), in the order of the page."""
    found = [out.get("data", {}).get(mime) for cell in code_cells(notebook) for out in cell.get("outputs", [])]
    return [record for record in found if record]


def errors(notebook: Notebook) -> list[tuple[str, dict[str, Any]]]:
    """(cell id, error output) of every cell that raised."""
    shown = [(str(cell.get("id")), out) for cell in code_cells(notebook) for out in cell.get("outputs", [])]
    return [(name, out) for name, out in shown if out.get("output_type") == "error"]


def faults(notebook: Notebook) -> list[str]:
    """Why an executed copy is not good, in words; empty for a good one."""
    found = [f"cell {cell_id} raised {out['ename']}: {out['evalue']}" for cell_id, out in errors(notebook)]
    idle = [
        str(cell.get("id")) for cell in code_cells(notebook) if text(cell).strip() and not cell.get("execution_count")
    ]
    if idle:
        found.append(f"{len(idle)} cells never ran, from {idle[0]} on")
    for record in records(notebook, CLAIM):
        if record["status"] not in ("holds", "not-run"):
            found.append(f"claim fails: {record['text']} (measured {record['measured']})")
    answers: dict[str, list[str]] = {}
    for record in records(notebook, EXERCISE):
        answers.setdefault(record["name"], []).append(record["status"])
    for name, said in answers.items():
        if said[0] != "todo" or said[-1] != "passed" or len(said) < 2:
            found.append(f"exercise {name}: the stub must give todo and the solution passed, got {', '.join(said)}")
    return found


def write(path: Path, notebook: Notebook) -> int:
    """Write a notebook whole or not at all, and return its bytes: an earlier copy survives any failure."""
    content = json.dumps(notebook, indent=1, ensure_ascii=False).encode() + b"\n"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as err:
        why = TROUBLE.get(err.errno or 0, f"{err.strerror}: mend this and run again")
        raise StoreError(f"{path} was not written (an earlier copy is untouched): {why}") from err
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)
    return len(content)


def accept(root: Path, lesson: Lesson) -> int:
    """Move the good executed copy of a lesson into the store; returns its bytes.

    Raises:
        StoreError: there is none, it is not good, it is not of the present code, it
            is too large, or it would replace a current GPU output by a CPU one.
    """
    new = read(root, lesson, BUILD)
    if new is None:
        raise StoreError(f"no executed copy in {BUILD}: first `python -m helpers.runner run {lesson.day}`")
    if wrong := faults(new):
        raise StoreError("; ".join(wrong))
    if state(root, lesson, BUILD) == "stale":
        raise StoreError(f"its code changed after the run: `python -m helpers.runner run {lesson.day}` again")
    stored = (read(root, lesson) or {}).get("metadata", {}).get("provenance", {"profile": "cpu"})
    gpu = stored["profile"] != "cpu" and state(root, lesson) != "stale"
    if gpu and new["metadata"]["provenance"]["profile"] == "cpu":
        raise StoreError("the stored output is from a GPU and still current, it stays: accept a GPU run instead")
    new = merge(read_notebook(root / lesson.path), new)
    for cell in code_cells(new):
        for out in cell["outputs"]:
            if "image/png" in out.get("data", {}):
                out["data"]["image/png"] = quantise(out["data"]["image/png"])
    size = len(json.dumps(new, indent=1, ensure_ascii=False).encode())
    if size > BYTES:
        raise StoreError(f"{size / 1000:.0f} KB, allowed are {BYTES / 1000:.0f}: fewer marks, figures or log lines")
    return write(copy_path(root, lesson), new)


def quantise(png: str | list[str]) -> str:
    """A base64 PNG in 256 colours, if it is not yet and if that is smaller."""
    from PIL import Image

    png = "".join(png)
    picture: Image.Image = Image.open(io.BytesIO(base64.b64decode(png)))
    if picture.mode == "P":
        return png
    small = io.BytesIO()
    picture.convert("RGBA").quantize(256, method=Image.Quantize.FASTOCTREE).save(small, "PNG", optimize=True)
    return min(png, base64.b64encode(small.getvalue()).decode(), key=len)
