"""The machine: what is read from it, what is estimated, and what is left unknown."""

import os
import types

import pytest
import torch

from helpers import hardware

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
cpu MHz\t\t: 2700.000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse2 avx avx2 fma avx512f avx512_bf16 avx512_fp16 amx_bf16 amx_tile

processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
cpu MHz\t\t: 2700.000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse2

processor\t: 2
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
cpu MHz\t\t: 2700.000
physical id\t: 0
core id\t\t: 1
flags\t\t: fpu sse2
"""


def as_cpu(monkeypatch, text, allowed=(0, 1, 2), others=""):
    monkeypatch.setattr(hardware, "_read", lambda path: text if str(path) == "/proc/cpuinfo" else others)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed), raising=False)
    return hardware._cpu()


def test_this_machine():
    found = hardware.find()
    assert found.kind == ("gpu" if torch.cuda.is_available() else "cpu")
    assert found.name and found.cores >= 1 and found.memory > 2**28
    assert isinstance(found.supports_bf16(), bool)
    assert (found.flops == {}) == (found.source == ""), "a figure without its source, or a source without a figure"


def test_xeon_with_amx(monkeypatch):
    found = as_cpu(monkeypatch, XEON)
    assert found.name.startswith("Intel(R) Xeon(R) Platinum 8481C")
    assert found.cores == 2, "two hyper-threads of one core share its arithmetic units"
    assert found.simd == "AMX + AVX-512" and found.supports_bf16()
    assert found.peak("float32") == pytest.approx(2 * 2.7e9 * 64)
    assert found.peak(torch.float64) == found.peak("float32") / 2
    assert found.peak(torch.bfloat16) == pytest.approx(2 * 2.7e9 * 1024)
    assert found.peak(torch.float16) == pytest.approx(2 * 2.7e9 * 128)
    assert "estimate" in found.source and "2.70 GHz" in found.source and found.bandwidth is None


def test_peak_of_some_threads(monkeypatch):
    found = as_cpu(monkeypatch, XEON)
    assert found.peak("float32", threads=1) == found.peak("float32") / 2
    assert found.peak("float32", threads=64) == found.peak("float32")
    assert found.peak("int7") is None


def test_only_the_cores_we_may_use(monkeypatch):
    assert as_cpu(monkeypatch, XEON, allowed=(0, 1)).cores == 1
    assert as_cpu(monkeypatch, XEON, allowed=(1, 2)).cores == 2


def test_a_plain_avx2_machine_has_no_bf16(monkeypatch):
    found = as_cpu(monkeypatch, "model name\t: EPYC\ncpu MHz\t: 2250.0\nflags\t: sse2 avx2 fma\n", allowed=(0,))
    assert found.simd == "AVX2" and not found.supports_bf16()
    assert found.peak("float32") == pytest.approx(2.25e9 * 32) and found.peak("bfloat16") is None


def test_turbo_clock_from_the_system_wins(monkeypatch):
    found = as_cpu(monkeypatch, XEON, others="4000000\n")
    assert "4.00 GHz" in found.source


@pytest.mark.parametrize(
    "text", ["", "Features\t: fp asimd sve bf16\n", "flags\t: sse2\ncpu MHz\t: 1000\n", "flags: avx2 fma"]
)
def test_nothing_is_invented(monkeypatch, text):
    found = as_cpu(monkeypatch, text, allowed=(0, 1))
    assert found.flops == {} and found.source == "" and found.peak("float32") is None and found.cores == 2


def test_arm(monkeypatch):
    found = as_cpu(monkeypatch, "Features\t: fp asimd sve bf16\n")
    assert found.simd == "SVE" and found.supports_bf16()


@pytest.mark.parametrize(
    ("name", "bf16", "rate"),
    [
        ("Tesla T4", None, 320e9),
        ("NVIDIA L4", 121e12, 300e9),
        ("NVIDIA A10", 125e12, 600e9),
        ("NVIDIA A100-SXM4-40GB", 312e12, 1555e9),
        ("NVIDIA A100-PCIE-40GB", 312e12, 1555e9),
        ("NVIDIA A100-SXM4-80GB", 312e12, 2039e9),
        ("NVIDIA A100 80GB PCIe", 312e12, 1935e9),
        ("NVIDIA H100 80GB HBM3", 989.4e12, 3350e9),
        ("NVIDIA H100 PCIe", 756e12, 2000e9),
        ("NVIDIA H200", 989.4e12, 4800e9),
        ("NVIDIA B200", 2250e12, 8000e9),
        ("NVIDIA GeForce RTX 3090", 71e12, 936e9),
        ("NVIDIA GeForce RTX 4090", 165.2e12, 1008e9),
        ("NVIDIA GeForce RTX 5090", 209.5e12, 1792e9),
    ],
)
def test_data_sheets(name, bf16, rate):
    flops, bandwidth, source = hardware._data_sheet(name)
    assert flops.get("bfloat16") == bf16 and bandwidth == rate and "NVIDIA" in source
    assert flops["float32"] <= flops["float16"] <= 32 * flops["float32"]


@pytest.mark.parametrize(
    "name",
    ["NVIDIA A10G", "NVIDIA L40S", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090 D", "NVIDIA B300",
     "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "Quadro P400", "NVIDIA GeForce RTX 3090 Ti", ""],
)  # fmt: skip
def test_a_relative_is_another_device(name):
    assert hardware._data_sheet(name) == ({}, None, "")


@pytest.mark.parametrize(("name", "capability", "bf16"), [("Tesla T4", (7, 5), False), ("NVIDIA H200", (9, 0), True)])
def test_gpu(monkeypatch, name, capability, bf16):
    info = types.SimpleNamespace(
        major=capability[0], minor=capability[1], multi_processor_count=40, total_memory=16 * 10**9
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: info)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    line = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 06:22:21 UTC 2025\n"
    monkeypatch.setattr(hardware, "_read", lambda _: line)
    found = hardware.find()
    assert (found.kind, found.name, found.memory) == ("gpu", name, 16 * 10**9)
    assert found.driver == "580.65.06 CUDA 13.0"
    assert found.supports_bf16() is bf16, "a T4 only emulates BF16"
    assert found.peak("float32", threads=1) == found.flops["float32"], "threads are a matter of CPUs"
