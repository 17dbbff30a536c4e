"""The command line: ``python -m helpers.runner run|status|lint|taught|ledger|accept|bundle``."""

from __future__ import annotations

import signal
import time
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from helpers.claims import MIME as CLAIM
from helpers.runner import execute, outputs
from helpers.runner.catalog import CatalogError, Lesson, find_root, lessons, select

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console(highlight=False, soft_wrap=True)

Selection = Annotated[list[str] | None, typer.Argument(help="33, 27-30, phase2, changed, all, or a notebook's path")]


class Profile(StrEnum):
    """What ``--profile`` takes."""

    cpu = "cpu"
    gpu = "gpu"
    gpu_large = "gpu_large"
    auto = "auto"


def _chosen(words: list[str] | None) -> tuple[Path, list[Lesson]]:
    try:
        root = find_root()
        return root, select(
            root, lessons(root), words or ["all"], lambda one: execute.standing(root, one).state != "current"
        )
    except CatalogError as err:
        _fail(err)


def _fail(why: object, code: int = 2) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {why}", style="red", markup=False)
    raise typer.Exit(code)


@app.command()
def run(
    selection: Selection = None,
    profile: Annotated[Profile, typer.Option(help="sizes and device")] = Profile.auto,
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
    ended: list[tuple[execute.Job, execute.Result]] = []
    start = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with execute.lock(root, chosen) as left:
            if left and not resume:
                days = ", ".join(map(str, left))
                console.print(f"an earlier run was ended in the middle (days {days}): --resume keeps what it finished")
            pool: execute.Pool = execute.RayPool(ray, root) if ray else execute.LocalPool(jobs, gpu_jobs)
            gpus = getattr(pool, "gpus", None)
            planned = execute.plan(
                root,
                chosen,
                profile=profile,
                seeds=seeds,
                resume=resume,
                budget=budget,
                timeout=timeout,
                gpus=execute.count_gpus() if gpus is None else gpus,
            )
            if len(chosen) * seeds > len(planned):
                console.print(f"{len(chosen) - len(planned) // seeds} lessons are finished and current: not run again")
            stopped = _watch(planned, pool, budget and budget * 60, jobs, ended)
    except CatalogError as err:
        _fail(err)
    if seeds > 1:
        _over_seeds(ended)
    bad = _report(planned, ended, time.monotonic() - start, stopped)
    raise typer.Exit(130 if stopped else 1 if bad else 0)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _watch(
    planned: list[execute.Job],
    pool: execute.Pool,
    budget: float | None,
    jobs: int,
    ended: list[tuple[execute.Job, execute.Result]],
) -> bool:
    """Run and show; True when it was interrupted."""
    running: dict[str, tuple[execute.Job, float]] = {}
    start = time.monotonic()

    def board() -> Table:
        table, now = Table.grid(padding=(0, 2)), time.monotonic()
        for job, since in running.values():
            table.add_row("  ▸", job.lesson.name, f"{now - since:.0f} s of about {job.expected:.0f}")
        seen = {job.mark for job, _ in ended}
        rest = sum(job.expected for job in planned if job.mark not in seen)
        rest -= sum(min(now - since, job.expected) for job, since in running.values())
        eta = f"about {_clock(rest / jobs)} to go"
        table.add_row("", f"{len(ended)} of {len(planned)}", f"{_clock(now - start)} so far, {eta}")
        return table

    loop = execute.run(planned, pool, budget)
    with Live(get_renderable=board, console=console, refresh_per_second=2, transient=True) as live:
        if not console.is_terminal:
            live.stop()
        try:
            for job, result in loop:
                if result is None:
                    running[job.mark] = job, time.monotonic()
                    if not console.is_terminal:
                        console.print(f"{_clock(time.monotonic() - start)}  start  {_name(job)}", markup=False)
                else:
                    running.pop(job.mark)
                    ended.append((job, result))
                    console.print(
                        f"{_clock(time.monotonic() - start)}  {_line(job, result)}  [{len(ended)}/{len(planned)}]",
                        markup=False,
                        style="red" if _faults(result) else None,
                    )
        except KeyboardInterrupt:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            console.print("stopping: ending the lessons that run …")
            return True
        finally:
            loop.close()  # type: ignore[attr-defined]
    return False


def _name(job: execute.Job) -> str:
    return job.lesson.name + (f" · seed {job.seed}" if job.seed else "")


def _clock(seconds: float) -> str:
    return f"{int(max(seconds, 0)) // 60}:{int(max(seconds, 0)) % 60:02d}"


def _faults(result: execute.Result) -> list[str]:
    if result.error:
        return [result.error]
    return outputs.faults(result.notebook) if result.notebook else []


def _line(job: execute.Job, result: execute.Result) -> str:
    faults = _faults(result)
    verdict = "ERROR " if result.error else "FAILS " if faults else "ok    "
    claims = Counter(record["status"] for record in outputs.records(result.notebook or {"cells": []}, CLAIM))
    said = f"{result.seconds:.1f} s, {result.cpu:.1f} CPU-s, {claims['holds']}/{claims.total()} claims hold"
    return f"{verdict} {_name(job)}  ({said})"


def _report(
    planned: list[execute.Job], ended: list[tuple[execute.Job, execute.Result]], seconds: float, stopped: bool
) -> int:
    bad = [(job, faults) for job, result in ended if (faults := _faults(result))]
    for job, faults in bad:
        console.print(f"\n{_name(job)}", style="bold red", markup=False)
        for fault in faults:
            console.print(f"  {fault}", markup=False)
    missed = len(planned) - len(ended)
    words = [f"{len(ended) - len(bad)} good", f"{len(bad)} with faults"]
    words += [f"{missed} {'not finished' if stopped else 'not reached within the budget'}"] if missed else []
    console.print(f"\n{', '.join(words)}; {_clock(seconds)} min")
    if stopped:
        console.print("interrupted; every process is ended, earlier outputs are whole: the same command with --resume")
    return len(bad)


def _over_seeds(ended: list[tuple[execute.Job, execute.Result]]) -> None:
    """Each claim's measured values over the seeds."""
    rows: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for job, result in sorted(ended, key=lambda pair: (pair[0].lesson.day, pair[0].seed)):
        for record in outputs.records(result.notebook or {"cells": []}, CLAIM):
            rows.setdefault(record["text"], []).append((job.seed, record))
    for text, found in rows.items():
        console.print(f"\n{text}", style="bold", markup=False)
        for seed, record in found:
            console.print(f"  seed {seed}  {record['status']:8} {record['measured']}", markup=False)


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
    console.print(table, width=None if console.is_terminal else 140)
    if check and bad:
        days = " ".join(str(one.day) for one in bad)
        _fail(f"outputs of days {days} are stale or missing: `run {days}`, look at them, `accept {days}`", 1)


@app.command()
def accept(selection: Selection = None) -> None:
    """Move good executed copies from _build/executed into outputs/; without a selection, all there are."""
    root, chosen = _chosen(selection)
    bad = 0
    for one in chosen:
        if not selection and not outputs.copy_path(root, one, outputs.BUILD).exists():
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
    else:
        module.write(*_chosen(selection))


def _complain(complaints: list[str]) -> None:
    for line in complaints:
        console.print(line, markup=False)
    console.print(f"{len(complaints)} complaints" if complaints else "nothing to complain about")
    raise typer.Exit(1 if complaints else 0)


@app.command()
def ledger(
    out: Annotated[Path, typer.Option(help="JSON file")] = Path("_build/ledger.json"),
    mlflow: Annotated[str | None, typer.Option(help="tracking URI to log to as well")] = None,
) -> None:
    """All claims, exercises and timings in one file."""
    from helpers.runner import ledger as module

    module.write(_chosen(None)[0], out, mlflow)


@app.command()
def bundle(
    selection: Selection = None,
    out: Annotated[Path, typer.Option(help="folder of the kit")] = Path("_build/kit"),
    python: Annotated[str, typer.Option(help="Python of the GPU host, for the wheels")] = "3.12",
    piece_mb: Annotated[int, typer.Option(help="largest piece")] = 60,
) -> None:
    """An offline kit for a GPU host without internet."""
    from helpers.runner import bundle as module

    module.make(*_chosen(selection), out, python=python, piece_mb=piece_mb)
