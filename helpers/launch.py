"""Placeholder until the launch module lands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def launch(fn: Callable[..., Any], *args: Any, ranks: int = 2, timeout: float = 60) -> list[Any]:
    """See the launch module's final form."""
    raise NotImplementedError
