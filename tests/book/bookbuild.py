"""Building a book in a test: this repository's, or a small one made of a few cells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def built(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build the book of ``root`` with this repository's helpers; a warning fails it."""
    return subprocess.run(
        [sys.executable, str(root / "scripts/build_book.py"), "--out", str(out)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
