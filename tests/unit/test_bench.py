"""Time and memory: counted on a clock we hold, then tried on the real one."""

import math
from time import sleep

import pytest
import torch

from helpers import bench


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when a test function says so (and the CPU stopwatch, whatever the machine)."""
    now = {"t": 0.0}
    monkeypatch.setattr(bench, "perf_counter", lambda: now["t"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def takes(*seconds):
        calls = iter(seconds)
        last = seconds[-1]

        def fn():
            now["t"] += next(calls, last)

        return fn

    return takes


def test_warm_up_is_left_out(clock):
    timing = bench.time(clock(100.0, 1.0), repeats=9)
    assert (timing.median, timing.low, timing.high, timing.n) == (1.0, 1.0, 1.0, 9)


def test_median_ignores_a_few_slow_calls_and_the_interval_shows_them(clock):
    laps = [9.0, 1.0] + [1.0] * 10 + [50.0] * 4
    timing = bench.time(clock(*laps), repeats=15)
    assert timing.median == pytest.approx(1.0) and timing.high == pytest.approx(50.0)


def test_median_of_an_even_number_lies_between_the_middle_two(clock):
    assert bench.time(clock(5.0, 1.0, 2.0, 3.0, 4.0), repeats=4).median == pytest.approx(2.5)


def test_short_calls_are_timed_in_batches(clock):
    count = {"n": 0}
    tick = clock(1e-6)

    def fn():
        count["n"] += 1
        tick()

    timing = bench.time(fn, repeats=5)
    assert timing.median == pytest.approx(1e-6)
    assert count["n"] > 5 * bench.ENOUGH_SECONDS / 1e-6 * 0.99


@pytest.mark.parametrize("n", [6, 7, 15, 25, 60])
def test_interval_covers_the_median_with_95_percent(n):
    timing = bench._summary([float(i) for i in range(n)])
    cut = int(timing.low)
    tail = sum(math.comb(n, i) for i in range(cut + 1)) / 2**n
    wider = sum(math.comb(n, i) for i in range(cut + 2)) / 2**n
    assert 2 * tail <= 0.05 < 2 * wider, "not the narrowest interval of 95 %"
    assert timing.high == n - 1 - cut


def test_one_measurement_is_its_own_interval():
    assert bench._summary([3.0]) == bench.Timing(3.0, 3.0, 3.0, 1)


def test_drift_hits_all_functions_alike(monkeypatch, capsys):
    now = {"t": 0.0}
    monkeypatch.setattr(bench, "perf_counter", lambda: now["t"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def work(cost):
        def fn():
            now["t"] += cost * (1 + now["t"] / 20)  # the machine slows down as it runs

        return fn

    found = bench.compare({"one": work(1.0), "two": work(2.0)}, repeats=11)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "×1 " in lines[0]
    ratio = float(lines[1].split("×")[1].split()[0])
    assert 2.0 < ratio < 2.3, "the ratio within a round is nearly free of the drift"
    assert found["two"].high > 3 * found["two"].low, "while the times themselves drift far"


def test_compare_can_be_quiet(clock, capsys):
    assert set(bench.compare({"a": clock(1.0)}, repeats=3, quiet=True)) == {"a"}
    assert capsys.readouterr().out == ""


def test_real_clock_orders_sleeps():
    found = bench.compare({"short": lambda: sleep(0.002), "long": lambda: sleep(0.02)}, repeats=5, quiet=True)
    assert found["short"].median >= 0.002 and found["long"].median > 3 * found["short"].median
    assert bench.median_seconds(lambda: sleep(0.002), repeats=3) >= 0.002


def test_bytes_saved_counts_each_storage_once():
    x = torch.randn(10, 20, requires_grad=True)
    assert bench.bytes_saved(lambda t: t.exp(), x) == 10 * 20 * 4  # exp keeps its result
    assert bench.bytes_saved(lambda t: t * t, x) == 10 * 20 * 4  # both operands are one storage
    assert bench.bytes_saved(lambda t: t + 1, x) == 0
    assert bench.bytes_saved(lambda t: (t.T.exp() * 2).sum(), x) == 10 * 20 * 4


def test_bytes_saved_survives_reused_addresses():
    x = torch.randn(1000, requires_grad=True)

    def chain(t):
        for _ in range(5):
            t = t.sin()
        return t

    assert bench.bytes_saved(chain, x) == 5 * 4000


def test_peak_bytes_is_none_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench.peak_bytes(lambda: torch.ones(10)) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_times_and_bytes():
    n = 1 << 24
    assert bench.peak_bytes(lambda: torch.ones(n, device="cuda") + 1) >= 2 * 4 * n
    a = torch.randn(4096, 4096, device="cuda")
    timing = bench.time(lambda: a @ a)
    assert 2 * 4096**3 / timing.median < 1e15, "faster than any GPU: the clock did not wait"


@pytest.mark.parametrize(
    ("seconds", "words"), [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 µs"), (2e-9, "2 ns"), (0.0, "0 ns")]
)
def test_seconds_in_words(seconds, words):
    assert bench._short(seconds) == words


def test_timing_reads_well():
    assert str(bench.Timing(0.002, 0.001, 0.003, 9)) == "2 ms (1 ms to 3 ms, n = 9)"
