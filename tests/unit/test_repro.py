"""Seeds, determinism and the report of the environment."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from helpers import repro

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def restore():
    """The flags of the process as they were."""
    flags = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(), dict(os.environ)
    yield
    torch.use_deterministic_algorithms(flags[0])
    torch.set_num_threads(flags[1])
    os.environ.clear()
    os.environ.update(flags[2])


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 7, -1])
def test_a_seed_repeats_all_three_generators(seed):
    repro.seed_everything(seed)
    first = draws()
    draws()
    repro.seed_everything(seed)
    assert draws() == first
    repro.seed_everything(seed + 1)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_determinism_refuses_what_has_no_deterministic_kernel():
    repro.deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    repro.deterministic(False)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("given", "threads"), [("2", 2), ("", 1), (None, 1)])
def test_threads_follow_the_environment(given, threads):
    os.environ.pop("OMP_NUM_THREADS", None)
    if given is not None:
        os.environ["OMP_NUM_THREADS"] = given
    repro.deterministic()
    assert torch.get_num_threads() == threads


def test_the_workspace_of_cublas_is_set_but_not_overridden():
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    repro.deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    repro.deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@pytest.mark.slow
def test_two_processes_train_the_same_curve():
    code = """
import torch
from helpers import repro
repro.deterministic()
repro.seed_everything(3)
net = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
opt = torch.optim.Adam(net.parameters())
x = torch.randn(512, 64)
for _ in range(20):
    loss = net(x).square().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    print(loss.item().hex())
"""
    one, two = (subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(2))
    assert one == two and one.count("\n") == 20


def test_the_environment_is_reported_in_words():
    report = repro.environment()
    assert set(report) == {"python", "torch", "device", "driver", "system"}
    assert all(isinstance(value, str) for value in report.values())
    assert report["python"] == "{}.{}.{}".format(*sys.version_info[:3])
    assert report["torch"] == torch.__version__ and report["device"]
