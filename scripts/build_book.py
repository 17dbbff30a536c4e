"""Build the HTML book from the committed outputs: ``python scripts/build_book.py [--fresh]``.

Jupyter Book builds the repository in place into ``_build/html``. A warning fails the build.
Nothing is executed: the outputs come from ``outputs/``.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run Jupyter Book, show only what went wrong, and say how long it took."""
    parser = argparse.ArgumentParser(description="build the book from the committed outputs")
    parser.add_argument("--fresh", action="store_true", help="forget earlier builds and read every page again")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder that gets _build/html (default: the repository)")
    given = parser.parse_args()
    out = given.out.resolve() / "_build"
    if given.fresh:
        for name in ("html", ".doctrees", "jupyter_execute", "figures"):
            shutil.rmtree(out / name, ignore_errors=True)
    known = (out / ".doctrees").exists()
    start = time.monotonic()
    tool = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT), "--path-output", str(out.parent)]
    plain = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run([*tool, "-W", "--keep-going"], cwd=ROOT, env=plain, capture_output=True, text=True)
    said = (done.stdout + done.stderr).splitlines()
    took = time.monotonic() - start
    out.mkdir(parents=True, exist_ok=True)
    (out / "book.log").write_text("\n".join(said) + "\n", encoding="utf-8")
    wrong = [line for line in said if "WARNING" in line or "ERROR" in line or "CRITICAL" in line]
    if done.returncode or wrong:
        print("\n".join(wrong or said[-30:]), file=sys.stderr)
        print(f"the book was not built cleanly; all that was said: {out / 'book.log'}", file=sys.stderr)
        return 1
    how = "after earlier builds" if known else "from nothing"
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(f"book built {how} in {took:.1f} s ({cpu:.1f} CPU-seconds): {out / 'html/index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
