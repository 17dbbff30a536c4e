"""Cut the lessons into shards of about equal time, as JSON for a workflow's matrix.

``python scripts/ci/shards.py --count 6 [--changed] [--gpu]`` prints
``[{"name": "1", "days": "1 7 33"}, …]``; an empty list when nothing is to run. Times are
those of each lesson's last run; a lesson without one counts by its budget.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from helpers.runner import catalog, outputs  # noqa: E402

Shard = dict[str, str]


def seconds(root: Path, lesson: catalog.Lesson) -> float:
    """How long the lesson will take, by its last run."""
    copy = outputs.read(root, lesson) or {}
    made = copy.get("metadata", {}).get("provenance", {})
    return float(made.get("seconds") or 2 * lesson.budget)


def larger_on_gpu(root: Path, lesson: catalog.Lesson) -> bool:
    """Whether a GPU changes anything: the lesson has sizes for it, or claims that need one."""
    cells = catalog.read_notebook(root / lesson.path)["cells"]
    code = "\n".join(catalog.text(cell) for cell in cells if cell["cell_type"] == "code")
    return bool(re.search(r"\bgpu(_large)?\s*=\s*dict\(|needs=[\"']gpu", code))


def cut(times: dict[int, float], count: int) -> list[Shard]:
    """Longest first into the shard that has least: within a third of the best possible."""
    shards: list[list[int]] = [[] for _ in range(min(count, len(times)))]
    for day in sorted(times, key=lambda one: (-times[one], one)):
        min(shards, key=lambda some: sum(times[one] for one in some)).append(day)
    return [{"name": str(i), "days": " ".join(map(str, sorted(some)))} for i, some in enumerate(shards, 1)]


def main() -> int:
    """Print the shards."""
    parser = argparse.ArgumentParser(description="cut the lessons into shards of about equal time")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--changed", action="store_true", help="only lessons whose output is stale, old or missing")
    parser.add_argument("--gpu", action="store_true", help="only lessons that are larger on a GPU")
    given = parser.parse_args()
    chosen = catalog.lessons(ROOT)
    if given.changed:
        chosen = [one for one in chosen if outputs.state(ROOT, one) != "current"]
    if given.gpu:
        chosen = [one for one in chosen if larger_on_gpu(ROOT, one)]
    print(json.dumps(cut({one.day: seconds(ROOT, one) for one in chosen}, given.count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
