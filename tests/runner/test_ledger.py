"""The ledger against executed copies made by hand: what is counted, what fails, what is newer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import claims, exercises
from helpers.runner import catalog, ledger, outputs

PATH = "notebooks/phase2_core/day54_fsdp.ipynb"
TITLE = {"cell_type": "markdown", "id": "opening", "metadata": {}, "source": "# Day 54 · FSDP"}
FINISHED = "2026-11-20T10:00:00Z"


def code(name: str, source: str, *data: dict) -> dict:
    shown = [{"output_type": "display_data", "metadata": {}, "data": one} for one in data]
    cell = {"cell_type": "code", "id": name, "metadata": {}, "source": source}
    return cell | {"outputs": shown, "execution_count": 1}


def claim(status: str = "holds", text: str = "It shards") -> dict:
    record = {"lesson": 54, "id": "54-it-shards", "text": text, "measured": "×3.9", "status": status, "needs": None}
    return {claims.MIME: record}


def tried(status: str, name: str = "shard") -> dict:
    record = {"lesson": 54, "name": name, "status": status, "passed": status == "passed", "message": f"it is {status}"}
    return {exercises.MIME: record}


def good() -> list[dict]:
    return [
        TITLE,
        code("claims", "claim(1)", claim(), claim("not-run", "It is fast")),
        code("stub-check", "check(shard)", tried("todo")),
        code("solution", "def shard(): ...", tried("passed")),
    ]


@pytest.fixture
def store(tmp_path):
    """A function that stores an executed copy of one lesson and returns the repository's root."""

    def put(cells: list[dict], place: str = "outputs", **made: object) -> Path:
        clean = [c | ({"outputs": [], "execution_count": None} if c["cell_type"] == "code" else {}) for c in cells]
        source = {"cells": clean, "metadata": {"lesson": {"budget": 30}}, "nbformat": 4, "nbformat_minor": 5}
        for path, text in ((PATH, json.dumps(source)), ("_toc.yml", f"chapters:\n- file: {PATH[:-6]}\n")):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        fresh = {
            "helpers": outputs.helpers_hash(tmp_path, source, 54),
            "requirements": outputs.requirements_hash(tmp_path),
        }
        ran = {"device": "CPU", "profile": "cpu", "seconds": 12.5, "finished": FINISHED}
        made = ran | fresh | {"key": outputs.key(source, {"profile": "cpu"})} | made
        copy = source | {"cells": cells, "metadata": {"provenance": made}}
        outputs.write(outputs.copy_path(tmp_path, catalog.lessons(tmp_path)[0], place), copy)
        return tmp_path

    return put


def test_the_keys_that_pages_rely_on(store):
    table = ledger.collect(store(good()))
    first, second = table["claims"]
    page = "notebooks/phase2_core/day54_fsdp.html"
    expected = {"lesson": 54, "number": "54.1", "id": "54-it-shards", "text": "It shards", "measured": "×3.9"}
    ran = {"device": "CPU", "profile": "cpu", "date": "2026-11-20", "link": f"{page}#claim-54-it-shards"}
    assert first == expected | {"status": "holds", "needs": None} | ran
    assert (second["number"], second["status"]) == ("54.2", "not-run")
    told = {"lesson": 54, "name": "shard", "stub": "todo", "status": "passed", "message": "it is passed"}
    assert table["exercises"] == [told]
    (lesson,) = table["lessons"]
    assert lesson.pop("provenance")["finished"] == FINISHED
    assert lesson == {
        "day": 54,
        "phase": 2,
        "title": "FSDP",
        "path": PATH,
        "link": page,
        "state": "current",
        "passed": True,
        "faults": [],
        "seconds": 12.5,
        "claims": {"holds": 1, "fails": 0, "not-run": 1},
        "exercises": {"passed": 1, "other": 0},
    }
    assert ledger.failures(table) == []


def test_every_kind_of_failure_fails_the_run(store):
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}
    for cells, word in (
        ([TITLE, code("c", "claim(1)", claim("fails"))], "claim fails: It shards (measured ×3.9)"),
        ([TITLE, code("c", "check(f)", tried("todo"), tried("wrong"))], "exercise shard"),
        ([TITLE, code("c", "check(f)", tried("passed"))], "exercise shard"),
        ([TITLE, code("c", "1") | {"outputs": [error]}], "cell c raised ValueError: no"),
        ([TITLE, code("c", "1") | {"execution_count": None}], "1 cells never ran"),
    ):
        table = ledger.collect(store(cells))
        (line,) = ledger.failures(table)
        assert line.startswith("day 54: ") and word in line
        assert table["lessons"][0]["passed"] is False


def test_a_lesson_that_never_ran_is_in_the_table_and_not_passed(store):
    root = store(good())
    outputs.copy_path(root, catalog.lessons(root)[0]).unlink()
    table = ledger.collect(root)
    (lesson,) = table["lessons"]
    assert (lesson["state"], lesson["passed"], lesson["seconds"]) == ("missing", False, None)
    assert table["claims"] == table["exercises"] == []


@pytest.mark.parametrize(
    ("made", "built", "seen"),
    [
        ({"finished": "2026-11-21T01:00:00Z"}, True, "fails"),  # the nightly run counts, also where it is worse
        ({"finished": "2026-11-21T01:00:00Z"}, False, "holds"),  # the pages show what is committed
        ({"finished": "2026-11-19T01:00:00Z"}, True, "holds"),  # older
        ({"finished": "2026-11-21T01:00:00Z", "key": "of other code"}, True, "holds"),  # stale
    ],
)
def test_a_newer_run_counts_when_asked(store, made, built, seen):
    cells = good()
    store(cells)
    bad = [TITLE, code("claims", "claim(1)", claim("fails")), *cells[2:]]
    root = store(bad, place="_build/executed", **made)
    assert ledger.collect(root, built=built)["claims"][0]["status"] == seen


def test_written_as_json(store):
    root = store(good())
    table = ledger.collect(root)
    path = ledger.write(root, table)
    assert path == root / "_build/ledger.json"
    assert json.loads(path.read_text(encoding="utf-8")) == table


@pytest.mark.slow
def test_mlflow_gets_one_run_per_lesson(store, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    table = ledger.collect(store(good()))
    uri = f"sqlite:///{tmp_path}/ledger.db"
    assert ledger.log(table, uri) == 1
    assert ledger.log(table, uri) == 1  # the experiment is found again
    client = mlflow.MlflowClient(tracking_uri=uri)
    home = client.get_experiment_by_name("llm90").experiment_id
    runs = client.search_runs([home], "metrics.seconds = 12.5 and params.device = 'CPU'")
    assert len(runs) == 2
    assert runs[0].data.metrics["claims holds"] == 1
    assert runs[0].data.tags["claim 54.2"] == "not-run"
    assert runs[0].info.status == "FINISHED"
