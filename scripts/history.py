"""Keep what every run found, so that the book can draw trends: ``python scripts/history.py``.

Writes ``_build/history.json``: one entry for each executed copy that git ever held under
``outputs/``. The nightly job adds ``--add FOLDER``, for the copies its shards brought, and
``--merge FILE``, for the published history. Without git only the copies in ``outputs/``
count. Old entries are thinned to one a week.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from helpers.claims import MIME as CLAIM  # noqa: E402
from helpers.runner import outputs  # noqa: E402

PLACE = "_build/history.json"
SEEN = "_build/history.seen"  # blobs of git that were read already
COPY = re.compile(r"outputs/[^/]+/day(\d\d)_\w+\.ipynb$")
FULL_DAYS = 90  # younger entries are all kept
Entry = dict[str, Any]


def entry(day: int, copy: dict[str, Any]) -> Entry | None:
    """What one executed copy found; None for a copy without provenance."""
    made = copy.get("metadata", {}).get("provenance")
    if not made:
        return None
    kept = {name: made.get(name) for name in ("finished", "device", "profile", "seconds", "torch", "key")}
    claims = {one["id"]: [one["status"], str(one["measured"])] for one in outputs.records(copy, CLAIM)}
    return {"day": day, **kept, "passed": not outputs.faults(copy), "claims": claims}


def from_git(root: Path, seen: set[str]) -> Iterator[Entry]:
    """Entries of all copies that git holds and ``seen`` does not name; adds what it reads to ``seen``."""
    ask = ["git", "-C", str(root), "log", "--format=", "--raw", "--no-abbrev", "--no-renames", "--", "outputs"]
    done = subprocess.run(ask, capture_output=True, text=True)
    blobs: dict[str, int] = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        words, _, path = line.partition("\t")
        match, blob = COPY.search(path), words.split()[3]
        if match and blob.strip("0") and blob not in seen:
            blobs[blob] = int(match[1])
    for blob, day in blobs.items():
        text = subprocess.run(["git", "-C", str(root), "cat-file", "blob", blob], capture_output=True).stdout
        seen.add(blob)
        found = entry(day, json.loads(text)) if text else None
        if found:
            yield found


def from_folders(folders: Iterable[Path]) -> Iterator[Entry]:
    """Entries of the executed copies that lie anywhere in these folders."""
    for folder in folders:
        for path in sorted(folder.rglob("day[0-9][0-9]_*.ipynb")):
            found = entry(int(path.name[3:5]), json.loads(path.read_text(encoding="utf-8")))
            if found:
                yield found


def merged(*many: Iterable[Entry]) -> list[Entry]:
    """Each run once, oldest first."""
    unique = {(one["day"], one["finished"], one["device"]): one for some in many for one in some}
    return sorted(unique.values(), key=lambda one: (one["finished"], one["day"]))


def thinned(entries: list[Entry]) -> list[Entry]:
    """All entries of the last ninety days, and before that the last of each lesson, machine and week."""
    if not entries:
        return []
    limit = (date.fromisoformat(entries[-1]["finished"][:10]) - timedelta(days=FULL_DAYS)).isoformat()
    old: dict[tuple[Any, ...], Entry] = {}
    for one in entries:
        if one["finished"] < limit:
            year, week, _ = date.fromisoformat(one["finished"][:10]).isocalendar()
            old[one["day"], one["device"], one["profile"], year, week] = one
    return [*old.values(), *(one for one in entries if one["finished"] >= limit)]


def load(path: Path) -> list[Entry]:
    """The entries of a history file.

    Raises:
        SystemExit: the file is none; an old history is never silently replaced by an empty one.
    """
    try:
        found: list[Entry] = json.loads(path.read_text(encoding="utf-8"))["runs"]
        return found
    except (OSError, ValueError, KeyError, TypeError) as err:
        sys.exit(f"{path} is no history ({type(err).__name__}: {err}); expected JSON with a list named 'runs'")


def update(root: Path, merge: Path | None = None, add: Path | None = None) -> list[Entry]:
    """Bring the history up to date and write it; returns its entries."""
    place, mark = root / PLACE, root / SEEN
    kept = load(place) if place.exists() else []
    seen = set(mark.read_text().split()) if mark.exists() and place.exists() else set()
    given = load(merge) if merge else []
    folders = [root / outputs.STORE, *([add] if add else [])]
    found = thinned(merged(kept, given, from_git(root, seen), from_folders(folders)))
    outputs.write(place, {"schema": 1, "runs": found})
    mark.write_text("\n".join(sorted(seen)))
    return found


def main() -> int:
    """Update the history of this repository and say what it holds."""
    parser = argparse.ArgumentParser(description="keep what every run found, for the book's trends")
    parser.add_argument("--merge", type=Path, help="an earlier history whose entries are kept as well")
    parser.add_argument("--add", type=Path, help="a folder of executed copies that count as well")
    given = parser.parse_args()
    found = update(ROOT, given.merge, given.add)
    days = {one["finished"][:10] for one in found}
    print(f"history: {len(found)} runs of {len({one['day'] for one in found})} lessons on {len(days)} days: {PLACE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
