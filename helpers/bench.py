"""Time and memory of a function, with the repeats and the spread that make a number worth printing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

ENOUGH_SECONDS = 200e-6  # shorter calls are timed in batches: a clock reading costs about 0.1 µs, a GPU's about 1 µs


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median of ``n`` measurements, with a 95 % confidence interval for that median."""

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.low)} to {_short(self.high)}, n = {self.n})"


def time(fn: Callable[[], object], repeats: int = 15, warmup: int = 1) -> Timing:
    """Time ``fn()``: warm-up calls first, then ``repeats`` measurements; on a GPU by CUDA events.

    A call shorter than 0.2 ms is measured in batches, so a measurement may be the
    mean of many calls. The interval needs at least 6 measurements to be one of 95 %.
    """
    lap = _stopwatch()
    for _ in range(max(warmup, 1)):
        first = lap(fn, 1)
    calls = _batch(first, lap, fn)
    return _summary([lap(fn, calls) for _ in range(repeats)])


def median_seconds(fn: Callable[[], object], repeats: int = 7) -> float:
    """Median seconds of ``fn()`` over ``repeats`` measurements after a warm-up; waits for the GPU."""
    return time(fn, repeats).median


def compare(functions: Mapping[str, Callable[[], object]], repeats: int = 15, quiet: bool = False) -> dict[str, Timing]:
    """Time several functions in interleaved rounds and print a table of ratios to the first one.

    Every round times each function once, so that a clock that slows down or a busy
    neighbour hits all of them. A ratio is the median over the rounds of the ratio
    within the round.

    Args:
        functions: name → function without arguments; the first is the yardstick.
        repeats: rounds.
        quiet: print nothing.

    Returns:
        The timing of each function, by name.
    """
    lap, calls = _stopwatch(), {}
    for name, fn in functions.items():
        lap(fn, 1)
        calls[name] = _batch(lap(fn, 1), lap, fn)
    laps: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, fn in functions.items():
            laps[name].append(lap(fn, calls[name]))
    found = {name: _summary(values) for name, values in laps.items()}
    if not quiet:
        _table(found, laps)
    return found


def bytes_saved(fn: Callable[..., Any], *args: Any) -> int:
    """Bytes that autograd keeps for the backward pass of ``fn(*args)``, each storage counted once.

    Call no ``backward`` on what ``fn`` computes here: hooks on saved tensors switch off
    autograd's check that none of them was changed in place (day 21).
    """
    import torch

    seen: dict[int, tuple[Any, int]] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = (tensor, storage.nbytes())  # alive, so its address is not reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        fn(*args)
    return sum(size for _, size in seen.values())


def peak_bytes(fn: Callable[..., Any], *args: Any) -> int | None:
    """Most GPU bytes that ``fn(*args)`` holds at once beyond what was held before; ``None`` without a GPU.

    A CPU's allocator keeps no such count: use ``bytes_saved``, which is exact everywhere.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    fn(*args)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _stopwatch() -> Callable[[Callable[[], object], int], float]:
    """A function that gives the seconds of one of ``calls`` calls."""
    import torch

    def on_cpu(fn: Callable[[], object], calls: int) -> float:
        before = perf_counter()
        for _ in range(calls):
            fn()
        return (perf_counter() - before) / calls

    def on_gpu(fn: Callable[[], object], calls: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        start.record()
        for _ in range(calls):
            fn()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / calls

    return on_gpu if torch.cuda.is_available() else on_cpu


def _batch(once: float, lap: Callable[[Callable[[], object], int], float], fn: Callable[[], object]) -> int:
    """How many calls make a measurement long enough."""
    if once >= ENOUGH_SECONDS:
        return 1
    calls = math.ceil(ENOUGH_SECONDS / max(once, 1e-7))
    return max(1, math.ceil(ENOUGH_SECONDS / max(lap(fn, calls), 1e-9)))  # the first guess held a clock's own time


def _summary(laps: list[float]) -> Timing:
    """Median, and the order statistics between which the true median lies with 95 % confidence (sign test)."""
    values, n, cut = sorted(laps), len(laps), 0
    tail = 0.5**n  # chance that at most `cut` of n values lie below the median
    while tail + math.comb(n, cut + 1) * 0.5**n <= 0.025:
        cut += 1
        tail += math.comb(n, cut) * 0.5**n
    middle = (values[(n - 1) // 2] + values[n // 2]) / 2
    return Timing(middle, values[cut], values[n - 1 - cut], n)


def _table(found: dict[str, Timing], laps: dict[str, list[float]]) -> None:
    width, first = max(map(len, found)), next(iter(laps.values()))
    for name, timing in found.items():
        ratio = _summary([mine / base for mine, base in zip(laps[name], first, strict=True)])
        print(f"{name:{width}}  ×{ratio.median:<7.3g} ({ratio.low:.3g} to {ratio.high:.3g})  {_short(timing.median)}")


def _short(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
