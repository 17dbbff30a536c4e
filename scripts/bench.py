"""Measure the machinery: ``python scripts/bench.py [SELECTION …]`` (default: the four quickest ordinary lessons).

The runner with two jobs against a plain loop of papermill commands over the same
lessons, what one more lesson costs beyond its own work, the book from nothing and
after one edit, and ``import helpers``. All in a copy of the sources, so that the
outputs of this tree stay as they are. Prints a table and writes
``_build/bench.json``. A ratio from one run is worth more than its seconds: they
depend on the machine and on what else it does.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from helpers.runner import catalog, execute, outputs  # noqa: E402

LOOP = "for nb in {lessons}; do {python} -m papermill $nb {out}/$(basename $nb) {options} || exit 1; done"
AIMS = {"ratio": "≥ 1.8", "overhead": "≤ 3", "import": "< 0.2"}


def timed(root: Path, *command: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command in ``root``, children included; ends the bench if it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:200]} failed, nothing was measured:\n{done.stdout[-3000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def copy_sources(root: Path) -> None:
    """What git knows or would take, and the data cache."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=HERE, text=True).split("\0"):
        if name and (HERE / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HERE / name, root / name)
    if (HERE / ".cache").exists():
        (root / ".cache").symlink_to(HERE / ".cache")


def runner(*words: str) -> list[str]:
    """A runner command."""
    return [sys.executable, "-m", "helpers.runner", *words]


def bench_runs(root: Path, lessons: Sequence[catalog.Lesson]) -> dict[str, float]:
    """The runner first, so that a warm disk helps the loop."""
    days = [str(one.day) for one in lessons]
    ours, ours_cpu = timed(root, *runner("run", *days, "--jobs", "2", "--profile", "cpu"))
    (root / "_build" / "loop").mkdir(parents=True)
    paths = " ".join(str(one.path) for one in lessons)
    options = "--cwd . --kernel python3 -p profile cpu --no-progress-bar"
    loop = LOOP.format(lessons=paths, python=sys.executable, out="_build/loop", options=options)
    theirs, theirs_cpu = timed(root, "bash", "-c", loop)
    return {"runner": ours, "loop": theirs, "ratio": theirs / ours, "runner_cpu": ours_cpu, "loop_cpu": theirs_cpu}


def bench_overhead(root: Path) -> dict[str, float]:
    """CPU-seconds that one more lesson costs when all it does is ``import torch``, and the import alone."""
    cells = [("# Day {:02d} · Empty", "markdown"), ("import torch", "code")]
    for day in range(1, 7):
        made = [{"id": kind, "cell_type": kind, "metadata": {}, "source": text.format(day)} for text, kind in cells]
        made[1] |= {"outputs": [], "execution_count": None}
        path = root / "notebooks" / "phase1_empty" / f"day{day:02d}_empty.ipynb"
        outputs.write(path, {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    (root / "_toc.yml").write_text("format: jb-book\nroot: none\n")
    (root / "helpers").symlink_to(HERE / "helpers")
    timed(root, *runner("run", "1"))  # the disk is warm now
    few = timed(root, *runner("run", "1-2", "--jobs", "1"))[1]
    more = timed(root, *runner("run", "1-6", "--jobs", "1"))[1]
    return {"overhead": (more - few) / 4, "torch": timed(root, sys.executable, "-c", "import torch")[1]}


def bench_book(root: Path, lesson: catalog.Lesson) -> dict[str, float]:
    """The book from nothing, and again after one sentence of one lesson changed."""
    build = [sys.executable, "scripts/build_book.py"]
    cold = timed(root, *build, "--fresh")[0]
    page = catalog.read_notebook(root / lesson.path)
    page["cells"][0]["source"] = catalog.text(page["cells"][0]) + "\n\nOne more sentence."
    outputs.write(root / lesson.path, page)
    return {"book_cold": cold, "book_edit": timed(root, *build)[0]}


def bench_import() -> dict[str, float]:
    """Wall seconds of ``import helpers``, the best of five."""
    code = "import time; t = time.perf_counter(); import helpers; print(time.perf_counter() - t)"
    laps = [float(subprocess.check_output([sys.executable, "-c", code], cwd=HERE)) for _ in range(5)]
    return {"import": min(laps)}


def main(words: list[str]) -> None:
    """Run all of it and report."""
    every = catalog.lessons(HERE)
    if words:
        chosen = catalog.select(HERE, every, words)
    else:
        ordinary = [one for one in every if one.budget <= 30 and not one.needs]
        chosen = sorted(ordinary, key=lambda one: execute.standing(HERE, one)[2])[:4]
    with tempfile.TemporaryDirectory(prefix="llm90-bench-") as folder:
        book, empty = Path(folder, "book"), Path(folder, "empty")
        empty.mkdir()
        copy_sources(book)
        found = bench_import() | bench_overhead(empty) | bench_runs(book, chosen) | bench_book(book, chosen[0])
    days = ", ".join(str(one.day) for one in chosen)
    rows = [
        (f"runner, two jobs, days {days}", "runner", "s"),
        ("plain papermill loop, the same lessons", "loop", "s"),
        ("loop / runner", "ratio", "×"),
        ("CPU: runner", "runner_cpu", "CPU-s"),
        ("CPU: loop", "loop_cpu", "CPU-s"),
        ("one more lesson that only imports torch", "overhead", "CPU-s"),
        ("of which the import of torch", "torch", "CPU-s"),
        ("book from nothing", "book_cold", "s"),
        ("book after one edit", "book_edit", "s"),
        ("import helpers", "import", "s"),
    ]
    for text, name, unit in rows:
        print(f"{text:45} {found[name]:8.2f} {unit:6} {'aim ' + AIMS[name] if name in AIMS else ''}".rstrip())
    about = {"days": [one.day for one in chosen], "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    about |= {"machine": platform.machine(), "python": platform.python_version(), "at": time.strftime("%Y-%m-%d %H:%M")}
    (HERE / "_build").mkdir(exist_ok=True)
    (HERE / "_build" / "bench.json").write_text(json.dumps(found | about, indent=1) + "\n", encoding="utf-8")
    print("written: _build/bench.json")


if __name__ == "__main__":
    main(sys.argv[1:])
