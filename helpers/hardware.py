"""What machine is this: device, memory, and the peaks that a measurement is held against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """One device; bytes, FLOP/s and bytes/s, ``None`` where nothing trustworthy is known."""

    kind: str
    name: str
    driver: str


def find() -> Hardware:
    """The device that lessons would use."""
    import torch

    if torch.cuda.is_available():
        return Hardware("gpu", torch.cuda.get_device_name(0), str(torch.version.cuda))
    return Hardware("cpu", "CPU", "")
