"""Say what a night's run broke, as the body of an issue: ``python scripts/ci/report.py FOLDER``.

Reads the shards' artifacts in FOLDER (``*/executed``, ``*/failed``, ``*/run.log``) and
prints Markdown: for each lesson that raised, the cell and the end of its log; for each
claim that fails, its sentence and number. Prints nothing when nothing is wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from helpers.claims import MIME as CLAIM  # noqa: E402
from helpers.runner import catalog, outputs  # noqa: E402

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LINES, LIMIT = 30, 60_000  # lines of a cell or log; characters of an issue (GitHub takes 65,536)


def ending(text: str) -> str:
    """The last lines of a text, without colours, in a fence it cannot leave."""
    kept = ANSI.sub("", text).rstrip().splitlines()[-LINES:]
    return "~~~~text\n" + "\n".join(line.replace("~~~~", "~~~") for line in kept) + "\n~~~~"


def broken(copy: dict[str, Any]) -> Iterator[str]:
    """What is wrong in one executed copy, cell by cell."""
    for cell in outputs.code_cells(copy):
        place, source = f"cell `{cell.get('id')}`", catalog.text(cell)
        for out in cell.get("outputs", []):
            record = out.get("data", {}).get(CLAIM)
            if out.get("output_type") == "error":
                log = "\n".join(out.get("traceback", [])) or f"{out['ename']}: {out['evalue']}"
                yield f"{place} raised **{out['ename']}**\n\n{ending(source)}\n\n{ending(log)}"
            elif record and record["status"] == "fails":
                yield f"{place}: the claim *{record['text']}* fails, measured `{record['measured']}`"
    if not outputs.errors(copy):
        yield from (fault for fault in outputs.faults(copy) if not fault.startswith("claim fails"))


def report(folder: Path) -> str:
    """The whole body; empty when nothing is wrong."""
    parts = []
    for path in sorted(folder.glob("*/executed/*/*.ipynb")) + sorted(folder.glob("*/failed/*/*.ipynb")):
        copy = catalog.read_notebook(path)
        said = list(broken(copy))
        made = copy.get("metadata", {}).get("provenance", {})
        if not said and path.parts[-3] == "failed":
            said = ["it did not finish; the log says why"]
        if said:
            where = ", ".join(str(made[key]) for key in ("device", "torch", "finished") if made.get(key))
            parts.append(f"## {path.stem}\n\n{where or path.parts[-4]}\n\n" + "\n\n".join(said))
    for path in sorted(folder.glob("*/run.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if re.search(r"^(ERROR|error:|Traceback)", text, re.M):
            parts.append(f"## Log of {path.parent.name}\n\n{ending(text)}")
    body = "\n\n".join(parts)
    return body if len(body) <= LIMIT else body[:LIMIT] + "\n\n… cut; the run's artifacts hold all of it."


def main() -> int:
    """Print the report."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("report: say the folder that holds the shards' artifacts")
    print(report(Path(sys.argv[1])), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
