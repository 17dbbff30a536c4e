"""The house rules that a machine can check: sizes, directions of imports, what an import costs."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELPERS = ROOT / "helpers"
CORE = sorted(HELPERS.glob("*.py"))
SOURCES = sorted((HELPERS / "sources").glob("*.py"))
RUNNER = sorted((HELPERS / "runner").glob("*.py"))


def lines(file):
    """Lines of code: without blank lines, comments and docstrings, so that explaining costs nothing."""
    source = file.read_text()
    noise = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in noise:
            code |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            code -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(code)


LIMITS = [pytest.param(CORE, 1500, id="helpers"), pytest.param(SOURCES, 380, id="sources")]


@pytest.mark.parametrize(("files", "limit"), [*LIMITS, pytest.param(RUNNER, 1200, id="runner")])
def test_packages_stay_small(files, limit):
    sizes = {f.name: lines(f) for f in files}
    assert sum(sizes.values()) <= limit, sizes


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

