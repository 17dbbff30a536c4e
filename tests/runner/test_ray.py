"""The same run on an existing Ray cluster: a real one, of one node, on this machine."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from helpers.runner import outputs
from helpers.runner.catalog import read_notebook

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


def end(folder):
    """End everything that Ray started for this folder."""
    family = [
        p for p in psutil.process_iter(["cmdline"]) if any(str(folder) in word for word in p.info["cmdline"] or [])
    ]
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(family, timeout=20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """``ray start --head`` on a free port of the loopback, ended with everything below it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    folder = tmp_path_factory.getbasetemp().parent / f"ray{os.getpid()}"  # a socket's path has 107 characters at most
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    command += ["--num-cpus=2", "--num-gpus=0", "--include-dashboard=false", f"--object-store-memory={200 * 2**20}"]
    command += [f"--port={port}", f"--temp-dir={folder}"]
    settings = {"RAY_AUTH_MODE": "disabled", "RAY_agent_register_timeout_ms": "120000"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    said = ""
    try:
        for _ in range(4):  # its node gives up after 15 s, which a busy machine may need for imports alone
            process = subprocess.Popen(command, env=os.environ | settings, **pipes)
            for line in process.stdout:
                said += line
                if "--block" in line:
                    threading.Thread(target=process.stdout.read, daemon=True).start()
                    yield f"127.0.0.1:{port}"
                    return
            end(folder)
        pytest.skip(f"Ray did not start on this machine: {said[-300:]}")
    finally:
        end(folder)


def test_lessons_run_as_tasks_and_their_copies_come_home(tree, cluster):
    lesson = tree.add(1, "import os\nprint(os.getcwd())", "from helpers import claim\nclaim('One', '1', True)")
    tree.add(2, "1 / 0")
    code, said = tree.run("run", "--ray", cluster, "--profile", "cpu")
    assert code == 1 and "1 good, 1 with faults" in said and "ZeroDivisionError" in said, said
    done = read_notebook(outputs.copy_path(tree.root, lesson, outputs.BUILD))
    assert "runtime_resources" in done["cells"][2]["outputs"][0]["text"], "it ran in the task's copy of the sources"
    assert outputs.records(done, outputs.CLAIM)[0]["status"] == "holds"
    assert outputs.state(tree.root, lesson, outputs.BUILD) == "current"
    code, said = tree.run("run", "--ray", cluster, "--profile", "gpu")
    assert code == 2 and "needs an NVIDIA GPU" in said, "the cluster has none"


def test_an_interrupt_ends_what_runs_on_the_cluster(tree, cluster):
    mark = f"1{os.getpid()}"  # seconds that nobody else sleeps, so that another run's process is not taken for ours
    start = f"import pathlib, subprocess, time\nsubprocess.Popen(['sleep', '{mark}'], start_new_session=True)\n"
    tree.add(1, start + f"pathlib.Path({str(tree.root / 'stuck')!r}).touch()\ntime.sleep(1000)")
    process = tree.start("run", "--ray", cluster, "--profile", "cpu")
    tree.until("stuck", 120)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=90)[0]
    assert process.returncode == 130 and "interrupted" in said, said

    def asleep():
        return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", mark]]

    end = time.monotonic() + 60  # a busy machine takes its time to cancel a task
    while asleep() and time.monotonic() < end:
        time.sleep(0.5)
    assert asleep() == []
    assert tree.orphans(5) == []


def test_no_cluster_there(tree):
    tree.add(1)
    code, said = tree.run("run", "--ray", "127.0.0.1:1")
    assert code == 2 and "no Ray cluster answers at '127.0.0.1:1'" in said, said
