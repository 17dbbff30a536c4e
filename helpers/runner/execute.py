"""Run lessons with papermill: cold kernels, a wall clock for each lesson, and no process left behind.

The runner starts workers, each in its own session; a worker runs one lesson at a
time in a fresh kernel. A pipe that nobody writes to ties them together: when the
runner ends, however it ends, the workers read its end of file, kill everything
below them and go. Every process of a lesson carries ``LLM90_JOB`` in its
environment, so that one that left the family is found too.
"""

from __future__ import annotations

import ast
import ctypes
import fcntl
import json
import os
import platform
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from helpers.runner import outputs
from helpers.runner.catalog import CatalogError, Lesson, read_notebook

MARK = "LLM90_JOB"
GRACE = 10.0  # seconds that a cell has to end after its interrupt
FACTS = "__import__('helpers.runner.execute', fromlist=['facts']).facts()"
RANK: dict[outputs.State, int] = {"missing": 0, "stale": 0, "to re-run": 1, "current": 2}


@dataclass(frozen=True)
class Job:
    """One lesson to run; ``given`` are the parameters injected, times are wall seconds."""

    lesson: Lesson
    root: str
    given: dict[str, Any] = field(default_factory=dict)
    timeout: float = 600
    expected: float = 60
    gpu: bool = False
    mark: str = "none"

    @property
    def seed(self) -> int:
        """Which seed; only seed 0 is stored."""
        return int(self.given.get("seed", 0))


@dataclass
class Result:
    """What became of a job: an executed copy, whole or partial, and the error that ended it, if one did."""

    notebook: outputs.Notebook | None
    error: str = ""
    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def faults(self) -> list[str]:
        """Why the result is not good, in words."""
        return [self.error] if self.error else outputs.faults(self.notebook or {"cells": []})


Submit = Callable[[Job], "Future[Result]"]


def work(job: Job) -> Result:
    """Run one lesson in this process's care; every process it started is gone afterwards."""
    start, used = time.monotonic(), sum(os.times()[2:4])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans of the kernel become ours
    try:
        with tempfile.TemporaryDirectory(prefix="llm90-", ignore_cleanup_errors=True) as folder:
            result = _lesson(job, Path(job.root or os.getcwd()), Path(folder))
    except Exception as err:  # a fault of this lesson must not end the others
        result = Result(None, f"{type(err).__name__}: {err}")
    finally:
        reap(job.mark)
    result.seconds, result.cpu = time.monotonic() - start, sum(os.times()[2:4]) - used
    if result.notebook:
        result.notebook["metadata"]["provenance"]["seconds"] = round(result.seconds, 1)
    return result


def _lesson(job: Job, root: Path, folder: Path) -> Result:
    source = read_notebook(root / job.lesson.path)
    (folder / "source.ipynb").write_text(json.dumps(source), encoding="utf-8")
    made = {"commit": outputs.commit(root, job.lesson), "requirements": outputs.requirements_hash(root)}
    made |= {"helpers": outputs.helpers_hash(root, source, job.lesson.day)}  # as they are now, whoever edits meanwhile
    held: dict[str, Any] = {"nb": {"cells": []}, "facts": facts()}
    error = _execute(job, root, folder, held)
    raw = json.loads(json.dumps(held["nb"]))
    for cell in raw["cells"]:
        lasted = cell["metadata"].get("papermill", {}).get("duration") or 0
        if lasted >= 1:
            cell["metadata"]["seconds"] = round(lasted, 1)
    notebook = outputs.merge(source, raw)
    made |= {**held["facts"], "finished": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    made |= {"key": outputs.key(source, {**job.given, "profile": made["profile"]})}
    notebook["metadata"]["provenance"] = made
    return Result(notebook, error or _raised(notebook))


def _execute(job: Job, root: Path, folder: Path, held: dict[str, Any]) -> str:
    """Execute with papermill, keeping in ``held`` what survives a dead kernel; returns why it ended early."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError

    class Client(PapermillNotebookClient):  # type: ignore[misc]
        def create_kernel_manager(self) -> Any:
            manager = super().create_kernel_manager()
            manager.transport, manager.connection_file = "ipc", str(folder / "kernel.json")
            return manager

        def papermill_execute_cells(self) -> None:
            held.update(nb=self.nb, kernel=self.km.provisioner.process)
            for clock in clocks:
                clock.start()
            super().papermill_execute_cells()
            message = self.kc.execute("", silent=True, user_expressions={"facts": FACTS})
            reply = self.wait_for_reply(message)["content"].get("user_expressions", {}).get("facts", {})
            if "data" in reply:
                held["facts"] = ast.literal_eval(reply["data"]["text/plain"])

    class Engine(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kw: Any) -> None:
            settings = {"startup_timeout": kw["start_timeout"], "iopub_timeout": 60, "coalesce_streams": True}
            with open(folder / "kernel.log", "wb") as log:
                client = Client(nb_man, kernel_name=kernel_name, timeout=None, **settings)
                client.execute(env=_environment(job, root, folder), cwd=str(root), stdout=log, stderr=log)

    def strike(number: signal.Signals) -> None:
        if held["kernel"].poll() is None:
            held["struck"] = True
            with suppress(ProcessLookupError):
                os.killpg(held["kernel"].pid, number)  # jupyter makes a kernel the leader of its own group

    # first an interrupt, so that `finally` runs in the lesson, then the end
    clocks = [threading.Timer(job.timeout, strike, [signal.SIGINT])]
    clocks.append(threading.Timer(job.timeout + GRACE, strike, [signal.SIGKILL]))
    clocks.append(threading.Timer(job.timeout + GRACE + 120, os._exit, [1]))
    papermill_engines.register("llm90", Engine)
    try:
        quiet = {"progress_bar": False, "autosave_cell_every": 0, "request_save_on_cell_execute": False}
        where = {
            "engine_name": "llm90",
            "kernel_name": "python3",
            "language": "python",
            "cwd": str(root),
            "start_timeout": 120,
        }
        paths = str(folder / "source.ipynb"), str(folder / "executed.ipynb")
        papermill.execute_notebook(*paths, parameters=job.given, **where, **quiet)
    except (PapermillExecutionError, DeadKernelError) as err:
        if isinstance(err, DeadKernelError) and "struck" not in held:
            code = held["kernel"].wait(timeout=5)
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            said = (folder / "kernel.log").read_text(errors="replace").strip().splitlines()[-4:]
            hint = "; if nobody did that, memory ran out" if code == -signal.SIGKILL else ""
            return "\n  ".join([f"the kernel died in {_last(held['nb'])}, {how}{hint}", *said])
    finally:
        for clock in clocks:
            clock.cancel()
    if "struck" in held:
        return f"{_last(held['nb'])} still ran after {job.timeout:.0f} s and was ended: a loop without an end?"
    return ""


def facts() -> dict[str, str]:
    """Called in the kernel after the last cell: what it really ran on."""
    from helpers.lesson import current

    found = {"device": "CPU", "torch": "", "driver": "", "python": platform.python_version()}
    if "torch" in sys.modules:
        from helpers import repro

        found |= {name: value for name, value in repro.environment().items() if name in found}
    return {**found, "profile": current.profile}


def _environment(job: Job, root: Path, folder: Path) -> dict[str, str]:
    mine = {
        MARK: job.mark,
        "OMP_NUM_THREADS": "1",  # with more, neighbours made one cell take 5 s or 69 s
        "IPYTHONDIR": str(folder / "ipython"),  # the reader's own start-up files stay out
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    return {**os.environ, **mine, **({"CUDA_VISIBLE_DEVICES": ""} if job.given.get("profile") == "cpu" else {})}


def _last(notebook: Any) -> str:
    """The cell that ran last, by its number in the lesson and its id."""
    added = {"injected-parameters", "papermill-error-cell-tag"}
    cells = [cell for cell in notebook["cells"] if not added & set(cell["metadata"].get("tags", []))]
    ran = [n for n, cell in enumerate(cells, 1) if cell["metadata"].get("papermill", {}).get("start_time")]
    return f"cell {ran[-1]} `{cells[ran[-1] - 1].get('id')}`" if ran else "its first cell"


def _raised(notebook: outputs.Notebook) -> str:
    """The first error of an executed copy: cell, message, and the end of its traceback."""
    numbers = {cell.get("id"): number for number, cell in enumerate(notebook["cells"], 1)}
    for cell_id, out in outputs.errors(notebook)[:1]:
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(out.get("traceback", []))).strip().splitlines()
        head = f"cell {numbers.get(cell_id)} `{cell_id}` raised {out['ename']}: {out['evalue']}"
        return "\n  ".join([head, *trace[-12:-1]])
    return ""


def reap(mark: str, family: bool = True) -> None:
    """Kill all processes whose mark begins so, and with ``family`` all descendants of this process."""
    import psutil

    for _ in range(10):  # a dying process may still have forked
        known = psutil.process_iter(["environ"]) if mark else ()
        found = {p for p in known if str((p.info["environ"] or {}).get(MARK)).startswith(mark)}
        found |= set(psutil.Process().children(recursive=True)) if family else set()
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        if not found or not psutil.wait_procs(found, timeout=5)[1]:
            return


@contextmanager
def local_pool(jobs: int) -> Iterator[Submit]:
    """Up to ``jobs`` worker processes on this machine, each used again for the next lesson.

    Each worker is an executor of its own, so that one that is killed takes nothing with it.
    """
    spawn = get_context("spawn")
    end, lifeline = spawn.Pipe(duplex=False)
    every: list[ProcessPoolExecutor] = []
    idle: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()

    def hire() -> None:
        every.append(ProcessPoolExecutor(1, spawn, _tie, (end,)))
        idle.put(every[-1])

    def submit(job: Job) -> Future[Result]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until it has its own session
        while True:
            worker = idle.get()
            try:
                future = worker.submit(work, job)
                break
            except BrokenExecutor:  # killed while it was idle
                hire()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

        def done(_: Future[Result]) -> None:
            if future.cancelled() or future.exception():
                reap(job.mark, family=False)
                hire()
            else:
                idle.put(worker)

        future.add_done_callback(done)
        return future

    for _ in range(jobs):
        hire()
    try:
        yield submit
    finally:
        lifeline.close()
        for worker in every:
            worker.shutdown(cancel_futures=True)


def _tie(lifeline: Any) -> None:
    """Tie a worker to its runner: own session, and the end of everything below it when the pipe ends."""
    runner = os.getppid()

    def follow() -> None:
        with suppress(EOFError, OSError):
            lifeline.recv()
        reap(f"{runner}-")
        os._exit(1)

    os.setsid()  # Ctrl-C reaches the runner alone, and it decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def ray_pool(address: str, root: Path) -> Iterator[tuple[Submit, int, int]]:
    """Tasks on an existing Ray cluster, one CPU each and one GPU for a GPU job; also its CPUs and GPUs.

    The sources travel once, as the tasks' working directory; the cluster's Python
    must have the requirements.
    """
    import ray

    where = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    exclude = [".git", ".venv*", "_build", "outputs", "book", "node_modules", ".cache"]
    runtime = {"working_dir": str(root), "excludes": exclude}
    try:
        if where:  # Ray itself tries for minutes
            socket.create_connection((where[1], int(where[2])), timeout=10).close()
        ray.init(address=address, runtime_env=runtime, log_to_driver=False, logging_level=40)
    except Exception as err:
        raise CatalogError(f"no Ray cluster answers at {address!r} ({err}): start one, or leave --ray out") from err
    sent = []

    def submit(job: Job) -> Future[Result]:
        task = ray.remote(work).options(num_cpus=1, num_gpus=int(job.gpu), max_retries=0)
        sent.append(task.remote(replace(job, root="")))
        return sent[-1].future()

    try:
        have = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield submit, int(have.get("CPU", 1)), int(have.get("GPU", 0))
    finally:
        for ref in sent:
            ray.cancel(ref, force=False)
        ray.wait(sent, num_returns=len(sent), timeout=20) if sent else None
        ray.shutdown()


def standing(root: Path, lesson: Lesson) -> tuple[int, str, float]:
    """How a lesson stands: rank of its state, when it was last verified, how many seconds it takes.

    The better of the stored copy and the last run's; one with faults does not count.
    """
    found = [(0, "", lesson.budget + 15.0)]
    for store in (outputs.STORE, outputs.BUILD):
        copy = outputs.read(root, lesson, store)
        if copy and "provenance" in copy["metadata"] and not outputs.faults(copy):
            made = copy["metadata"]["provenance"]
            found.append((RANK[outputs.state(root, lesson, store)], made["finished"], made["seconds"]))
    return max(found)


def plan(
    root: Path,
    lessons: Sequence[Lesson],
    profile: str = "auto",
    seeds: int = 1,
    budget: bool = False,
    timeout: float | None = None,
    gpus: int = 0,
) -> list[Job]:
    """Jobs in the order in which they start.

    With a budget the changed lessons come first, then the least recently verified;
    without one the longest, which packs best.
    """
    if profile.startswith("gpu") and not gpus:
        raise CatalogError(f"profile {profile!r} needs an NVIDIA GPU and there is none: use cpu or auto")
    stand = [(*standing(root, one), one) for one in lessons]
    stand.sort(key=lambda one: one[:2] if budget else (-one[2],))
    asked = {} if profile == "auto" else {"profile": profile}
    jobs = []
    for (_, _, seconds, one), seed in product(stand, range(seeds)):
        given = asked | ({"seed": seed} if seed else {})
        mark = f"{os.getpid()}-{time.time_ns()}-{one.day}-{seed}"
        clock = timeout or 300 + 10 * one.budget
        jobs.append(Job(one, str(root), given, clock, seconds, gpus > 0 and profile != "cpu", mark))
    return jobs


def finished(root: Path, lesson: Lesson, profile: str) -> bool:
    """Whether an earlier run left a good copy of the present lesson, so that ``--resume`` can pass it by."""
    copy = outputs.read(root, lesson, outputs.BUILD)
    if not copy or outputs.faults(copy) or outputs.state(root, lesson, outputs.BUILD) != "current":
        return False
    return profile in ("auto", copy["metadata"]["provenance"]["profile"])


def run(
    jobs: Sequence[Job], submit: Submit, slots: int, gpu_slots: int = 1, budget: float | None = None
) -> Iterator[tuple[Job, Result | None]]:
    """Run the jobs: yields (job, None) when one starts and (job, result) when it has ended and is stored.

    With a budget (seconds), a job that is not expected to fit in what is left does
    not start. A lesson marked ``alone`` waits until nothing else runs.
    """
    start, todo = time.monotonic(), list(jobs)
    busy: dict[Future[Result], Job] = {}
    while todo or busy:
        for job in list(todo):
            if budget is not None and time.monotonic() - start + job.expected > budget:
                todo.remove(job)
            elif busy and any(one.lesson.alone for one in (job, *busy.values())):
                break  # one of them wants the machine for itself, and nothing overtakes it
            elif len(busy) < slots and not (job.gpu and sum(other.gpu for other in busy.values()) >= gpu_slots):
                todo.remove(job)
                busy[submit(job)] = job
                yield job, None
        for future in wait(busy, timeout=0.5, return_when=FIRST_COMPLETED).done:
            job = busy.pop(future)
            try:
                result = future.result()
            except Exception as err:
                result = Result(None, f"its worker was ended from outside ({type(err).__name__}: {err}): run it again")
            yield job, keep(job, result)


def keep(job: Job, result: Result) -> Result:
    """Write a result where it belongs: whole copies to the build store, partial ones to the failed."""
    if result.notebook is None or job.seed:
        return result
    path = outputs.copy_path(Path(job.root), job.lesson, outputs.FAILED if result.error else outputs.BUILD)
    try:
        outputs.write(path, result.notebook)
        if result.error:
            result.error += f"\n  partial copy: {path.relative_to(job.root)}"
        else:
            outputs.copy_path(Path(job.root), job.lesson, outputs.FAILED).unlink(missing_ok=True)
    except outputs.StoreError as err:
        result.error = "\n  ".join(filter(None, [result.error, str(err)]))
    return result


def count_gpus() -> int:
    """GPUs that ``nvidia-smi`` lists; 0 without it."""
    with suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30).stdout
        return sum(line.startswith("GPU ") for line in listed.splitlines())
    return 0


@contextmanager
def lock(root: Path, lessons: Sequence[Lesson]) -> Iterator[list[int]]:
    """Hold the lessons' locks: one byte of ``_build/run.lock`` a day, which the system frees when its holder ends.

    Yields the days whose last run was ended in the middle: their holder's id still
    stands there, and no lock.

    Raises:
        CatalogError: another run holds one of them.
    """
    width, left, mine = 16, [], []
    (root / "_build").mkdir(exist_ok=True)
    file = os.open(root / "_build" / "run.lock", os.O_RDWR | os.O_CREAT)
    try:
        for one in lessons:
            note = os.pread(file, width, width * one.day).strip(b"\0 ").decode(errors="replace")
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, width * one.day)
            except OSError as err:
                why = f"{one.name} is being run by process {note}: wait for it, end it, or choose other lessons"
                raise CatalogError(why) from err
            mine.append(one.day)
            left += [one.day] if note else []
        for day in mine:
            os.pwrite(file, str(os.getpid()).encode().ljust(width), width * day)
        yield left
        for day in mine:
            os.pwrite(file, b" " * width, width * day)
    finally:
        os.close(file)
