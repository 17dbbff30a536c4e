"""Time and memory of a function, with the repeats and the spread that make a number worth printing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def median_seconds(fn: Callable[[], object], repeats: int = 7) -> float:
    """Median wall seconds of ``fn()`` over ``repeats`` calls after one warm-up; waits for the GPU."""
    sync = _synchronise()
    fn()
    sync()
    laps = []
    for _ in range(repeats):
        before = time.perf_counter()
        fn()
        sync()
        laps.append(time.perf_counter() - before)
    return sorted(laps)[repeats // 2]


def bytes_saved(fn: Callable[..., Any], *args: Any) -> int:
    """Bytes that autograd keeps for the backward pass of ``fn(*args)``, each storage counted once."""
    import torch

    seen: dict[int, tuple[Any, int]] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = (tensor, storage.nbytes())  # alive, so its address is not reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        fn(*args)
    return sum(size for _, size in seen.values())


def _synchronise() -> Callable[[], object]:
    import torch

    return torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
