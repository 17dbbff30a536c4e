"""Definitions that a lesson builds and later lessons import: cells tagged ``taught`` → ``helpers/taught/dayNN.py``."""

from __future__ import annotations

import ast
import builtins
import dis
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType

from helpers.runner import catalog

DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
IMPORT = (ast.Import, ast.ImportFrom)


class TaughtError(catalog.RunnerError):
    """Cells that no module can be made of; the message names them and says what to do."""


def module(root: Path, lesson: catalog.Lesson) -> str:
    """The text of a lesson's module; empty where no cell is tagged ``taught``.

    Imports are those of the lesson's that the definitions use; the last line of a
    solution, ``check(…)``, stays behind.

    Raises:
        TaughtError: a tagged cell does more than define, or uses a name that neither
            the tagged cells nor the lesson's imports define.
    """
    imports: dict[str, str] = {}
    parts: list[str] = []
    for cell in catalog.read_notebook(root / lesson.path)["cells"]:
        lines, done = catalog.text(cell).splitlines(), 0
        taught = "taught" in cell["metadata"].get("tags", [])
        useful = cell["cell_type"] == "code" and (taught or "import" in catalog.text(cell))
        for node in ast.parse("\n".join(lines)).body if useful else []:
            before, done = done, node.end_lineno or node.lineno
            if isinstance(node, IMPORT):
                origin = f"from {node.module} import " if isinstance(node, ast.ImportFrom) else "import "
                imports |= {(a.asname or a.name).split(".")[0]: origin + ast.unparse(a) for a in node.names}
            elif taught and isinstance(node, DEFINITION):
                parts.append("\n".join(lines[before:done]).strip("\n"))
            elif taught and not ast.unparse(node).startswith("check("):
                what = f"{lesson.name}, cell {cell['id']}, line {node.lineno} does more than define"
                raise TaughtError(f"{what}: move it to a cell that is not tagged 'taught'")
    body = "\n\n\n".join(parts)
    code = compile(body, "taught", "exec", dont_inherit=True)  # or annotations would not count
    used, own = _names(code, "LOAD"), _names(code, "STORE")
    if unknown := sorted(used - own - imports.keys() - {*dir(builtins), "__name__", "__annotations__"}):
        what = f"{lesson.name}: taught code uses {', '.join(unknown)}"
        raise TaughtError(f"{what}: tag the cell that defines it, or pass it as an argument")
    head = "\n".join(sorted(line for name, line in imports.items() if name in used))
    doc = f'"""Built in day {lesson.day:02d}, {lesson.title}: ``runner taught`` copies it from {lesson.path.name}."""'
    return f"{doc}\n\n{head}\n\n\n{body}\n" if parts else ""


def write(root: Path, lessons: Sequence[catalog.Lesson]) -> list[Path]:
    """Write the modules of ``lessons``, remove those that no cell makes any more; returns what was written."""
    texts = {_place(root, lesson): module(root, lesson) for lesson in lessons}
    for place, text in texts.items():
        place.unlink(missing_ok=True)
        if text:
            place.write_text(text, encoding="utf-8")
    written = [place for place, text in texts.items() if text]
    tidy = [sys.executable, "-m", "ruff", "check", "--quiet", "--select", "I", "--fix", *map(str, written)]
    if written:
        subprocess.run(tidy, cwd=root, check=True)
    return written


def check(root: Path, lessons: Sequence[catalog.Lesson]) -> list[str]:
    """One line for each module that is not what its cells say (compared as syntax trees)."""
    lines = []
    for lesson in lessons:
        place, name = _place(root, lesson), f"helpers/taught/day{lesson.day:02d}.py"
        try:
            text, there = module(root, lesson), place.read_text(encoding="utf-8") if place.exists() else ""
            if _shape(text) != _shape(there):
                what = "differs from" if text and there else "is missing, it is made from" if text else "has no more"
                how = "`python -m helpers.runner taught` writes it"
                lines.append(f"{name} {what} the cells tagged taught in {lesson.path.name}: {how}")
        except (TaughtError, SyntaxError) as err:
            lines.append(f"{name}: {err}")
    return lines


def _place(root: Path, lesson: catalog.Lesson) -> Path:
    return root / "helpers" / "taught" / f"day{lesson.day:02d}.py"


def _names(code: CodeType, op: str) -> set[str]:
    """The global names that ``code`` and the functions in it read (``LOAD``) or define (``STORE``)."""
    ops = {f"{op}_GLOBAL", f"{op}_NAME"}
    inner = [_names(const, op) for const in code.co_consts if isinstance(const, CodeType)]
    return {str(i.argval) for i in dis.get_instructions(code) if i.opname in ops}.union(*inner)


def _shape(text: str) -> tuple[set[str], list[str]]:
    """The module as syntax trees, without the order of its imports, which belongs to ruff."""
    body = ast.parse(text).body
    imports = [node for node in body if isinstance(node, IMPORT)]
    names = {f"{getattr(node, 'module', '')}:{ast.unparse(alias)}" for node in imports for alias in node.names}
    return names, [ast.dump(node) for node in body if node not in imports]
