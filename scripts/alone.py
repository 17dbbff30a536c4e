"""Run lessons as a stranger's notebook service would: ``python scripts/alone.py [DAY …]`` (default: a dozen).

A clean environment under ``_build/alone`` gets torch, a kernel, and for each lesson what
its Colab cell installs: ``helpers`` with named extras, built from this repository, and the
packages that the lesson imports, at whatever version the index has. The lesson then runs from
its notebook alone, in an empty folder, with ``profile = "auto"``: no repository, no lock.
Results stand in ``_build/alone/report.json``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from helpers.runner import catalog, outputs  # noqa: E402
from scripts.colab import runs_there, wanted  # noqa: E402

PLACE = ROOT / "_build/alone"
VENV = PLACE / "venv"
DOZEN = 12


def uv(venv: Path, *words: str) -> None:
    """Install into an environment; what goes wrong is shown."""
    tool = Path(sys.executable).with_name("uv")
    subprocess.run([str(tool), "pip", "install", "--quiet", "-p", str(venv / "bin/python"), *words], check=True)


def add_helpers(venv: Path, extras: set[str], *packages: str) -> None:
    """Install this repository's helpers, built from a copy: setuptools leaves a folder where it builds."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "book"
        shutil.copytree(ROOT / "helpers", copy / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copyfile(ROOT / name, copy / name)
        uv(venv, "--reinstall-package", "llm90-helpers", f"{copy}[{','.join(sorted(extras))}]", *packages)


def base(venv: Path) -> None:
    """The torch that make setup would pick, with what torch itself needs, and a kernel."""
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pin = next(line for line in lock.splitlines() if line.startswith("uv=="))
    subprocess.run([str(venv / "bin/python"), "-m", "pip", "install", "--quiet", pin], check=True)
    subprocess.run([str(ROOT / "scripts/pick_torch.sh"), str(venv)], check=True)
    needed = (ROOT / "requirements/torch.in").read_text(encoding="utf-8").splitlines()
    uv(venv, "ipykernel", "numpy", *(line for line in needed if line and not line.startswith("#")))


def prepare(lessons: list[catalog.Lesson]) -> None:
    """The environment: torch as make setup picks it, a kernel, and what the lessons' Colab cells name."""
    if not (VENV / ".made").exists():
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        base(VENV)
        (VENV / ".made").touch()
    extras: set[str] = set()
    packages: set[str] = set()
    for lesson in lessons:
        more, others = wanted(ROOT, lesson)
        extras |= set(more)
        packages |= set(others)
    add_helpers(VENV, extras, *sorted(packages))


def run(lesson: catalog.Lesson, venv: Path = VENV) -> tuple[float, dict[str, Any], list[str]]:
    """Execute one lesson in an empty folder with an environment's kernel: seconds, executed copy, faults."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copyfile(ROOT / lesson.path, folder / lesson.path.name)
        spec = folder / "jupyter/kernels/alone"
        spec.mkdir(parents=True)
        command = [str(venv / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        about = {"argv": command, "display_name": "alone", "language": "python"}
        (spec / "kernel.json").write_text(json.dumps(about), encoding="utf-8")
        work = folder / "work"
        work.mkdir()
        home = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "LLM90_ROOT")}
        home |= {"JUPYTER_PATH": str(folder / "jupyter"), "PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}
        call = [sys.executable, "-m", "papermill", "--kernel", "alone", "--cwd", str(work), "--no-progress-bar"]
        call += ["--start-timeout", "120", str(folder / lesson.path.name), str(folder / "out.ipynb")]
        start = time.monotonic()
        done = subprocess.run(call, env=home, cwd=work, capture_output=True, text=True, timeout=1800)
        out = folder / "out.ipynb"
        copy = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"cells": []}
        faults = outputs.faults(copy) if copy["cells"] else ["it did not start: " + done.stderr[-500:]]
        return round(time.monotonic() - start, 1), copy, faults


def chosen(words: list[str]) -> list[catalog.Lesson]:
    """The lessons asked for, or a dozen spread over those that can run anywhere."""
    every = [one for one in catalog.lessons(ROOT) if runs_there(one)]
    if words:
        return catalog.select(ROOT, every, words)
    step = max(1.0, len(every) / DOZEN)
    return [every[int(i * step)] for i in range(min(DOZEN, len(every)))]


def main() -> int:
    """Prepare, run one after another, report."""
    lessons = chosen(sys.argv[1:])
    prepare(lessons)
    report = []
    for lesson in lessons:
        took, _, faults = run(lesson)
        report.append({"day": lesson.day, "seconds": took, "faults": faults})
        print(
            f"{'FAILS' if faults else 'ok   '}  {lesson.name} ({took} s)",
            *faults,
            sep="\n  ",
            flush=True,
        )
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    bad = sum(bool(one["faults"]) for one in report)
    print(f"alone: {len(report) - bad} of {len(report)} lessons run from their notebook alone")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
