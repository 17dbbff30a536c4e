"""All claims, exercises and timings of the executed lessons in one table: JSON, the book's pages, MLflow.

``collect`` gives ``{"lessons": […], "claims": […], "exercises": […]}``, in the order of the book:

* lesson: ``day phase title path`` (of the source), ``link`` (page, relative to the book), ``state``
  (``current``, ``stale``, ``to re-run``, ``missing``), ``passed`` (it ran and nothing failed), ``faults``
  (sentences), ``seconds``, ``claims`` = ``{holds, fails, not-run}`` and ``exercises`` = ``{passed, other}``
  (counts), ``provenance`` (a dictionary; empty where the lesson never ran).
* claim: ``lesson`` (day), ``number`` (``"54.1"``), ``id``, ``text``, ``measured``, ``status`` (``holds``,
  ``fails``, ``not-run``), ``needs``, ``device``, ``profile``, ``date`` (``YYYY-MM-DD``), ``link`` (page#claim).
* exercise: ``lesson``, ``name``, ``stub`` (status of the untouched stub), ``status`` (of the solution), ``message``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers import claims, exercises
from helpers.runner import catalog, outputs

Ledger = dict[str, list[dict[str, Any]]]
PLACE = "_build/ledger.json"


def collect(root: Path, lessons: Sequence[catalog.Lesson] | None = None, built: bool = False) -> Ledger:
    """The ledger of ``lessons`` (default: all of ``_toc.yml``) from the copies that the book shows.

    With ``built``, a copy in ``_build/executed`` counts instead where it is of the
    present code and finished later, as after a nightly run.
    """
    table: Ledger = {"lessons": [], "claims": [], "exercises": []}
    for lesson in catalog.lessons(root) if lessons is None else lessons:
        store, copy, made = outputs.STORE, *_read(root, lesson, outputs.STORE)
        if built and outputs.state(root, lesson, outputs.BUILD) in ("current", "to re-run"):
            fresh = outputs.BUILD, *_read(root, lesson, outputs.BUILD)
            store, copy, made = max((store, copy, made), fresh, key=lambda one: str(one[2].get("finished", "")))
        link, faults = lesson.path.with_suffix(".html").as_posix(), outputs.faults(copy)
        ran = {"device": made.get("device"), "profile": made.get("profile"), "date": str(made.get("finished", ""))[:10]}
        found = outputs.records(copy, claims.MIME)
        for i, record in enumerate(found, 1):
            number, place = f"{lesson.day}.{i}", f"{link}#claim-{record['id']}"
            table["claims"].append(record | ran | {"lesson": lesson.day, "number": number, "link": place})
        tried: dict[str, dict[str, Any]] = {}
        for record in outputs.records(copy, exercises.MIME):
            one = tried.setdefault(record["name"], {"lesson": lesson.day, "stub": record["status"]})
            one |= {key: record[key] for key in ("name", "status", "message")}
        table["exercises"] += tried.values()
        solved = sum(one["status"] == "passed" for one in tried.values())
        table["lessons"].append(
            {key: getattr(lesson, key) for key in ("day", "phase", "title")}
            | {"path": lesson.path.as_posix(), "link": link, "state": outputs.state(root, lesson, store)}
            | {"passed": bool(made) and not faults, "faults": faults, "seconds": made.get("seconds")}
            | {"claims": {"holds": 0, "fails": 0, "not-run": 0, **Counter(record["status"] for record in found)}}
            | {"exercises": {"passed": solved, "other": len(tried) - solved}, "provenance": made}
        )
    return table


def _read(root: Path, lesson: catalog.Lesson, store: str) -> tuple[outputs.Notebook, dict[str, Any]]:
    copy = outputs.read(root, lesson, store) or {"cells": []}
    return copy, copy.get("metadata", {}).get("provenance", {})


def failures(table: Ledger) -> list[str]:
    """One line for each claim that fails, exercise that is not solved, cell that raised: a run with any has failed."""
    return [f"day {one['day']:02d}: {fault}" for one in table["lessons"] for fault in one["faults"]]


def write(root: Path, table: Ledger) -> Path:
    """Write the ledger as JSON, whole or not at all; returns where."""
    outputs.write(root / PLACE, table)
    return root / PLACE


def log(table: Ledger, uri: str, experiment: str = "llm90") -> int:
    """Record one MLflow run per executed lesson at ``uri`` (``sqlite:///ledger.db``, ``http://…``); returns how many.

    Parameters are the provenance, metrics the seconds and the counts of claims and
    exercises, tags the state and each claim's status by its number.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment)
    done = [one for one in table["lessons"] if one["provenance"]]
    for one in done:
        status = {f"claim {c['number']}": c["status"] for c in table["claims"] if c["lesson"] == one["day"]}
        counts = {f"{what} {key}": n for what in ("claims", "exercises") for key, n in one[what].items()}
        mlflow.start_run(run_name=f"day {one['day']:02d}", tags=status | {"state": one["state"]})
        mlflow.log_params(one["provenance"])
        mlflow.log_metrics({"seconds": one["seconds"], **counts})
        mlflow.end_run("FINISHED" if one["passed"] else "FAILED")
    return len(done)
