"""A repository in miniature: tiny lessons, the real helpers, nothing that needs torch."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from helpers.runner import catalog, outputs

ROOT = Path(__file__).parents[2]


def cell(source, name, **metadata):
    return {
        "cell_type": "code",
        "id": name,
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def notebook(day, *sources, budget=30, title=None):
    """A lesson: title, parameters, then code cells ``c1``, ``c2``, … (or ``(id, source)``)."""
    prose = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# Day {day:02d} · {title or 'Tiny'}"}
    cells = [prose, cell('profile = "auto"\nseed = 0', "parameters", tags=["parameters"])]
    cells += [cell(source, f"c{number}") for number, source in enumerate(sources, 1)]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": spec, "language_info": {"name": "python"}, "lesson": {"budget": budget}}
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


class Tree:
    """A repository at ``root`` whose lessons are written by ``add``."""

    def __init__(self, root, helpers):
        self.root = root
        (root / "helpers").symlink_to(helpers)
        (root / "requirements.txt").write_text("papermill\n")
        (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\nparts:\n- chapters: []\n")

    def add(self, day, *sources, phase=1, **more):
        path = Path(f"notebooks/phase{phase}_tiny/day{day:02d}_tiny.ipynb")
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(notebook(day, *(sources or ["print('hello')"]), **more), indent=1)
        (self.root / path).write_text(text + "\n")
        if path.stem not in (toc := (self.root / "_toc.yml").read_text().replace("chapters: []", "chapters:")):
            (self.root / "_toc.yml").write_text(f"{toc}  - file: {path.with_suffix('')}\n")
        return catalog.lesson(self.root, path)

    def fake(self, lesson, store=outputs.STORE, *, profile="cpu", finished="2026-01-01T00:00:00Z", seconds=5, fault=""):
        """A stored copy of the present lesson, as if it had run."""
        source = catalog.read_notebook(self.root / lesson.path)
        for one in outputs.code_cells(source):
            one["execution_count"] = 1
        if fault:
            about = {"lesson": lesson.day, "id": f"{lesson.day:02d}-fault", "needs": None}
            record = {**about, "text": fault, "measured": "0", "status": "fails"}
            source["cells"][-1]["outputs"] = [{"output_type": "display_data", "data": {outputs.CLAIM: record}}]
        source["metadata"]["provenance"] = {
            "device": "a machine",
            "profile": profile,
            "seconds": seconds,
            "finished": finished,
            "key": outputs.key(source, {"profile": profile}),
            "helpers": outputs.helpers_hash(self.root, source, lesson.day),
            "requirements": outputs.requirements_hash(self.root),
        }
        path = outputs.copy_path(self.root, lesson, store)
        outputs.write(path, source)
        return path

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "helpers.runner", *map(str, words)],
            cwd=self.root,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words):
        """Exit code and output of one command."""
        process = self.start(*words)
        said = process.communicate(timeout=120)[0]
        return process.returncode, said

    def processes(self):
        """Everything that works in this tree: the runner, its workers, kernels and what those started."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(self.root):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def orphans(self, seconds=20):
        """What is still alive after so many seconds: [] when all is well."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    def until(self, name, seconds=60):
        """Wait until a lesson has written a file, to know that it is in the middle."""
        end = time.monotonic() + seconds
        while not (self.root / name).exists():
            assert time.monotonic() < end, f"no lesson wrote {name}"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def helpers(tmp_path_factory):
    """A copy of the package, so that editing it during the tests moves no hash."""
    leave = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(ROOT / "helpers", tmp_path_factory.mktemp("copy") / "helpers", ignore=leave)


@pytest.fixture
def tree(tmp_path, helpers):
    made = Tree(tmp_path.resolve(), helpers)
    yield made
    for process in made.processes():  # only after a failed test
        process.send_signal(signal.SIGKILL)
