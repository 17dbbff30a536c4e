"""Seeds, determinism and a report of the environment: what makes two runs comparable."""

from __future__ import annotations

import os
import platform
import random


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators (all devices)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def deterministic(on: bool = True) -> None:
    """Let torch use deterministic kernels only, on ``OMP_NUM_THREADS`` threads (default 1).

    Without it, accumulation on two threads gave four different training curves in
    four runs of one notebook. An operation that has no deterministic kernel then
    raises an error (on CUDA, by its documentation: ``cumsum`` of floats, ``median(dim)``, weighted ``bincount``,
    ``histc``); call ``deterministic(False)`` around it and say so. FP32 is FP32
    everywhere: cuDNN's convolutions and LSTMs would use TF32 on their own.

    Source: https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False


def environment() -> dict[str, str]:
    """Versions and device of this process, as short strings: python, torch, device, driver, system."""
    import torch

    report = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": platform.processor() or platform.machine(),
        "driver": "",
        "system": platform.platform(terse=True),
    }
    from helpers import hardware

    found = hardware.find()
    report["device"] = found.name
    report["driver"] = found.driver
    return report
