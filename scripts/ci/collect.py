"""Bring the executed copies of all shards together: ``python scripts/ci/collect.py FOLDER``.

``FOLDER/*/executed`` goes to ``_build/executed``, ``FOLDER/*/failed`` to ``_build/failed``.
Where a lesson ran on a CPU and on a GPU, the pages show the GPU's copy; the history
(``scripts/history.py --add FOLDER``) counts both.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def on_gpu(path: Path) -> bool:
    """Whether a copy was made on a GPU."""
    made = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("provenance", {})
    return bool(made.get("profile", "cpu") != "cpu")


def collect(folder: Path, root: Path) -> tuple[int, int]:
    """Copy what lies in ``folder``; returns how many lessons were executed and how many failed."""
    counts = []
    for kind in ("executed", "failed"):
        found = sorted(folder.glob(f"*/{kind}/*/*.ipynb"), key=lambda path: (on_gpu(path), path))
        for path in found:  # a GPU's copy comes last and stays
            target = root / "_build" / kind / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        counts.append(len({path.name for path in found}))
    return counts[0], counts[1]


def main() -> int:
    """Collect and say how much there was."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("collect: say the folder that holds the shards' artifacts")
    executed, failed = collect(Path(sys.argv[1]), ROOT)
    print(f"collect: {executed} executed and {failed} failed copies")
    return 0


if __name__ == "__main__":
    sys.exit(main())
