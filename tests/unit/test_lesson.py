"""``start`` and ``pick``: device, profile, sizes, and what a reader is told."""

import random

import numpy as np
import pytest

from helpers import lesson

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def restore(monkeypatch):
    """The state of the process as it was."""
    flags = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    monkeypatch.setattr(lesson, "current", lesson.Current())
    yield
    torch.use_deterministic_algorithms(flags[0])
    torch.set_num_threads(flags[1])


def gpu(monkeypatch, memory):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: memory > 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "Some GPU")
    properties = type("Properties", (), {"total_memory": memory})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: properties)


def test_start_says_where_it_runs(capsys, monkeypatch):
    gpu(monkeypatch, 0)
    device = lesson.start(day=33, profile="auto", seed=5)
    assert device == torch.device("cpu")
    assert capsys.readouterr().out == f"day 33 · CPU · profile cpu · seed 5 · torch {torch.__version__}\n"
    now = lesson.current
    assert (now.day, now.profile, now.seed, now.device) == (33, "cpu", 5, device)


@pytest.mark.parametrize(
    ("memory", "profile", "becomes"),
    [
        (0, "auto", "cpu"),
        (15e9, "auto", "gpu"),
        (40e9, "auto", "gpu_large"),
        (141e9, "auto", "gpu_large"),
        (141e9, "gpu", "gpu"),
        (141e9, "cpu", "cpu"),
        (15e9, "gpu_large", "gpu_large"),
    ],
)
def test_the_profile_follows_the_machine_unless_it_is_said(monkeypatch, capsys, memory, profile, becomes):
    gpu(monkeypatch, memory)
    device = lesson.start(day=1, profile=profile)
    assert lesson.current.profile == becomes
    assert device.type == ("cpu" if becomes == "cpu" else "cuda")


@pytest.mark.parametrize("profile", ["gpu", "gpu_large"])
def test_a_gpu_profile_without_gpu_is_refused(monkeypatch, profile):
    gpu(monkeypatch, 0)
    with pytest.raises(RuntimeError, match=f"profile '{profile}' needs a CUDA GPU.*use 'cpu' or 'auto'"):
        lesson.start(day=1, profile=profile)


def test_unknown_profile_and_day_are_refused():
    with pytest.raises(ValueError, match="unknown profile 'tpu': use one of auto, cpu, gpu, gpu_large"):
        lesson.start(day=1, profile="tpu")
    for day in (0, 91):
        with pytest.raises(ValueError, match=f"day must be 1 to 90, got {day}"):
            lesson.start(day=day)


def test_start_seeds_everything(capsys, monkeypatch):
    gpu(monkeypatch, 0)
    draws = []
    for seed in (0, 0, 1):
        lesson.start(day=1, profile="cpu", seed=seed)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))


CPU, GPU, LARGE = {"n": 1, "seeds": 2, "steps": 3}, {"n": 10, "seeds": 20}, {"n": 100}


@pytest.mark.parametrize(("profile", "sizes"), [("cpu", (1, 2, 3)), ("gpu", (10, 20, 3)), ("gpu_large", (100, 20, 3))])
def test_a_larger_profile_overrides_what_it_names(capsys, profile, sizes):
    lesson.current.profile = profile
    size = lesson.pick(cpu=CPU, gpu=GPU, gpu_large=LARGE)
    assert (size.n, size.seeds, size.steps) == sizes
    assert capsys.readouterr().out == "sizes: n={}, seeds={}, steps={}\n".format(*sizes)


def test_pick_leaves_the_dictionaries_alone(capsys):
    lesson.current.profile = "gpu_large"
    cpu = dict(CPU)
    lesson.pick(cpu=cpu, gpu=GPU, gpu_large=LARGE)
    assert cpu == CPU


@pytest.mark.parametrize("profile", ["cpu", "gpu", "gpu_large"])
def test_a_size_that_only_a_gpu_has_is_refused_everywhere(profile):
    lesson.current.profile = profile
    with pytest.raises(ValueError, match="pick: gpu names steps, which cpu does not"):
        lesson.pick(cpu={"n": 1}, gpu={"steps": 2})
    with pytest.raises(ValueError, match="pick: gpu_large names a, b, which cpu does not"):
        lesson.pick(cpu={"n": 1}, gpu_large={"b": 2, "a": 1})
