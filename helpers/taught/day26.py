"""Built in day 26, Ray: ``runner taught`` copies it from day26_ray.ipynb."""

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
import psutil


def ray_settings(folder):
    """Environment of Ray and its processes; call it before `import ray`."""
    stub = Path(folder) / "rfc3987_syntax.py"      # see "Two traps"
    stub.write_text("raise ImportError('left out')\n")
    paths = [str(folder), *(path or os.getcwd() for path in sys.path)]
    os.environ.update(
        PYTHONPATH=os.pathsep.join(paths), RAY_TMPDIR=str(folder),
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",     # loopback only
        RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0",
        RAY_BACKEND_LOG_LEVEL="fatal",
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
        RAY_prestart_worker_first_driver="0", RAY_worker_niceness="0",
        RAY_health_check_period_ms="1000",         # a death is seen
        RAY_health_check_failure_threshold="3",    # after three seconds
        RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",
        RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S="180",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1")
    # the agents' web pages: not wanted, so they count as not installed
    sys.modules["ray.dashboard.optional_deps"] = None


def ray_family():
    """All processes of this Ray.

    The folder is in their environment or, where a process has written
    its title over that, among its open files (the logs)."""
    home, found = os.environ["RAY_TMPDIR"], []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and (
                    process.environ().get("RAY_TMPDIR") == home or
                    any(file.path.startswith(f"{home}/")
                        for file in process.open_files())):
                found.append(process)
    return found


def ray_down(cluster):
    """Stop Ray; kill what does not go by itself; how many that were."""
    import ray
    ray.shutdown()
    cluster.shutdown()
    psutil.wait_procs(ray_family(), timeout=10)
    rest = ray_family()
    for process in rest:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(rest, timeout=10)
    return len(rest)


def ray_node(cluster, tries=3, **about):
    """One more machine for the cluster, or its first.

    Its agents have 15 s to come up, which a busy machine may miss:
    then what was begun is cleared away, and begun again."""
    for turn in range(1, tries + 1):
        before = {process.pid for process in ray_family()}
        try:
            return cluster.add_node(object_store_memory=100 * 2**20,
                                    **about)
        except Exception as err:
            for process in ray_family():
                if process.pid not in before:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
            if turn == tries:
                raise RuntimeError(
                    f"Ray did not start in {tries} tries. Close what keeps "
                    "this machine busy and run the cell again.") from err


def ray_up(cpus=2):
    """A Ray of this machine alone; this program becomes its driver."""
    import ray
    from ray.cluster_utils import Cluster
    cluster = Cluster()
    ray_node(cluster, num_cpus=cpus, include_dashboard=False,
             no_monitor=True, include_log_monitor=False)
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)                     # a greeting of its C++ part
    try:
        ray.init(address=cluster.address, logging_level="error",
                 log_to_driver=False)
    except BaseException:
        ray_down(cluster)
        raise
    finally:
        os.dup2(kept, 2)
        os.close(kept), os.close(null)
    return cluster


def keep(earlier, score, eta=2):
    """Ray's ASHA at a rung: whether a trial goes on; higher is better."""
    return not earlier or bool(score >= np.quantile(earlier, 1 - 1 / eta))
