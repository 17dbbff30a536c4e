"""Copies of the lessons that run on Colab, in ``_build/colab``: ``python scripts/colab.py [--ref COMMIT]``.

Colab has torch and no copy of this repository, so such a copy begins with one more cell,
which installs ``helpers`` from the repository's address and what the lesson imports. That
cell cannot stand in ``notebooks/``: the key of an executed copy is the hash of the code
cells, so one address would make every output stale, and no address is known until
``make repo URL=…``. The workflow *publish* puts these copies on the branch ``colab``, where
the pages' buttons lead.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from helpers.runner import catalog  # noqa: E402
from scripts import bundle  # noqa: E402

OUT = "_build/colab"
NAMES = {
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "cv2": "opencv-python",
    "line_profiler": "line-profiler",
    "jupyter_client": "jupyter-client",
    "IPython": "ipython",
}
NAMES |= {"mpl_toolkits": "matplotlib", "google": "protobuf"}
EXTRAS = {"datasets": "data", "zoo": "models"}  # what a helper module needs beyond helpers' own requirements
DATA = {"arch", "bokeh_sampledata", "mlxtend"}  # carriers of data that no extra brings
ANYWHERE = {"gpu", "multiprocess", "mlflow"}  # needs that a notebook service can meet, or do without


def imports(code: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every module that Python code imports, anywhere in it, with the names it takes from it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, tuple(alias.name for alias in node.names)


def wanted(root: Path, lesson: catalog.Lesson) -> tuple[list[str], list[str]]:
    """The extras of ``helpers`` and the other packages that a lesson needs where torch is there already."""
    code = bundle.source(root, lesson)
    extras, packages = set(), bundle.silent(code) | (bundle.carriers(code) & DATA)
    for module, names in imports(code):
        top = module.split(".")[0]
        if top == "helpers":
            extras |= {EXTRAS[name] for name in (*module.split("."), *names) if name in EXTRAS}
        elif top not in (*sys.stdlib_module_names, "torch") and f"{top}/__init__.py" not in code:
            packages.add(NAMES.get(top, top))
    whole = {name.split("[")[0] for name in packages if "[" in name}
    return sorted(extras), sorted(packages - whole)


def runs_there(lesson: catalog.Lesson) -> bool:
    """Whether a notebook service can run the lesson at all."""
    return set(lesson.needs) <= ANYWHERE


def cell(root: Path, lesson: catalog.Lesson, url: str, ref: str) -> dict[str, object]:
    """The first code cell of a lesson's copy."""
    extras, packages = wanted(root, lesson)
    name = f"llm90-helpers[{','.join(extras)}]" if extras else "llm90-helpers"
    source = "# Only on Colab: this book's helpers and what the lesson imports; about a minute\n" + " ".join(
        [f'%pip install --quiet "{name} @ git+{url}@{ref}"', *(f'"{one}"' for one in packages)]
    )
    return {
        "cell_type": "code",
        "id": "colab",
        "metadata": {"tags": ["colab"]},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }


def address(root: Path) -> tuple[str, str]:
    """The repository's address and branch, from the one place that names them."""
    about = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    return (about.get("url") or "").rstrip("/"), about.get("branch") or "main"


def main() -> int:
    """Write the copies of all finished lessons that Colab can run."""
    parser = argparse.ArgumentParser(description="write the copies of the lessons that run on Colab")
    parser.add_argument("--ref", help="commit, tag or branch to install helpers from (default: the book's branch)")
    parser.add_argument("--out", type=Path, default=ROOT / OUT)
    given = parser.parse_args()
    url, branch = address(ROOT)
    if "github.com" not in url:
        print("Colab opens notebooks from GitHub: first `make repo URL=https://github.com/OWNER/NAME`", file=sys.stderr)
        return 1
    count = 0
    for lesson in filter(runs_there, catalog.lessons(ROOT)):
        notebook = catalog.read_notebook(ROOT / lesson.path)
        first = next(i for i, one in enumerate(notebook["cells"]) if one["cell_type"] == "code")
        notebook["cells"].insert(first, cell(ROOT, lesson, url, given.ref or branch))
        path = given.out / lesson.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        count += 1
    print(f"colab: {count} lessons in {given.out}, helpers from {url}@{given.ref or branch}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
