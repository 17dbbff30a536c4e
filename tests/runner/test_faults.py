"""What goes wrong on a bad day. After each: earlier outputs whole, no orphan, and a message that helps."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from helpers.runner import outputs
from helpers.runner.execute import count_gpus

# a lesson in the middle: it has a child of its own that left its session, and it does not end
STUCK = """
import pathlib, subprocess, time
subprocess.Popen(["sleep", "1000"], start_new_session=True)
pathlib.Path("stuck").touch()
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def stuck(tree):
    """Day 1 is done, day 2 hangs; both have earlier outputs."""
    lessons = [tree.add(1, "print('done')"), tree.add(2, STUCK)]
    paths = [tree.fake(one, outputs.STORE, seconds=9 - one.day) for one in lessons]
    paths += [tree.fake(one, outputs.BUILD, fault="an earlier run") for one in reversed(lessons)]
    before = [path.read_bytes() for path in paths]
    yield tree
    after = [path.read_bytes() for path in paths]
    assert after[:3] == before[:3], "only the last run's copy of day 1 may be new"
    assert not list(tree.root.rglob("*.tmp"))


def say(process, seconds=60):
    return process.communicate(timeout=seconds)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(stuck, number):
    process = stuck.start("run", "--jobs", "1" if number == signal.SIGINT else "2")
    stuck.until("stuck")
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: the whole group
    else:
        process.send_signal(number)
    said = say(process)
    assert process.returncode == 130 and "Traceback" not in said, said
    assert "interrupted: all processes are ended" in said and "--resume" in said and " not finished" in said
    assert stuck.orphans(2) == []
    if number == signal.SIGINT:
        code, said = stuck.run("run", "--resume", "--timeout", "3")
        assert "1 of 2 lessons are finished already" in said and "start  day 01" not in said
        assert code == 1 and "ended in the middle" not in said, "an interrupt cleans up behind itself"
        assert stuck.orphans(2) == []


def test_sigkill_of_the_runner(stuck):
    process = stuck.start("run", "2")
    stuck.until("stuck")
    assert len(stuck.processes()) >= 4, "runner, worker, kernel and its child"
    process.kill()
    process.communicate()
    assert stuck.orphans() == []
    code, said = stuck.run("run", "1-2", "--timeout", "2")
    assert "an earlier run was ended in the middle (days 2): --resume keeps what it finished" in said, (
        "its lock is free"
    )
    assert code == 1 and stuck.orphans(2) == []


def test_sigkill_of_a_kernel_and_of_a_worker(tree):
    kernel = tree.add(1, "print('before')", STUCK.split("while")[0] + "import os\nos.kill(os.getpid(), 9)")
    worker = tree.add(2, STUCK.split("while")[0] + "import os\nos.kill(os.getppid(), 9)\ntime.sleep(100)")
    tree.add(3)
    before = [tree.fake(one, outputs.BUILD).read_bytes() for one in (kernel, worker)]
    code, said = tree.run("run")
    assert code == 1 and "1 good, 2 with faults" in said, said
    assert "the kernel died in cell 4 `c2`, killed by SIGKILL; if nobody did that, memory ran out" in said
    assert "its worker was ended from outside" in said
    assert "partial copy: _build/failed/phase1_tiny/day01_tiny.ipynb" in said
    assert "before" in outputs.copy_path(tree.root, kernel, outputs.FAILED).read_text()
    assert [outputs.copy_path(tree.root, one, outputs.BUILD).read_bytes() for one in (kernel, worker)] == before
    assert tree.orphans() == []


def test_a_hanging_cell_is_ended_also_when_it_will_not(tree):
    tidy = "try:\n    while True: pass\nfinally:\n    print('tidied up')"
    deaf = "import time\nwhile True:\n    try: time.sleep(60)\n    except KeyboardInterrupt: print('no')"
    lessons = [tree.add(1, tidy), tree.add(2, STUCK.split("while")[0] + deaf)]
    start = time.monotonic()
    code, said = tree.run("run", "--timeout", "4")
    assert code == 1 and time.monotonic() - start < 60
    assert said.count("cell 3 `c1` still ran after 4 s and was ended: a loop without an end?") == 2, said
    first, second = (outputs.copy_path(tree.root, one, outputs.FAILED).read_text() for one in lessons)
    assert "tidied up" in first and "KeyboardInterrupt" in first, "it was interrupted before it was killed"
    assert '"no\\n"' in second
    assert tree.orphans() == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run", "77"], "nothing matches '77': there are days 1-2"),
        (["accept", "77"], "nothing matches '77': there are days 1-2"),
        (["run", "1", "--profile", "tpu"], "'cpu', 'gpu', 'gpu_large', 'auto'"),
        (["run", "1", "--profile", "gpu"], "needs an NVIDIA GPU"),
    ],
)
def test_unknown_words(tree, words, why):
    tree.add(1)
    tree.add(2)
    if "gpu" in words and count_gpus():
        pytest.skip("this machine has a GPU")
    code, said = tree.run(*words)
    assert code == 2 and why in " ".join(said.replace("│", " ").split()) and "Traceback" not in said, said


def test_a_notebook_that_is_no_json(tree):
    tree.add(1)
    (tree.root / "notebooks/phase1_tiny/day01_tiny.ipynb").write_text("<html>")
    code, said = tree.run("run")
    assert code == 2 and "day01_tiny.ipynb is not JSON" in said and "git restore" in said


def test_two_runs_at_once(stuck):
    first = stuck.start("run", "2")
    stuck.until("stuck")
    code, said = stuck.run("run", "1-2")
    assert code == 2 and f"day 02 · Tiny is being run by process {first.pid}: wait for it, end it" in said
    code, said = stuck.run("run", "1")
    assert code == 0, "other lessons may run beside it: " + said
    assert first.poll() is None, "the first run is not disturbed"
    first.send_signal(signal.SIGINT)
    say(first)
    assert stuck.orphans(2) == []


@pytest.fixture
def mount():
    """Mount a small file system; unmounted afterwards. Needs root on Linux."""
    mounted = []

    def add(path, options):
        path.mkdir(parents=True, exist_ok=True)
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("mounting a small file system needs root on Linux")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"this machine does not let root mount a file system: {done.stderr.strip()}")
        mounted.append(path)

    yield add
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_full_disk(tree, mount):
    mount(tree.root / "_build" / "executed", "size=64k")
    mount(tree.root / "outputs", "size=64k")
    lesson = tree.add(1, "print('x' * 100_000)")
    paths = [tree.fake(lesson, store) for store in (outputs.BUILD, outputs.STORE)]
    before = [path.read_bytes() for path in paths]
    code, said = tree.run("run")
    assert code == 1 and "the disk is full: free some space and run again" in said and "Traceback" not in said, said
    with pytest.raises(OSError, match="No space"), open(tree.root / "outputs" / "other", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    code, said = tree.run("accept")
    assert code == 1 and "refused" in said and "the disk is full" in said, said
    assert [path.read_bytes() for path in paths] == before
    assert not list(tree.root.rglob("*.tmp")) and tree.orphans() == []


def test_read_only_outputs(tree, mount):
    lesson = tree.add(1)
    outside = tree.root / "outputs"
    if os.geteuid() == 0:
        mount(outside, "size=1m")
    path = tree.fake(lesson)
    before = path.read_bytes()
    tree.fake(lesson, outputs.BUILD, seconds=6)
    if os.geteuid() == 0:
        subprocess.run(["mount", "-o", "remount,ro", str(outside)], check=True)
    else:
        path.parent.chmod(0o555)
    code, said = tree.run("accept")
    assert code == 1 and ("read-only" in said or "not allowed" in said) and "earlier copy is untouched" in said, said
    assert path.read_bytes() == before
    path.parent.chmod(0o755) if os.geteuid() else None


def test_a_worker_outlives_nothing_it_started(tree):
    """``reap`` also finds what was started in a session of its own by a process that is gone."""
    tree.add(1, "import subprocess, os\nos.system('setsid sleep 1000 & setsid setsid sleep 1001 &')\nprint('done')")
    code, said = tree.run("run")
    assert code == 0, said
    assert tree.orphans(2) == []
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] in (["sleep", "1000"], ["sleep", "1001"])
    ]
