"""What the runs found, as pages: the ninety-day grid, Results, Status, and the line on the front page.

The data come from ``helpers.runner.ledger.collect``; nothing is typed by hand.
"""

from __future__ import annotations

from typing import Any

PAGES = ("book/index", "book/results", "book/status")


def setup(app: Any) -> None:
    """Register the directives."""
