"""Run a dozen lessons with the newest versions of everything, and say what would break: ``python scripts/drift.py``.

An environment under ``_build/drift`` gets the newest torch and the newest of every package that
``requirements/lessons.in`` names, whatever the lock says. The dozen is chosen to touch as many packages as
possible. ``_build/drift/report.md`` tells which versions are newer, which lessons raise, and
which claims say something else than the stored copy. ``--days`` only prints the choice.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from helpers.claims import MIME as CLAIM  # noqa: E402
from helpers.runner import catalog, outputs  # noqa: E402
from scripts import alone  # noqa: E402
from scripts.colab import runs_there, wanted  # noqa: E402

PLACE = ROOT / "_build/drift"
VENV = PLACE / "venv"


def dozen(root: Path) -> list[catalog.Lesson]:
    """Twelve lessons that together use as many packages as possible; days spread where there is a tie."""
    left = {one.day: one for one in catalog.lessons(root) if runs_there(one)}
    uses = {day: {*wanted(root, one)[0], *wanted(root, one)[1]} for day, one in left.items()}
    seen: set[str] = set()
    chosen: list[catalog.Lesson] = []
    while left and len(chosen) < alone.DOZEN:
        far = {day: min((abs(day - one.day) for one in chosen), default=0) for day in left}
        best = max(left, key=lambda day: (len(uses[day] - seen), far[day], -day))
        seen |= uses[best]
        chosen.append(left.pop(best))
    return sorted(chosen, key=lambda one: one.day)


def names(root: Path) -> list[str]:
    """Every package that the lessons ask for, without its version."""
    lines = (root / "requirements/lessons.in").read_text(encoding="utf-8").splitlines()
    wishes = (re.split(r"[<>=!~;]", line.split("#")[0], maxsplit=1)[0].strip() for line in lines)
    return [wish for wish in wishes if wish]


def packages(root: Path, chosen: list[catalog.Lesson]) -> list[str]:
    """What ``names`` says, and what the chosen lessons want beside it: test tools, papermill."""
    wishes = names(root)
    have = {wish.split("[")[0] for wish in wishes}
    asked = {one for lesson in chosen for one in wanted(root, lesson)[1]}
    return [*wishes, *sorted(one for one in asked if not have & {one.split("[")[0], f"{one}-cpu"})]


def newer(root: Path) -> list[tuple[str, str, str]]:
    """(package, version in the lock, version here) of what differs."""
    lock = dict(
        re.findall(r"^([a-z0-9._-]+)==([^ ;\n]+)", (root / "requirements.txt").read_text(encoding="utf-8"), re.M)
    )
    lock["torch"] = re.search(r"version=(\S+)", (root / "scripts/pick_torch.sh").read_text())[1]  # type: ignore[index]
    tool = Path(sys.executable).with_name("uv")
    ask = [str(tool), "pip", "freeze", "-p", str(VENV / "bin/python")]
    done = subprocess.run(ask, capture_output=True, text=True, check=True)
    here = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", done.stdout, re.M))
    found = [(name, lock.get(name.lower(), ""), version.split("+")[0]) for name, version in here.items()]
    return sorted((name, old, new) for name, old, new in found if old and old != new)


def changed(root: Path, lesson: catalog.Lesson, copy: dict[str, Any]) -> list[str]:
    """Claims whose word differs from the stored copy's."""
    stored = {one["id"]: one for one in outputs.records(outputs.read(root, lesson) or {"cells": []}, CLAIM)}
    said = []
    for one in outputs.records(copy, CLAIM):
        old = stored.get(one["id"])
        if old and old["status"] != one["status"]:
            said.append(f"{one['text']} {old['status']} ({old['measured']}) → {one['status']} ({one['measured']})")
    return said


def prepare(chosen: list[catalog.Lesson]) -> None:
    """The newest of everything that resolves together; torch for a CPU, and no other in its place."""
    PLACE.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    try:
        alone.uv(VENV, "--torch-backend=cpu", "torch")
    except subprocess.CalledProcessError:
        print("drift: PyTorch's index does not answer, so torch is the lock's", flush=True)
        alone.base(VENV)
    show = "import importlib.metadata as m; print(m.version('torch'))"
    torch = subprocess.check_output([str(VENV / "bin/python"), "-c", show], text=True).strip()
    (PLACE / "kept.txt").write_text(f"torch=={torch}\n", encoding="utf-8")
    alone.uv(VENV, "--upgrade", "--constraints", str(PLACE / "kept.txt"), "ipykernel", *packages(ROOT, chosen))
    alone.add_helpers(VENV, {"data", "models"})


def main() -> int:
    """Prepare, run, compare, report; 1 when a lesson would break."""
    chosen = dozen(ROOT)
    if sys.argv[1:] == ["--days"]:
        print(*(one.day for one in chosen))
        return 0
    prepare(chosen)
    versions = newer(ROOT)
    lines, bad = ["# Drift", "", f"{len(versions)} packages are not of the lock's version.", ""], 0
    for lesson in chosen:
        took, copy, faults = alone.run(lesson, VENV)
        said = faults or changed(ROOT, lesson, copy)
        bad += bool(faults)
        print(f"{'FAILS' if faults else 'ok   '}  {lesson.name} ({took} s)", *said, sep="\n  ", flush=True)
        lines += [
            f"## {lesson.name}: {'breaks' if faults else 'runs'} ({took} s)",
            "",
            *(f"- {one}" for one in said),
            "",
        ]
    lines += [
        "## Versions",
        "",
        "| package | lock | here |",
        "|---|---|---|",
        *(f"| {a} | {b} | {c} |" for a, b, c in versions),
    ]
    (PLACE / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"drift: {len(chosen) - bad} of {len(chosen)} lessons run with the newest versions: {PLACE / 'report.md'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
