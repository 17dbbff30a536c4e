"""The house rules that a machine can check: sizes, directions of imports, what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELPERS = ROOT / "helpers"
CORE = sorted(HELPERS.glob("*.py"))
RUNNER = sorted((HELPERS / "runner").glob("*.py"))


def lines(files):
    return sum(len(f.read_text().splitlines()) for f in files)


def test_helpers_stay_small():
    assert lines(CORE) <= 1500, {f.name: len(f.read_text().splitlines()) for f in CORE}


def test_runner_stays_small():
    assert lines(RUNNER) <= 1200, {f.name: len(f.read_text().splitlines()) for f in RUNNER}


def test_helpers_import_fast():
    code = "import time; t = time.perf_counter(); import helpers; print(time.perf_counter() - t)"
    laps = [float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)) for _ in range(5)]
    assert min(laps) < 0.2, laps


def test_helpers_import_is_light():
    code = "import helpers, sys; print(*(m for m in ('torch', 'numpy', 'matplotlib', 'IPython') if m in sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == ""


def imported(file, top_level_only=True):
    """Modules of this package that ``file`` imports (at its top level, or anywhere)."""
    tree = ast.parse(file.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("helpers")}


def modules():
    files = [f for f in HELPERS.rglob("*.py") if f.name != "__init__.py"]
    return {".".join(f.relative_to(ROOT).with_suffix("").parts): f for f in files}


def test_no_import_cycle():
    known = modules()
    graph = {name: imported(file) & set(known) for name, file in known.items()}
    state = {}

    def visit(name, path):
        if state.get(name) == "done":
            return
        assert state.get(name) != "open", " → ".join([*path, name])
        state[name] = "open"
        for other in graph[name]:
            visit(other, [*path, name])
        state[name] = "done"

    for name in graph:
        visit(name, [])


def test_lessons_helpers_never_import_the_runner():
    for name, file in modules().items():
        if not name.startswith("helpers.runner"):
            assert not [m for m in imported(file, False) if m.startswith("helpers.runner")], name


def test_no_lesson_imports_the_runner():
    for file in (ROOT / "notebooks").rglob("*.ipynb"):
        assert "helpers.runner" not in file.read_text(), file.name


@pytest.mark.parametrize("word", ["/work/", "/tmp/work", "/opt/wheels", "/root/"])
def test_no_path_of_a_build_machine(word):
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    text = {".py", ".md", ".ipynb", ".yml", ".toml", ".txt", ".in", ".sh", ".json", ".css", ".js", ""}
    own = Path(__file__).relative_to(ROOT).as_posix()
    for name in filter(None, tracked):
        path = ROOT / name
        if name != own and path.suffix in text and path.is_file() and "vendor" not in name:
            assert word not in path.read_text(errors="ignore"), f"{name} mentions {word}"

