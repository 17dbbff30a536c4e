"""The running lesson: its day, profile, seed and device, and the sizes that follow from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PROFILES = ("cpu", "gpu", "gpu_large")
LARGE_BYTES = 40e9  # from this much memory on, "auto" means gpu_large; a 15 GB T4 stays "gpu"


@dataclass
class Current:
    """State of the lesson that runs in this process; ``start`` fills it."""

    day: int = 0
    profile: str = "cpu"
    seed: int = 0
    device: torch.device | None = None


current = Current()


def start(day: int, profile: str = "auto", seed: int = 0) -> torch.device:
    """Seed everything, choose device and profile, set the plot style; print one line.

    Args:
        day: number of the lesson, 1 to 90.
        profile: ``cpu``, ``gpu``, ``gpu_large``, or ``auto`` to look at the machine
            (``gpu_large`` from 40 GB of GPU memory).
        seed: seed of Python, NumPy and torch.

    Returns:
        The device on which the lesson puts its tensors.

    Raises:
        ValueError: unknown profile or day.
        RuntimeError: a GPU profile on a machine without a GPU.
    """
    if profile not in ("auto", *PROFILES):
        raise ValueError(f"unknown profile {profile!r}: use one of auto, {', '.join(PROFILES)}")
    if not 1 <= day <= 90:
        raise ValueError(f"day must be 1 to 90, got {day}")
    from helpers import plots, repro

    # tqdm asks for ipywidgets when a library imports it; a stored page shows plain text bars anyway
    warnings.filterwarnings("ignore", message="IProgress not found")
    repro.deterministic()
    import torch

    cuda = torch.cuda.is_available()
    if profile == "auto":
        large = cuda and torch.cuda.get_device_properties(0).total_memory >= LARGE_BYTES
        profile = "gpu_large" if large else "gpu" if cuda else "cpu"
    elif profile != "cpu" and not cuda:
        raise RuntimeError(f"profile {profile!r} needs a CUDA GPU and torch sees none: use 'cpu' or 'auto'")
    device = torch.device("cpu" if profile == "cpu" else "cuda")
    repro.seed_everything(seed)
    current.day, current.profile, current.seed, current.device = day, profile, seed, device
    plots.use_style()
    name = torch.cuda.get_device_name(0) if device.type == "cuda" else "CPU"
    print(f"day {day:02d} · {name} · profile {profile} · seed {seed} · torch {torch.__version__}")
    return device


def pick(
    cpu: dict[str, Any], gpu: dict[str, Any] | None = None, gpu_large: dict[str, Any] | None = None
) -> SimpleNamespace:
    """The sizes of this profile: the one visible dial of a lesson.

    A larger profile overrides only what it names: ``gpu`` starts from ``cpu``,
    ``gpu_large`` from ``gpu``.

    Raises:
        ValueError: a larger profile names a size that ``cpu`` lacks, so that a
            lesson could run on one machine and not on the other.
    """
    for name, sizes in (("gpu", gpu), ("gpu_large", gpu_large)):
        unknown = sorted(set(sizes or {}) - set(cpu))
        if unknown:
            raise ValueError(f"pick: {name} names {', '.join(unknown)}, which cpu does not: give each a cpu value")
    chosen = dict(cpu)
    if current.profile != "cpu":
        chosen.update(gpu or {})
    if current.profile == "gpu_large":
        chosen.update(gpu_large or {})
    print("sizes: " + ", ".join(f"{key}={value}" for key, value in chosen.items()))
    return SimpleNamespace(**chosen)
