"""The command line: ``python -m helpers.runner run|status|lint|taught|ledger|accept``."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from helpers.claims import MIME as CLAIM
from helpers.runner import execute, outputs
from helpers.runner.catalog import Lesson, RunnerError, find_root, lessons, select
from helpers.runner.execute import RANK, Job, Result, standing

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
Ended = list[tuple[Job, Result]]
Profile = Literal["cpu", "gpu", "gpu_large", "auto"]
Selection = Annotated[list[str] | None, typer.Argument(help="33, 27-30, phase2, changed, all, or a notebook's path")]


def main() -> None:
    """Run one command; what the runner or the system refuses is one sentence and exit code 2."""
    try:
        app()
    except (RunnerError, OSError) as err:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"error: {err}", "red"))
        sys.exit(2)


def _chosen(words: list[str] | None) -> tuple[Path, list[Lesson]]:
    root = find_root()
    return root, select(root, lessons(root), words or [], lambda one: standing(root, one)[0] < RANK["current"])


@app.command()
def run(
    selection: Selection = None,
    profile: Annotated[Profile, typer.Option(help="sizes and device")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="lessons at once")] = 2,
    gpu_jobs: Annotated[int, typer.Option(min=1, help="GPU lessons at once")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="run seeds 0…K-1 and print each claim over them")] = 1,
    ray: Annotated[str | None, typer.Option(help="address of an existing Ray cluster")] = None,
    budget: Annotated[float | None, typer.Option(help="minutes; changed lessons first")] = None,
    timeout: Annotated[float | None, typer.Option(help="seconds a lesson, instead of its own clock")] = None,
    resume: Annotated[bool, typer.Option("--resume/--force", help="keep what an interrupted run finished")] = False,
) -> None:
    """Execute lessons into _build/executed; non-zero when one raises or a claim fails."""
    root, chosen = _chosen(selection)
    todo = [one for one in chosen if not (resume and execute.finished(root, one, profile))]
    if len(todo) < len(chosen):
        console.print(f"{len(chosen) - len(todo)} of {len(chosen)} lessons are finished already, from an earlier run")
    ended: Ended = []
    with execute.lock(root, todo) as left, ExitStack() as stack:
        if left and not resume:
            days = ", ".join(map(str, left))
            console.print(f"an earlier run was ended in the middle (days {days}): --resume keeps what it finished")
        if ray:
            submit, jobs, gpus = stack.enter_context(execute.ray_pool(ray, root))
        else:
            submit, gpus = stack.enter_context(execute.local_pool(jobs)), execute.count_gpus()
        planned = execute.plan(root, todo, profile, seeds, bool(budget), timeout, gpus)
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler)
        events = execute.run(planned, submit, jobs, gpus if ray else gpu_jobs, budget and budget * 60)
        stopped = _watch(events, planned, ended)
    if seeds > 1:
        _over_seeds(ended)
    bad = _report(planned, ended, stopped)
    raise typer.Exit(130 if stopped else 1 if bad else 0)


def _watch(events: Iterator[tuple[Job, Result | None]], planned: list[Job], ended: Ended) -> bool:
    """Show progress, live on a terminal and as plain lines elsewhere; True when it was interrupted."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        whole = progress.add_task("all", total=sum(job.expected for job in planned))
        bars: dict[str, TaskID] = {}
        try:
            for job, result in events:
                if result is None:
                    bars[job.mark] = progress.add_task(f"{_name(job)} (about {job.expected:.0f} s)", total=None)
                    if not console.is_terminal:
                        console.print(f"start  {_name(job)}", markup=False)
                    continue
                ended.append((job, result))
                progress.remove_task(bars[job.mark])
                progress.update(whole, advance=job.expected, description=f"{len(ended)} of {len(planned)}")
                claims = Counter(one["status"] for one in outputs.records(result.notebook or {"cells": []}, CLAIM))
                said = f"{result.seconds:.1f} s, {result.cpu:.1f} CPU-s, {claims['holds']}/{claims.total()} claims hold"
                word = "ERROR" if result.error else "FAILS" if result.faults else "ok   "
                line = f"{word}  {_name(job)} ({said})  [{len(ended)}/{len(planned)}]"
                console.print(Text(line, "red" if result.faults else ""))
        except KeyboardInterrupt:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            console.print("stopping: ending the lessons that run …")
            return True
    return False


def _name(job: Job) -> str:
    return job.lesson.name + (f" · seed {job.seed}" if job.seed else "")


def _report(planned: list[Job], ended: Ended, stopped: bool) -> int:
    bad = [(job, result.faults) for job, result in ended if result.faults]
    for job, faults in bad:
        console.print(Text("\n  ".join([f"\n{_name(job)}", *faults])))
    left = len(planned) - len(ended)
    words = [f"{len(ended) - len(bad)} good", f"{len(bad)} with faults"]
    words += [f"{left} not {'finished' if stopped else 'reached within the budget'}"] if left else []
    console.print("", ", ".join(words), sep="\n")
    if stopped:
        console.print("interrupted: all processes are ended, earlier outputs are whole; --resume goes on from here")
    return len(bad)


def _over_seeds(ended: Ended) -> None:
    """Each claim's measured values and status over the seeds."""
    rows: dict[str, list[str]] = {}
    for job, result in sorted(ended, key=lambda pair: (pair[0].lesson.day, pair[0].seed)):
        for one in outputs.records(result.notebook or {"cells": []}, CLAIM):
            rows.setdefault(one["text"], []).append(f"  seed {job.seed}  {one['status']:7}  {one['measured']}")
    for text, lines in rows.items():
        console.print("\n".join(["", text, *lines]), markup=False)


@app.command()
def status(
    selection: Selection = None,
    check: Annotated[bool, typer.Option("--check", help="exit 1 when an output is stale or missing")] = False,
) -> None:
    """Every lesson: device, time, date, and whether its stored output belongs to it."""
    root, chosen = _chosen(selection)
    table = Table(box=None, header_style="bold")
    for head in ("day", "title", "state", "device", "seconds", "finished"):
        table.add_column(head, no_wrap=True, justify="right" if head in ("day", "seconds") else "left")
    bad = []
    for one in chosen:
        state = outputs.state(root, one)
        made = (outputs.read(root, one) or {}).get("metadata", {}).get("provenance", {})
        bad += [one] if state in ("stale", "missing") else []
        word = "not run" if state == "missing" else state
        cells = [str(made.get(k, "–")) for k in ("device", "seconds", "finished")]
        table.add_row(f"{one.day:02d}", one.title, word, *cells, style="red" if one in bad else None)
    console.print(table)
    if check and bad:
        days = " ".join(str(one.day) for one in bad)
        console.print(f"outputs of days {days} are stale or missing: `run {days}`, look at them, `accept {days}`")
        raise typer.Exit(1)


@app.command()
def accept(selection: Selection = None) -> None:
    """Move good executed copies from _build/executed into outputs/; all there are, or those selected."""
    root, chosen = _chosen(selection)
    bad = 0
    for one in chosen:
        if selection in (None, ["all"]) and not outputs.copy_path(root, one, outputs.BUILD).exists():
            continue
        try:
            console.print(f"accepted  {one.name}  ({outputs.accept(root, one) / 1000:.0f} KB)", markup=False)
        except outputs.StoreError as err:
            bad += 1
            console.print(f"refused   {one.name}: {err}", style="red", markup=False)
    raise typer.Exit(1 if bad else 0)


@app.command()
def lint(selection: Selection = None) -> None:
    """The form of the lessons, fast and static."""
    from helpers.runner import lint as form

    _complain(form.check(*_chosen(selection)))


@app.command()
def taught(
    selection: Selection = None,
    check: Annotated[bool, typer.Option("--check", help="only compare, exit 1 on a difference")] = False,
) -> None:
    """Write helpers/taught from the cells tagged taught."""
    from helpers.runner import taught as module

    if check:
        _complain(module.check(*_chosen(selection)))
    console.print(f"written: {len(module.write(*_chosen(selection)))} modules")


def _complain(complaints: list[str]) -> None:
    for line in complaints:
        console.print(line, markup=False)
    faults = [line for line in complaints if ": note: " not in line]
    console.print(f"{len(faults)} complaints" if faults else "nothing to complain about")
    raise typer.Exit(1 if faults else 0)


@app.command()
def ledger(
    built: Annotated[bool, typer.Option("--built/--stored", help="prefer the last run's copies")] = True,
    mlflow: Annotated[str | None, typer.Option(help="tracking URI to log to as well")] = None,
) -> None:
    """All claims, exercises and timings in one file; non-zero when a claim fails."""
    from helpers.runner import ledger as module

    root, every = _chosen(None)
    table = module.collect(root, every, built)
    console.print(f"written: {module.write(root, table)}", markup=False)
    if mlflow:
        console.print(f"{module.log(table, mlflow)} runs logged to {mlflow}", markup=False)
    _complain(module.failures(table))
