"""What machine is this: device, memory, and the peaks that a measurement is held against.

GPU peaks come from the maker's data sheets; a CPU's are an estimate from its clock
and instruction set, and say so. What nobody trustworthy states is ``None``.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Hardware:
    """One device: bytes, FLOP/s and bytes/s; ``None`` or a missing key where nothing trustworthy is known."""

    kind: str  # "cpu" or "gpu"
    name: str
    driver: str = ""
    cores: int = 1  # physical cores this process may use; streaming multiprocessors of a GPU
    simd: str = ""  # widest vector or matrix instructions of a CPU, compute capability of a GPU
    memory: int | None = None  # bytes
    caches: dict[str, int] = field(default_factory=dict)  # CPU: "L1", "L2", "L3" → bytes as the system reports them
    flops: dict[str, float] = field(default_factory=dict)  # dense FLOP/s of the whole device by dtype, plus "tf32"
    bandwidth: float | None = None  # bytes/s to and from the device's memory
    source: str = ""  # where flops and bandwidth come from
    bf16: bool = False

    def supports_bf16(self) -> bool:
        """Whether the device has BF16 instructions; without them BF16 runs, but slowly (a T4, most older CPUs)."""
        return self.bf16

    def peak(self, dtype: object = "float32", threads: int | None = None) -> float | None:
        """FLOP/s the device can reach in ``dtype`` (a torch dtype, its name, or ``"tf32"``).

        Args:
            dtype: what is multiplied.
            threads: on a CPU, how many cores work; all by default.
        """
        whole = self.flops.get(str(dtype).removeprefix("torch."))
        if whole is None or self.kind == "gpu" or threads is None:
            return whole
        return whole * min(threads, self.cores) / self.cores


def find() -> Hardware:
    """The device that lessons would use: the first CUDA GPU, else the CPU."""
    import torch

    return _gpu() if torch.cuda.is_available() else _cpu()


# Dense peaks (never "with sparsity") in TFLOP/s, tensor cores accumulating in FP32, and GB/s. A pattern must match
# the whole of torch.cuda.get_device_name(): an A10G, a laptop's RTX 4090 or a MIG slice is another device: unknown.
_SITE, _PAPER = "NVIDIA data sheet, https://www.nvidia.com/en-us/data-center/", "NVIDIA architecture whitepaper, "
_SHEETS: list[tuple[str, float, float, float | None, float, str]] = [
    # name, GB/s, FP32, TF32, FP16 = BF16 (before Ampere: no TF32, no BF16), source
    ("T4", 320, 8.1, None, 65, _SITE + "tesla-t4/"),
    ("L4", 300, 30.3, 60, 121, _SITE + "l4/"),
    ("A10", 600, 31.2, 62.5, 125, _SITE + "products/a10-gpu/"),
    ("A100-(SXM4|PCIE)-40GB", 1555, 19.5, 156, 312, _SITE + "a100/"),
    ("A100-SXM4-80GB", 2039, 19.5, 156, 312, _SITE + "a100/"),
    ("A100 80GB PCIe", 1935, 19.5, 156, 312, _SITE + "a100/"),
    ("H100 80GB HBM3", 3350, 67, 494.7, 989.4, _SITE + "h100/"),
    ("H100 PCIe", 2000, 51, 378, 756, _SITE + "h100/"),
    ("H100 NVL", 3900, 60, 417.5, 835.5, _SITE + "h100/"),
    ("H200", 4800, 67, 494.7, 989.4, _SITE + "h200/"),
    ("B200", 8000, 75, 1100, 2250, _SITE + "hgx/"),
    ("RTX 3090", 936, 35.6, 35.6, 71, _PAPER + "GA102"),
    ("RTX 4090", 1008, 82.6, 82.6, 165.2, _PAPER + "Ada"),
    ("RTX 5090", 1792, 104.8, 104.8, 209.5, _PAPER + "RTX Blackwell"),
]


def _data_sheet(name: str) -> tuple[dict[str, float], float | None, str]:
    for pattern, rate, fp32, tf32, half, source in _SHEETS:
        if re.fullmatch(rf"(NVIDIA |Tesla |GeForce )*({pattern})", name):
            peaks = {"float32": fp32, "float16": half} | ({"tf32": tf32, "bfloat16": half} if tf32 else {})
            return {dtype: value * 1e12 for dtype, value in peaks.items()}, rate * 1e9, source
    return {}, None, ""


def _gpu() -> Hardware:
    import torch

    info = torch.cuda.get_device_properties(0)
    name = torch.cuda.get_device_name(0)
    flops, bandwidth, source = _data_sheet(name)
    version = re.search(r"\s(\d{3}\.[\d.]+)\s", _read("/proc/driver/nvidia/version"))
    driver = " ".join(filter(None, [version and version[1], f"CUDA {torch.version.cuda}"]))
    return Hardware(
        "gpu",
        name,
        driver,
        cores=info.multi_processor_count,
        simd=f"compute capability {info.major}.{info.minor}",
        memory=info.total_memory,
        flops=flops,
        bandwidth=bandwidth,
        source=source,
        bf16=(info.major, info.minor) >= (8, 0),  # is_bf16_supported() also says yes to emulation
    )


# FP32 operations a core can finish in one cycle: lanes × 2 (multiply and add) × 2 units. FP64 is half of it.
_PER_CYCLE = {"AVX-512": 64, "AVX2": 32}
_AMX_PER_CYCLE = 1024  # Intel's figure for one core's BF16 tiles


def _cpu() -> Hardware:
    info = _read("/proc/cpuinfo")
    flags = set(_first(r"^(?:flags|Features)\s*:(.*)$", info).split())
    name = _first(r"^model name\s*:(.*)$", info) or _macos_name() or platform.processor() or platform.machine()
    cores = _physical_cores(info)
    flops, source = _estimate(flags, cores, _hertz(info))
    known = {"memory": _total_memory(), "caches": _caches(), "flops": flops, "source": source}
    bf16 = bool(flags & {"amx_bf16", "avx512_bf16", "bf16"})
    return Hardware("cpu", name, cores=cores, simd=_simd(flags), bf16=bf16, **known)  # type: ignore[arg-type]


def _estimate(flags: set[str], cores: int, hertz: float | None) -> tuple[dict[str, float], str]:
    """FLOP/s by dtype from clock and instruction set: right to a factor of two, since turbo and half units hide."""
    width = "AVX-512" if "avx512f" in flags else "AVX2" if {"avx2", "fma"} <= flags else ""
    if not width or not hertz:
        return {}, ""
    cycle: dict[str, float] = {"float32": _PER_CYCLE[width], "float64": _PER_CYCLE[width] / 2}
    for dtype, tile, vector in (("bfloat16", "amx_bf16", "avx512_bf16"), ("float16", "amx_fp16", "avx512_fp16")):
        if tile in flags:
            cycle[dtype] = _AMX_PER_CYCLE
        elif vector in flags:
            cycle[dtype] = 2 * _PER_CYCLE["AVX-512"]
    tiles = " and AMX" if _AMX_PER_CYCLE in cycle.values() else ""
    source = f"estimate: {cores} cores × {hertz / 1e9:.2f} GHz × FLOP per cycle of {width}{tiles}"
    return {dtype: cores * hertz * n for dtype, n in cycle.items()}, source


def _simd(flags: set[str]) -> str:
    known = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "sve": "SVE", "asimd": "NEON", "sse2": "SSE2"}
    found = [word for flag, word in known.items() if flag in flags]
    return " + ".join(found[:2] if found[:1] == ["AMX"] else found[:1])


def _hertz(info: str) -> float | None:
    top = _read("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").strip()  # kHz, with turbo
    if top:
        return float(top) * 1e3
    clocks = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", info, re.M)  # what a virtual machine is told, often without turbo
    return max(map(float, clocks)) * 1e6 if clocks else None


def _physical_cores(info: str) -> int:
    """Physical cores this process may run on: two hyper-threads share one core's arithmetic."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    blocks = [dict(re.findall(r"^(processor|physical id|core id)\s*:\s*(\d+)", b, re.M)) for b in info.split("\n\n")]
    mine = [b for b in blocks if "core id" in b and int(b.get("processor", -1)) in allowed]
    return len({(b.get("physical id"), b["core id"]) for b in mine}) or len(allowed)


def _caches() -> dict[str, int]:
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        size = re.match(r"(\d+)([KM])", _read(folder / "size"))
        if size and _read(folder / "type").strip() != "Instruction":
            sizes["L" + _read(folder / "level").strip()] = int(size[1]) * {"K": 2**10, "M": 2**20}[size[2]]
    return sizes


def _total_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _macos_name() -> str:
    import subprocess

    if platform.system() != "Darwin":
        return ""
    return subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True).stdout.strip()


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.M)
    return found[1].strip() if found else ""


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
