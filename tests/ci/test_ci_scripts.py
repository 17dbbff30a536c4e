"""What the nightly job's own scripts do: shards, collecting, reporting, links, drift's choice."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts/ci")]

import collect  # noqa: E402
import links  # noqa: E402
import report  # noqa: E402
import shards  # noqa: E402

from helpers.claims import MIME as CLAIM  # noqa: E402
from helpers.runner import catalog  # noqa: E402
from scripts import drift  # noqa: E402


def test_shards_hold_every_lesson_once_and_are_even() -> None:
    times = {day: float(20 + day % 7 * 15) for day in range(1, 91)}
    cut = shards.cut(times, 6)
    days = [int(day) for one in cut for day in one["days"].split()]
    assert sorted(days) == list(range(1, 91)) and [one["name"] for one in cut] == list("123456")
    sums = [sum(times[int(day)] for day in one["days"].split()) for one in cut]
    assert max(sums) < 1.05 * min(sums)
    assert shards.cut({}, 6) == [] and len(shards.cut({1: 1.0}, 6)) == 1


def notebook(day: int, profile: str = "cpu", outputs: list[dict[str, Any]] | None = None) -> str:
    cell = {"cell_type": "code", "id": "verify", "source": "x = 1\nclaim(x)", "execution_count": 1, "metadata": {}}
    made = {"device": "D", "profile": profile, "torch": "2", "finished": f"2026-01-0{day}"}
    return json.dumps({"cells": [cell | {"outputs": outputs or []}], "metadata": {"provenance": made}})


def put(folder: Path, shard: str, kind: str, name: str, text: str) -> None:
    path = folder / shard / kind / "phase1_x" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_collecting_prefers_the_gpus_copy(tmp_path: Path) -> None:
    night = tmp_path / "night"
    put(night, "night-gpu", "executed", "day01_a", notebook(1, "gpu"))
    put(night, "night-cpu-2", "executed", "day01_a", notebook(1))
    put(night, "night-cpu-1", "executed", "day02_b", notebook(2))
    put(night, "night-cpu-1", "failed", "day03_c", notebook(3))
    assert collect.collect(night, tmp_path) == (2, 1)
    kept = json.loads((tmp_path / "_build/executed/phase1_x/day01_a.ipynb").read_text(encoding="utf-8"))
    assert kept["metadata"]["provenance"]["profile"] == "gpu"


def test_a_report_names_cell_code_log_and_claim(tmp_path: Path) -> None:
    error = {
        "output_type": "error",
        "ename": "ValueError",
        "evalue": "no",
        "traceback": ["\x1b[31mValueError\x1b[0m: no"],
    }
    record = {"id": "i", "text": "It is wide.", "measured": "0.1", "status": "fails"}
    put(tmp_path, "night-cpu-1", "failed", "day01_a", notebook(1, outputs=[error]))
    put(tmp_path, "night-cpu-1", "executed", "day02_b", notebook(2, outputs=[{"data": {CLAIM: record}}]))
    put(tmp_path, "night-cpu-1", "executed", "day03_c", notebook(3))
    (tmp_path / "night-cpu-1/run.log").write_text("start\nERROR  day 01\n", encoding="utf-8")
    text = report.report(tmp_path)
    assert "## day01_a" in text and "cell `verify` raised **ValueError**" in text and "claim(x)" in text
    assert "ValueError: no" in text and "\x1b" not in text
    assert "the claim *It is wide.* fails, measured `0.1`" in text
    assert "day03_c" not in text and "## Log of night-cpu-1" in text


def test_a_good_night_reports_nothing_and_a_bad_one_fits_an_issue(tmp_path: Path) -> None:
    put(tmp_path, "night-cpu-1", "executed", "day03_c", notebook(3))
    (tmp_path / "night-cpu-1/run.log").write_text("ok  day 03\n", encoding="utf-8")
    assert report.report(tmp_path) == ""
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["x" * 9000]}
    for day in range(1, 10):
        put(tmp_path, "night-cpu-1", "failed", f"day0{day}_c", notebook(day, outputs=[error]))
    assert len(report.report(tmp_path)) < 65_536


@pytest.fixture
def site() -> Iterator[str]:
    """A server that answers /200, /404 and so on with that status; /405 refuses HEAD only."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = int(self.path.strip("/"))
            self.send_response(200 if code == 405 and self.command == "GET" else code)
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("code", "said"),
    [(200, "alive"), (405, "alive"), (403, "refused"), (503, "silent"), (404, "404 Not Found"), (410, "410 Gone")],
)
def test_only_what_is_gone_is_dead(site: str, code: int, said: str) -> None:
    assert links.ask(f"{site}/{code}", timeout=5) == said


def test_links_are_gathered_with_their_pages(tmp_path: Path) -> None:
    page = '<a class="x" href="https://a.org/p?a=1&amp;b=2#part">a</a> <a href="http://127.0.0.1:8888/lab">b</a>'
    (tmp_path / "one.html").write_text(page, encoding="utf-8")
    (tmp_path / "two.html").write_text('<a href="https://a.org/p?a=1&amp;b=2">a</a>', encoding="utf-8")
    assert links.gather(tmp_path) == {"https://a.org/p?a=1&b=2": ["one.html", "two.html"]}


def test_drift_touches_as_many_packages_as_twelve_lessons_can() -> None:
    chosen = drift.dozen(ROOT)
    every = [one for one in catalog.lessons(ROOT) if drift.runs_there(one)]
    assert len(chosen) == min(12, len(every))
    uses = [set(drift.wanted(ROOT, one)[1]) for one in chosen]
    assert len(set().union(*uses)) >= max(len(set(drift.wanted(ROOT, one)[1])) for one in every)
    names = drift.names(ROOT)
    have = {name.split("[")[0] for name in drift.packages(ROOT, chosen)}
    lacking = {one.split("[")[0] for found in uses for one in found} - have
    assert lacking <= {"tensorflow"}, "a lesson would lack what its own cell on Colab installs"
    assert "numpy" in names and not [name for name in names if "=" in name]
