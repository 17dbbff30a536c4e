"""The far side of ``launch``: what runs in the agent, in each rank's keeper, and in the rank itself."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import linecache
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path


def agent() -> None:
    """Start one keeper a rank, by torchrun, mpiexec or plainly; end with an error as soon as one of them does."""
    leash()
    launcher, ranks = sys.argv[1], int(sys.argv[2])
    command = [sys.executable, "-c", "from helpers._rank import keeper; keeper()"]
    if launcher.endswith("mpiexec"):  # it takes this process's place, and the leash stays on
        os.execv(launcher, [launcher, "-n", str(ranks), *_mpi_options(), *command])
    if launcher == "torchrun":
        from torch.distributed.run import main

        main(["--standalone", f"--nproc-per-node={ranks}", "--no-python", *command])
        return
    for r in range(ranks):
        where = {"RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
        subprocess.Popen(command, env=os.environ | where, start_new_session=True)
    for _ in range(ranks):
        if os.wait()[1]:
            sys.exit(1)  # the leash takes the others


def _mpi_options() -> list[str]:
    """Loopback and shared memory only, all files in the job's folder, waiting ranks that let others run.

    Said by environment variables, which ``launch(env=…)`` may set otherwise.
    """
    job = os.environ["TMPDIR"] = os.environ["LAUNCH_JOB"]
    chosen = {"pml": "ob1", "btl": "self,sm,tcp", "btl_tcp_if_include": "127.0.0.0/8", "mpi_yield_when_idle": "1"}
    chosen |= {"btl_sm_backing_directory": job}  # not /dev/shm, small in containers, where a killed rank leaves its own
    for name, value in chosen.items():
        os.environ.setdefault(f"OMPI_MCA_{name}", value)
    return ["--allow-run-as-root", "--oversubscribe"]


def keeper() -> None:
    """Fork the rank, wait, and write down how it ended: nobody else learns of a signal."""
    leash()
    for name in ("RANK", "LOCAL_RANK", "SIZE", "LOCAL_SIZE"):  # said by mpiexec in its own words
        if value := os.environ.get(f"OMPI_COMM_WORLD_{name}"):
            os.environ[name.replace("SIZE", "WORLD_SIZE")] = value
    job, rank = Path(os.environ["LAUNCH_JOB"]), os.environ["RANK"]
    out = os.open(job / f"out{rank}", os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    pid = os.fork()
    if pid == 0:
        leash()
        _run(job, rank)
    (job / f"pid{rank}").write_text(f"{os.getpid()} {pid}")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    (job / f"exit{rank}").write_text(str(code))
    os._exit(code != 0)


def leash() -> None:
    """Die when the parent dies, however it dies."""
    parent = int(os.environ["LAUNCH_PARENT"])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before the leash was on
        os._exit(1)
    os.environ["LAUNCH_PARENT"] = str(os.getpid())


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _run(job: Path, rank: str) -> None:
    stack = (job / f"stack{rank}").open("w")
    faulthandler.enable(stack, all_threads=False)
    faulthandler.register(signal.SIGUSR1, stack, all_threads=False)
    code = 1
    try:
        call, cells, (day, profile, seed) = pickle.loads((job / "call").read_bytes())
        linecache.cache.update({name: (1, None, text, name) for name, text in cells.items()})
        if day:  # the lesson's seed and determinism, as `start` set them
            from helpers import repro
            from helpers.lesson import current

            current.day, current.profile, current.seed = day, profile, seed
            if "OMPI_COMM_WORLD_RANK" in os.environ and not re.search(b"torch|helpers", call):
                _seed_light(seed)
            else:
                repro.deterministic()
                repro.seed_everything(seed)
        fn, args = pickle.loads(call)
        (job / f"started{rank}").touch()
        packed = _packed(fn(*args))
        (job / f"part{rank}").write_bytes(packed)
        (job / f"part{rank}").rename(job / f"result{rank}")
        code = 0
    except BaseException as err:  # SystemExit and KeyboardInterrupt are failures of a rank, too
        kind = "".join(traceback.format_exception_only(err)).strip()[:1500]
        frames = [(f.filename, f.lineno or 0, f.name) for f in traceback.extract_tb(err.__traceback__)]
        (job / f"part{rank}").write_bytes(pickle.dumps((kind, frames)))
        (job / f"part{rank}").rename(job / f"error{rank}")
    with contextlib.suppress(Exception):
        distributed = sys.modules.get("torch.distributed")
        if distributed and distributed.is_initialized():
            distributed.destroy_process_group()
        mpi = sys.modules.get("mpi4py.MPI")
        if mpi and code == 0 and mpi.Is_initialized() and not mpi.Is_finalized():
            mpi.Finalize()  # it waits for the others, and who leaves without it ends the whole job
    sys.stdout.flush()
    os._exit(code)


def _seed_light(seed: int) -> None:
    """``repro.seed_everything`` for MPI functions that never name torch: its import takes seconds in every rank."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)


def _packed(result: object) -> bytes:
    import cloudpickle  # type: ignore[import-untyped]

    try:
        return bytes(cloudpickle.dumps(result))
    except Exception as err:
        kind = type(result).__name__
        raise TypeError(f"the result ({kind}) cannot travel back: return tensors, numbers or text") from err
