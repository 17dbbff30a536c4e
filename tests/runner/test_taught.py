"""Modules made of the cells tagged ``taught``: what they hold, what is refused, that a difference is seen."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.runner import catalog, taught

ROOT = Path(__file__).parents[2]
PATH = Path("notebooks/phase2_core/day33_self_attention.ipynb")
SOFTMAX = """# stable: the largest term is exp(0)
def softmax(s):
    e = np.exp(s - s.max())  # (…, n)
    return e / e.sum()"""


@pytest.fixture
def lesson(tmp_path):
    """A function that writes a notebook of (source, *tags) cells and returns the repository's root and the lesson."""
    (tmp_path / "helpers/taught").mkdir(parents=True)

    def make(*cells: tuple[str, ...]):
        raw = [{"cell_type": "markdown", "id": "opening", "metadata": {}, "source": "# Day 33 · Self-attention"}]
        for i, (source, *tags) in enumerate(cells):
            raw.append({"cell_type": "code", "id": f"cell-{i}", "metadata": {"tags": tags}, "source": source})
        (tmp_path / PATH).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / PATH).write_text(json.dumps({"cells": raw, "metadata": {}}))
        return tmp_path, catalog.lesson(tmp_path, PATH)

    return make


def test_the_module_holds_definitions_and_the_imports_they_use(lesson):
    root, one = lesson(
        ("from math import sqrt, pi as circle\nimport os.path\n\nimport numpy as np\nimport torch",),
        (SOFTMAX, "taught"),
        ("print(softmax(np.zeros(3)))",),
        ("SCALE = 1 / sqrt(4)\n\n\n@staticmethod\ndef area(r: float) -> float:\n    return circle * r**2", "taught"),
    )
    (place,) = taught.write(root, [one])
    text = place.read_text()
    assert text.startswith('"""Built in day 33, Self-attention')
    assert SOFTMAX in text and "@staticmethod\ndef area" in text and "print" not in text
    assert "import torch" not in text and "os" not in text.split("def")[0]
    space: dict = {}
    exec(compile(text, "day33", "exec"), space)
    assert space["softmax"](space["np"].zeros(4)).tolist() == [0.25] * 4
    assert space["SCALE"] == 0.5
    assert taught.check(root, [one]) == []


def test_what_is_written_passes_ruff(lesson):
    imports = "import torch.nn.functional as F\nimport torch\nfrom torch import nn, Tensor\nfrom helpers import bench"
    code = "def f(x: Tensor) -> Tensor:\n    return F.relu(x) + math.pi\n\n\nclass Net(nn.Module): ..."
    root, one = lesson((imports,), ("import math\n\n" + code, "taught"))
    (place,) = taught.write(root, [one])
    rules = ["--isolated", "--line-length", "120", "--select", "E,F,I,B,UP,SIM"]
    subprocess.run([sys.executable, "-m", "ruff", "check", *rules, place], check=True)
    assert "bench" not in place.read_text() and "import torch\n" not in place.read_text()


def test_a_solution_leaves_its_check_behind(lesson):
    root, one = lesson(("def attend(q):\n    return q\n\ncheck(attend)", "solution", "taught"))
    assert taught.module(root, one).endswith("def attend(q):\n    return q\n")


def test_no_tagged_cell_no_module(lesson):
    root, one = lesson((SOFTMAX,))
    assert taught.write(root, [one]) == [] and taught.check(root, [one]) == []


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([(SOFTMAX, "taught")], "taught code uses np: tag the cell that defines it"),
        ([("import numpy as np",), (SOFTMAX + "\n\nprint(softmax)", "taught")], "cell-1, line 6 does more than define"),
        ([("def f(x):\n    return x.to(device)", "taught")], "taught code uses device"),
        ([("def f(x):\n    return [g(y) for y in x]", "taught")], "taught code uses g"),
        ([("class A(Base):\n    pass", "taught")], "taught code uses Base"),
    ],
)
def test_code_that_makes_no_module_is_refused(lesson, cells, message):
    root, one = lesson(*cells)
    with pytest.raises(taught.TaughtError, match="Self-attention.*" + message.replace("(", r"\(")):
        taught.write(root, [one])
    (line,) = taught.check(root, [one])
    assert message in line and line.startswith("helpers/taught/day33.py: ")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda p: p.unlink(), "is missing"),
        (lambda p: p.write_text(p.read_text().replace("s.max()", "s.min()")), "differs from the cells"),
        (lambda p: p.write_text(p.read_text().replace("import numpy", "import cupy")), "differs from the cells"),
        (lambda p: p.write_text(p.read_text() + "\n\ndef extra(): ...\n"), "differs from the cells"),
        (lambda p: p.write_text(p.read_text().replace("day 33", "day 34")), "differs from the cells"),
    ],
)
def test_a_module_that_is_not_its_cells_is_seen(lesson, edit, message):
    root, one = lesson(("import numpy as np",), (SOFTMAX, "taught"))
    (place,) = taught.write(root, [one])
    edit(place)
    (line,) = taught.check(root, [one])
    assert message in line and "runner taught" in line


def test_comments_and_layout_do_not_count(lesson):
    root, one = lesson(("import numpy as np",), (SOFTMAX, "taught"))
    (place,) = taught.write(root, [one])
    place.write_text(place.read_text().replace("# (…, n)", "# other words"))
    assert taught.check(root, [one]) == []


def test_a_module_whose_cell_is_gone_is_seen_and_removed(lesson):
    root, one = lesson(("import numpy as np",), (SOFTMAX, "taught"))
    (place,) = taught.write(root, [one])
    root, one = lesson(("import numpy as np",))
    (line,) = taught.check(root, [one])
    assert "has no more" in line
    assert taught.write(root, [one]) == [] and not place.exists()


def test_the_book_s_modules_are_its_cells():
    every = catalog.lessons(ROOT)
    assert taught.check(ROOT, every) == []
    made = {f"day{one.day:02d}.py" for one in every if taught.module(ROOT, one)}
    there = sorted((ROOT / "helpers/taught").glob("day*.py"))
    assert {path.name for path in there} == made
    for path in there:
        assert f"day {path.stem[3:]}" in (ast.get_docstring(ast.parse(path.read_text())) or "")
