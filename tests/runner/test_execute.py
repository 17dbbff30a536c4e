"""The runner's decisions, with a pool that runs nothing; what needs a kernel is in test_faults and test_run."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

from helpers.runner import execute, outputs
from helpers.runner.catalog import CatalogError, lessons
from helpers.runner.execute import Job, Result


def plan(tree, **more):
    return execute.plan(tree.root, lessons(tree.root), **more)


def test_without_a_budget_the_longest_starts_first(tree):
    for day, seconds in [(1, 5), (2, 50), (3, 20)]:
        tree.fake(tree.add(day), seconds=seconds)
    tree.add(4, budget=120)
    assert [job.lesson.day for job in plan(tree)] == [4, 2, 3, 1]


def test_with_a_budget_changed_first_then_least_recently_verified(tree):
    for day, finished in [(1, "2026-03-01"), (2, "2026-01-01"), (3, "2026-02-01"), (4, "2026-01-15")]:
        tree.fake(tree.add(day), finished=finished)
    tree.fake(tree.add(5), finished="2026-01-02", fault="no")  # ran, but a claim failed: not verified
    tree.add(4, "print('changed')")
    tree.add(6)
    tree.fake(lessons(tree.root)[1], outputs.BUILD, finished="2026-04-01")  # verified again since it was stored
    assert [job.lesson.day for job in plan(tree, budget=True)] == [5, 6, 4, 3, 1, 2]


def test_jobs_carry_profile_seed_clock_and_gpu(tree):
    tree.add(1)
    (job,) = plan(tree)
    assert (job.given, job.gpu, job.timeout) == ({}, False, 600)
    (job,) = plan(tree, profile="cpu", gpus=1)
    assert (job.given, job.gpu) == ({"profile": "cpu"}, False)
    (job,) = plan(tree, gpus=1, timeout=7)
    assert (job.given, job.gpu, job.timeout) == ({}, True, 7)
    assert [job.given for job in plan(tree, seeds=3)] == [{}, {"seed": 1}, {"seed": 2}]
    with pytest.raises(CatalogError, match="needs an NVIDIA GPU"):
        plan(tree, profile="gpu")


def test_resume_passes_by_good_current_copies_of_the_same_profile(tree):
    good, bad, stale, other = (tree.add(day) for day in (1, 2, 3, 4))
    for one in (good, stale, other):
        tree.fake(one, outputs.BUILD)
    tree.fake(bad, outputs.BUILD, fault="no")
    tree.fake(tree.add(5))  # stored, but not of the last run
    tree.add(3, "changed = True")
    done = [one.day for one in lessons(tree.root) if execute.finished(tree.root, one, "auto")]
    assert done == [1, 4]
    assert not execute.finished(tree.root, other, "gpu")
    (tree.root / "requirements.txt").write_text("other\n")
    assert not execute.finished(tree.root, good, "auto")


class Pool:
    """Threads in place of workers; counts what runs together."""

    def __init__(self, end=lambda job: Result(None, "x")):
        self.threads, self.end = ThreadPoolExecutor(8), end
        self.now, self.most, self.most_gpu = [], 0, 0

    def one(self, job):
        self.now.append(job.gpu)
        self.most, self.most_gpu = max(self.most, len(self.now)), max(self.most_gpu, sum(self.now))
        time.sleep(0.05)
        self.now.remove(job.gpu)
        return self.end(job)

    def run(self, jobs, slots, **more):
        events = execute.run(jobs, lambda job: self.threads.submit(self.one, job), slots, **more)
        return {job.lesson.day: result for job, result in events if result}


def test_slots_and_one_gpu_job_at_a_time(tree):
    jobs = [Job(tree.add(day), str(tree.root), gpu=day % 2 == 0) for day in range(1, 9)]
    assert set((pool := Pool()).run(jobs, 3)) == set(range(1, 9))
    assert (pool.most, pool.most_gpu) == (3, 1)
    (pool := Pool()).run(jobs, 3, gpu_slots=2)
    assert pool.most_gpu == 2


def test_a_lesson_marked_alone_waits_and_is_not_overtaken(tree):
    jobs = [Job(replace(tree.add(day), alone=day == 2), str(tree.root)) for day in range(1, 6)]
    beside = []

    def end(job):
        beside.append((job.lesson.day, len(pool.now)))
        return Result(None, "x")

    assert list((pool := Pool(end)).run(jobs, 3))[:2] == [1, 2]
    assert (2, 0) in beside and pool.most == 3


def test_what_does_not_fit_the_budget_does_not_start(tree):
    jobs = [Job(tree.add(day), str(tree.root), expected=seconds) for day, seconds in [(1, 5), (2, 900), (3, 20)]]
    assert list(Pool().run(jobs, 1, budget=60)) == [1, 3]


def test_a_lost_task_is_a_fault_of_its_lesson_only(tree):
    def end(job):
        if job.lesson.day == 1:
            raise RuntimeError("node gone")
        return Result(None, "x")

    results = Pool(end).run([Job(tree.add(day), str(tree.root)) for day in (1, 2)], 2)
    assert "node gone" in results[1].error and results[2].error == "x"


def test_keep_stores_whole_copies_and_sets_partial_ones_apart(tree):
    lesson = tree.add(1)
    job = Job(lesson, str(tree.root))
    earlier = tree.fake(lesson, outputs.BUILD).read_bytes()
    partial = execute.keep(job, Result({"cells": []}, "cell 3 raised"))
    assert "partial copy: _build/failed/phase1_tiny/day01_tiny.ipynb" in partial.error
    assert outputs.copy_path(tree.root, lesson, outputs.BUILD).read_bytes() == earlier
    execute.keep(Job(lesson, str(tree.root), {"seed": 1}), Result({"cells": [1]}))
    assert outputs.copy_path(tree.root, lesson, outputs.BUILD).read_bytes() == earlier, "only seed 0 is kept"
    execute.keep(job, Result({"cells": []}))
    assert outputs.copy_path(tree.root, lesson, outputs.BUILD).read_bytes() != earlier
    assert not outputs.copy_path(tree.root, lesson, outputs.FAILED).exists(), "a good run clears the partial copy"


def test_reap_kills_by_mark_and_nothing_else():
    others = {"a": "17-1-1-0", "b": "17-2-2-0", "c": "170-1-1-0", "d": ""}
    found = {}
    for name, mark in others.items():
        env = {**os.environ, **({execute.MARK: mark} if mark else {})}
        found[name] = subprocess.Popen(["sleep", "100"], env=env, start_new_session=True)
    try:
        execute.reap("", family=False)
        assert [one.poll() for one in found.values()] == [None] * 4, "no mark, no victim"
        execute.reap("17-1-1-0", family=False)
        assert found["a"].poll() is not None and found["b"].poll() is None
        execute.reap("17-", family=False)
        assert found["b"].poll() is not None and found["c"].poll() is None and found["d"].poll() is None
    finally:
        for one in found.values():
            one.kill()
            one.wait()


def test_a_worker_killed_while_idle_is_replaced(tree):
    job = Job(tree.add(1), str(tree.root), mark=f"{os.getpid()}-idle")
    with execute.local_pool(1) as submit:
        assert not submit(job).result(60).error
        for child in psutil.Process().children():
            if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline()):
                child.kill()
        time.sleep(1)
        assert not submit(job).result(60).error
