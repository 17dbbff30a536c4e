"""Run lessons with papermill: cold kernels, a wall clock for each lesson, and no process left behind.

The runner starts workers, each in its own session; a worker runs one lesson at a
time in a fresh kernel. A pipe that nobody writes to ties them together: when the
runner ends, however it ends, the workers read its end of file, kill everything
below them and go. Every process of a lesson carries ``LLM90_JOB`` in its
environment, so that one that left the family is found too.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import fcntl
import json
import logging
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any, Protocol

from helpers.runner import outputs
from helpers.runner.catalog import CatalogError, Lesson, read_notebook

MARK = "LLM90_JOB"
GRACE = 10.0  # seconds that a cell has to end after its interrupt
RAY_EXCLUDES = [".git", ".venv*", "_build", "outputs", "book", "node_modules", ".cache"]


@dataclass(frozen=True)
class Job:
    """One lesson to run; ``given`` are the parameters injected, ``timeout`` is wall seconds."""

    lesson: Lesson
    root: str
    given: dict[str, Any] = field(default_factory=dict)
    timeout: float = 600
    gpu: bool = False
    expected: float = 60
    mark: str = ""

    @property
    def seed(self) -> int:
        """Which seed; only seed 0 is stored."""
        return int(self.given.get("seed", 0))


@dataclass
class Result:
    """What became of a job: an executed copy, whole or partial, and what went wrong."""

    notebook: outputs.Notebook | None
    error: str = ""
    seconds: float = 0.0
    cpu: float = 0.0


# ---------------------------------------------------------------- one lesson


def work(job: Job) -> Result:
    """Run one lesson in this process's care; every process it started is gone afterwards."""
    start, used = time.monotonic(), _cpu()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans of the kernel become ours
    with tempfile.TemporaryDirectory(prefix="llm90-", ignore_cleanup_errors=True) as folder:
        try:
            result = _lesson(job, Path(job.root or os.getcwd()), Path(folder))
        except Exception as err:  # a fault of this lesson must not end the others
            result = Result(None, f"{type(err).__name__}: {err}")
        finally:
            reap(job.mark)
    result.seconds, result.cpu = time.monotonic() - start, _cpu() - used
    if result.notebook:
        result.notebook["metadata"]["provenance"]["seconds"] = round(result.seconds, 1)
    return result


def _lesson(job: Job, root: Path, folder: Path) -> Result:
    held: dict[str, Any] = {"nb": {"cells": []}}
    source = read_notebook(root / job.lesson.path)
    error = _execute(job, root, folder, held)
    raw = json.loads(json.dumps(held["nb"]))
    for cell in raw["cells"]:
        lasted = cell["metadata"].get("papermill", {}).get("duration") or 0
        if lasted >= 1:
            cell["metadata"]["seconds"] = round(lasted, 1)
    notebook = outputs.merge(source, raw)
    found = {"device": "", "profile": "cpu", "torch": "", "driver": ""} | held.get("facts", {})
    notebook["metadata"]["provenance"] = {
        **found,
        "finished": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "python": platform.python_version(),
        "key": outputs.key(source, {**job.given, "profile": found["profile"]}),
        "commit": outputs.commit(root, job.lesson),
        "helpers": outputs.helpers_hash(root, source, job.lesson.day),
        "requirements": outputs.requirements_hash(root),
    }
    return Result(notebook, error or _raised(notebook))


def _execute(job: Job, root: Path, folder: Path, held: dict[str, Any]) -> str:
    """Execute the notebook with papermill; the executed node and the kernel's facts go into ``held``."""
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
            super().papermill_execute_cells()
            message = self.kc.execute("", silent=True, user_expressions={"facts": FACTS})
            with contextlib.suppress(KeyError, TypeError, ValueError):
                reply = self.wait_for_reply(message)["content"]["user_expressions"]["facts"]
                held["facts"] = json.loads(ast.literal_eval(reply["data"]["text/plain"]))

    class Engine(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kw: Any) -> None:
            with open(folder / "kernel.log", "wb") as log:
                Client(
                    nb_man,
                    kernel_name=kernel_name,
                    timeout=None,
                    startup_timeout=kw["start_timeout"],
                    iopub_timeout=60,
                    coalesce_streams=True,
                ).execute(env=_environment(job, root, folder), cwd=str(root), stdout=log, stderr=log)

    papermill_engines.register("llm90", Engine)
    clock = _Clock(job.timeout, held)
    try:
        papermill.execute_notebook(
            str(root / job.lesson.path),
            str(folder / "executed.ipynb"),
            parameters=job.given,
            engine_name="llm90",
            kernel_name="python3",
            cwd=str(root),
            start_timeout=120,
            progress_bar=False,
            autosave_cell_every=0,
            request_save_on_cell_execute=False,
        )
    except (PapermillExecutionError, DeadKernelError) as err:
        at = _where(held["nb"])
        if clock.struck:
            return f"{at} was still running after {job.timeout:.0f} s and was ended: is there a loop without an end?"
        if isinstance(err, DeadKernelError):
            said = (folder / "kernel.log").read_text(errors="replace").strip().splitlines()[-4:]
            return "\n  ".join([f"the kernel died in {at}, {_death(held)}", *said])
    finally:
        clock.cancel()
    return ""


FACTS = "__import__('helpers.runner.execute', fromlist=['facts']).facts()"


def facts() -> str:
    """Called in the kernel after the last cell: what it really ran on, as JSON."""
    from helpers.lesson import current

    found = {"device": "CPU", "torch": "", "driver": ""}
    if "torch" in sys.modules:
        from helpers import repro

        found |= {name: value for name, value in repro.environment().items() if name in found}
    return json.dumps({**found, "profile": current.profile})


def _environment(job: Job, root: Path, folder: Path) -> dict[str, str]:
    mine = {
        MARK: job.mark,
        "OMP_NUM_THREADS": "1",  # with more, neighbours made one cell take 5 s or 69 s
        "IPYTHONDIR": str(folder / "ipython"),  # the reader's own start-up files stay out
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    if job.given.get("profile") == "cpu":
        mine["CUDA_VISIBLE_DEVICES"] = ""
    return {**os.environ, **mine}


class _Clock:
    """The wall clock of a lesson: interrupts its kernel (so that ``finally`` runs), then kills it."""

    def __init__(self, seconds: float, held: dict[str, Any]) -> None:
        self.struck, self._held = False, held
        self._timers = [threading.Timer(seconds, self._end, [signal.SIGINT])]
        self._timers.append(threading.Timer(seconds + GRACE, self._end, [signal.SIGKILL]))
        for timer in self._timers:
            timer.daemon = True
            timer.start()

    def _end(self, number: signal.Signals) -> None:
        kernel = self._held.get("kernel")
        if kernel is not None and kernel.poll() is None:
            self.struck = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(kernel.pid, number)  # jupyter starts a kernel as leader of its own group

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()


def _where(notebook: Any) -> str:
    """The cell that ran last, by number and id."""
    started = [
        f"cell {number} `{cell.get('id')}`"
        for number, cell in enumerate(_own(notebook), 1)
        if cell["cell_type"] == "code" and cell["metadata"].get("papermill", {}).get("start_time")
    ]
    return started[-1] if started else "its first cell"


def _own(notebook: Any) -> list[Any]:
    added = {"injected-parameters", "papermill-error-cell-tag"}
    return [cell for cell in notebook["cells"] if not added & set(cell["metadata"].get("tags", []))]


def _raised(notebook: outputs.Notebook) -> str:
    """The first error of an executed copy: cell, message, and the end of its traceback."""
    numbers = {cell.get("id"): number for number, cell in enumerate(notebook["cells"], 1)}
    for cell_id, out in outputs.errors(notebook):
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(out.get("traceback", []))).strip().splitlines()
        head = f"cell {numbers.get(cell_id)} `{cell_id}` raised {out['ename']}: {out['evalue']}"
        return "\n  ".join([head, *trace[-12:-1]])
    return ""


def _death(held: dict[str, Any]) -> str:
    with contextlib.suppress(Exception):
        code = held["kernel"].wait(timeout=5)
        if code < 0:
            name = signal.Signals(-code).name
            return f"killed by {name}" + (" (out of memory, or by hand)" if name == "SIGKILL" else "")
        return f"with exit code {code}"
    return "for an unknown reason"


def _cpu() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def reap(mark: str) -> int:
    """Kill every descendant of this process and every process that carries ``mark``; how many there were."""
    import psutil

    def marked(process: Any) -> bool:
        try:
            return bool(mark) and process.environ().get(MARK) == mark
        except (psutil.Error, OSError):
            return False

    me, count = psutil.Process(), 0
    for _ in range(10):  # a dying process may still have forked
        found = {*me.children(recursive=True), *filter(marked, psutil.process_iter())} - {me}
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        count += len(found)
        if not found or not psutil.wait_procs(found, timeout=5)[1]:
            break
    return count


# ---------------------------------------------------------------- many lessons


class Pool(Protocol):
    """Where jobs run: local workers, or a Ray cluster."""

    def free(self, job: Job) -> bool:
        """Whether the job can start now."""

    def start(self, job: Job) -> None:
        """Start it."""

    def wait(self, seconds: float) -> list[tuple[Job, Result]]:
        """Jobs that ended within so many seconds, perhaps none."""

    def close(self) -> None:
        """End everything that still runs."""


class LocalPool:
    """Worker processes on this machine; GPU jobs take turns."""

    def __init__(self, jobs: int, gpu_jobs: int = 1) -> None:
        self.jobs, self.gpu_jobs = jobs, gpu_jobs
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, Job] = {}

    def free(self, job: Job) -> bool:
        """A worker is free, and the GPU if the job needs it."""
        on_gpu = sum(other.gpu for other in self._busy.values())
        return len(self._busy) < self.jobs and not (job.gpu and on_gpu >= self.gpu_jobs)

    def start(self, job: Job) -> None:
        """Hand the job to an idle worker, or to a new one."""
        worker = self._idle.pop() if self._idle else _Worker()
        worker.pipe.send(job)
        worker.deadline = time.monotonic() + job.timeout + GRACE + 180
        self._busy[worker] = job

    def wait(self, seconds: float) -> list[tuple[Job, Result]]:
        """Results that came in; a worker that died or hangs is one too."""
        connection.wait([worker.pipe for worker in self._busy], timeout=seconds)
        ended = []
        for worker, job in list(self._busy.items()):
            try:
                if worker.pipe.poll():
                    result = worker.pipe.recv()
                    self._idle.append(worker)
                elif time.monotonic() > worker.deadline:
                    raise EOFError
                else:
                    continue
            except (EOFError, OSError):
                worker.end()
                reap_marked(job.mark)
                result = Result(None, f"its worker process {worker.process.pid} was ended from outside: run it again")
            del self._busy[worker]
            ended.append((job, result))
        return ended

    def close(self) -> None:
        """Cut the lifelines, wait, and make sure."""
        for worker in [*self._idle, *self._busy]:
            worker.lifeline.close()
        for worker in [*self._idle, *self._busy]:
            worker.end()
        for job in self._busy.values():
            reap_marked(job.mark)
        self._idle, self._busy = [], {}


def reap_marked(mark: str) -> None:
    """Kill what a dead worker left: its processes carry the mark (this process's own children stay)."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                process.kill()


class _Worker:
    def __init__(self) -> None:
        spawn = get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        end, self.lifeline = spawn.Pipe(duplex=False)
        self.deadline = 0.0
        self.process = spawn.Process(target=_serve, args=(theirs, end), daemon=False)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until it has its own session
        self.process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        end.close()

    def end(self) -> None:
        self.lifeline.close()
        self.process.join(timeout=15)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(jobs: Any, lifeline: Any) -> None:
    os.setsid()  # Ctrl-C reaches the runner alone, and it decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_follow, args=(lifeline,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            jobs.send(work(jobs.recv()))


def _follow(lifeline: Any) -> None:
    """Wait for the end of the runner, then end everything below this worker and the worker itself."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    reap("")
    os._exit(1)


class RayPool:
    """Tasks on an existing Ray cluster: one CPU each, and one GPU where the profile asks for it."""

    def __init__(self, address: str, root: Path) -> None:
        import ray

        self._ray, self._busy = ray, {}  # type: ignore[var-annotated]
        runtime = {"working_dir": str(root), "excludes": RAY_EXCLUDES}
        try:
            ray.init(address=address, runtime_env=runtime, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as err:
            raise CatalogError(f"no Ray cluster answers at {address!r} ({err}): start one, or leave --ray out") from err
        have = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self.cpus, self.gpus = int(have.get("CPU", 0)), int(have.get("GPU", 0))
        self._task = ray.remote(work).options(num_cpus=1, max_retries=0)

    def free(self, job: Job) -> bool:
        """The cluster queues by itself; more than its CPUs would only hide what waits."""
        return len(self._busy) < max(self.cpus, 1)

    def start(self, job: Job) -> None:
        """Send the lesson's name; the sources travel once, as the working directory."""
        away = Job(**{**vars(job), "root": ""})
        self._busy[self._task.options(num_gpus=int(job.gpu)).remote(away)] = job

    def wait(self, seconds: float) -> list[tuple[Job, Result]]:
        """Results that came in; a lost node is one too."""
        done, _ = self._ray.wait(list(self._busy), timeout=seconds) if self._busy else ([], [])
        ended = []
        for ref in done:
            try:
                result = self._ray.get(ref)
            except Exception as err:
                result = Result(None, f"Ray lost the task ({type(err).__name__}): run it again")
            ended.append((self._busy.pop(ref), result))
        return ended

    def close(self) -> None:
        """Interrupt what runs, wait for its clean end, and leave the cluster as it was."""
        for ref in self._busy:
            self._ray.cancel(ref, force=False)
        if self._busy:
            self._ray.wait(list(self._busy), num_returns=len(self._busy), timeout=20)
        self._ray.shutdown()


@dataclass(frozen=True)
class Standing:
    """How a lesson stands: the best state of its copies, when it was last verified, how long it takes."""

    state: outputs.State
    finished: str
    seconds: float


RANK: dict[outputs.State, int] = {"missing": 0, "stale": 0, "to re-run": 1, "current": 2}


def standing(root: Path, lesson: Lesson) -> Standing:
    """The better of the stored copy and the last run's; a copy with faults does not count as verified."""
    best = Standing("missing", "", lesson.budget + 15.0)
    for store in (outputs.STORE, outputs.BUILD):
        copy = outputs.read(root, lesson, store)
        if copy and not outputs.faults(copy):
            made = copy["metadata"].get("provenance", {})
            one = Standing(outputs.state(root, lesson, store), made.get("finished", ""), made.get("seconds", 60.0))
            best = max(best, one, key=lambda s: (RANK[s.state], s.finished))
    return best


def plan(
    root: Path,
    lessons: Sequence[Lesson],
    *,
    profile: str = "auto",
    seeds: int = 1,
    resume: bool = False,
    budget: float | None = None,
    timeout: float | None = None,
    gpus: int = 0,
) -> list[Job]:
    """Jobs in the order in which they start.

    With a budget the changed lessons come first, then the least recently verified;
    without one the longest, which packs best.
    """
    if profile.startswith("gpu") and not gpus:
        raise CatalogError(f"profile {profile!r} needs an NVIDIA GPU and nvidia-smi lists none: use cpu or auto")
    stand = {one.day: standing(root, one) for one in lessons}
    todo = [one for one in lessons if not (resume and _finished(root, one, profile))]
    if budget is not None:
        todo.sort(key=lambda one: (RANK[stand[one.day].state], stand[one.day].finished))
    else:
        todo.sort(key=lambda one: -stand[one.day].seconds)
    asked = {} if profile == "auto" else {"profile": profile}
    return [
        Job(
            lesson=one,
            root=str(root),
            given=asked | ({"seed": seed} if seed else {}),
            timeout=timeout or 300 + 10 * one.budget,
            gpu=gpus > 0 and profile != "cpu",
            expected=stand[one.day].seconds,
            mark=f"{os.getpid()}-{time.time_ns()}-{one.day}-{seed}",
        )
        for one in todo
        for seed in range(seeds)
    ]


def _finished(root: Path, lesson: Lesson, profile: str) -> bool:
    copy = outputs.read(root, lesson, outputs.BUILD)
    if not copy or outputs.faults(copy) or outputs.state(root, lesson, outputs.BUILD) != "current":
        return False
    return profile in ("auto", copy["metadata"]["provenance"]["profile"])


def run(jobs: Sequence[Job], pool: Pool, budget: float | None = None) -> Iterator[tuple[Job, Result | None]]:
    """Run the jobs: yields (job, None) when one starts and (job, result) when it has ended and is stored.

    With a budget (seconds), a job that is not expected to fit in what is left does
    not start. However the loop is left, everything below it is ended.
    """
    start, todo = time.monotonic(), list(jobs)
    running = 0
    try:
        while todo or running:
            for job in list(todo):
                if budget is not None and time.monotonic() - start + job.expected > budget:
                    todo.remove(job)
                elif pool.free(job):
                    todo.remove(job)
                    pool.start(job)
                    running += 1
                    yield job, None
            for job, result in pool.wait(0.5):
                running -= 1
                yield job, keep(job, result)
    finally:
        pool.close()


def keep(job: Job, result: Result) -> Result:
    """Write a result where it belongs: whole copies to the build store, partial ones to the failed."""
    if result.notebook is None or job.seed:
        return result
    store = outputs.FAILED if result.error else outputs.BUILD
    path = outputs.copy_path(Path(job.root), job.lesson, store)
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
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())


@contextlib.contextmanager
def lock(root: Path, lessons: Sequence[Lesson]) -> Iterator[list[int]]:
    """Hold the lessons' locks: one byte of ``_build/run.lock`` a day, freed by the system when its holder ends.

    Yields the days whose last run was ended in the middle.

    Raises:
        CatalogError: another run holds one of them.
    """
    width, left = 16, []
    (root / "_build").mkdir(exist_ok=True)
    with open(root / "_build" / "run.lock", "a+b", buffering=0):
        pass
    with open(root / "_build" / "run.lock", "r+b", buffering=0) as file:
        for one in lessons:
            note = os.pread(file.fileno(), width, width * one.day).strip(b"\0 ").decode(errors="replace")
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, width * one.day)
            except OSError as err:
                raise CatalogError(
                    f"{one.name} is being run by process {note}: wait for it, end it, or choose other lessons"
                ) from err
            left += [one.day] if note else []
        for one in lessons:
            os.pwrite(file.fileno(), str(os.getpid()).encode().ljust(width), width * one.day)
        try:
            yield left
        finally:
            for one in lessons:
                os.pwrite(file.fileno(), b" " * width, width * one.day)
