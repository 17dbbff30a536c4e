"""What pages gather from all lessons: the bibliography, the career lists, the history of runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "book/_ext"), str(ROOT / "scripts")]

import book_history  # noqa: E402
import book_plan  # noqa: E402
import book_refs  # noqa: E402
import book_sources  # noqa: E402
import history  # noqa: E402

A = "[arXiv:1706.03762](https://arxiv.org/abs/1706.03762)"


def words(text: str) -> list[tuple[str, list[str], str]]:
    return [(work.words, list(work.links), note) for work, note in book_sources.entries(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"- Doe 2017, *A: b*, {A}: why.", [("Doe 2017, *A: b*", ["arXiv:1706.03762"], "why")]),
        (
            "Each is cited beside the sentence it supports. Doe 2001, *T*, [doi:10.1/ab](https://doi.org/10.1/ab) · "
            "PyTorch notes: [one](https://docs.pytorch.org/1), [two](https://docs.pytorch.org/2).",
            [
                ("Doe 2001, *T*", ["doi:10.1/ab"], ""),
                ("PyTorch notes, one", ["docs.pytorch.org"], ""),
                ("PyTorch notes, two", ["docs.pytorch.org"], ""),
            ],
        ),
        (
            f"Doe 2016, *T*, [doi:10.1/ab](https://doi.org/10.1/ab), {A}: the circle",
            [("Doe 2016, *T*", ["doi:10.1/ab", "arXiv:1706.03762"], "the circle")],
        ),
        ("Start with [Roe et al. 2017](https://arxiv.org/abs/1.2)", [("Roe et al. 2017", ["arXiv:1.2"], "")]),
        ("P [18](https://github.com/a/b/pull/18): x. [Issue 2](https://github.com/a/b/2): y",
         [("github.com/a/b/pull/18", ["github.com"], "x"), ("P, Issue 2", ["github.com"], "y")]),
    ],
)  # fmt: skip
def test_an_entry_is_read_as_it_is_written(text: str, expected: list[Any]) -> None:
    assert words(text) == expected


def test_one_work_cited_three_ways_is_one_entry() -> None:
    found = book_sources.gather(
        [
            (1, "", "As [they](https://arxiv.org/abs/1706.03762v5) say."),
            (2, f"- Doe 2017, *T*, {A}, [doi:10.1/AB](https://doi.org/10.1/AB): all", ""),
            (3, "", "See [Doe](https://doi.org/10.1/ab)."),
        ]
    )
    assert [(work.words, work.days) for work in found] == [("Doe 2017, *T*", {1: "", 2: "all", 3: ""})]
    assert found[0].paper


def test_every_link_of_the_finished_lessons_is_in_the_bibliography() -> None:
    found = {book_sources.same(url) for work in book_refs.works(ROOT) for url in work.links.values()}
    for day in book_plan.load(ROOT).finished:
        text = "\n".join(book_refs.book_prose.parts(ROOT, day).values())
        for match in book_sources.LINK.finditer(text):
            # one address a work and label is kept; another page of the same host may share its label
            assert book_sources.same(match[2]) in found, (day.number, match[0])


def test_a_title_is_added_where_there_is_none() -> None:
    known = {"doi:10.1/ab": "Another", "arxiv:1706.03762": "Attention"}
    said = ["[Doe 2017](https://arxiv.org/abs/1706.03762)", "Roe 2018, *T*, [doi:10.1/AB](https://doi.org/10.1/AB)"]
    found = book_sources.gather([(1, "- " + "\n- ".join(said), "")], known)
    assert [work.words for work in found] == ["Doe 2017, *Attention*", "Roe 2018, *T*"]


def test_every_paper_has_a_title_and_every_title_a_paper() -> None:
    found = book_refs.works(ROOT)
    cited = {book_sources.same(url): work for work in found for url in work.links.values()}
    for name in book_refs.titles(ROOT):
        assert name in cited, f"book/works.yml: no lesson cites {name}"
    for name, work in cited.items():
        if work.paper and name.startswith(("arxiv:", "doi:")):
            bare = re.fullmatch(r"[^*]* \d{4}( \(.*\))?", work.words)
            assert not bare, f"{work.words}: give its title in the lesson's Sources, or in book/works.yml as {name}"
            assert work.words.count("*") <= 2, work.words


def test_career_lists_are_whole() -> None:
    lists = yaml.safe_load((ROOT / "book/career.yml").read_text(encoding="utf-8"))
    assert len({one["url"] for one in lists["papers"]}) == len(lists["papers"]) >= 24
    for one in lists["papers"]:
        assert set(one) == {"after", "words", "url", "ask"} and 1 <= one["after"] <= 90, one
        assert one["ask"].endswith((".", "?")) and book_sources.label(one["url"]).startswith(("arXiv:", "doi:")), one
    for one in lists["certificates"]:
        assert set(one) == {"name", "url", "form", "areas", "missing"}, one["name"]
        assert all(1 <= day <= 90 for area in one["areas"] for day in area["days"])


def run(day: int, finished: str, **more: Any) -> history.Entry:
    base = {"day": day, "finished": finished, "device": "D", "profile": "cpu", "seconds": 1.0, "passed": True}
    return base | {"claims": {}} | more


def test_history_keeps_each_run_once_and_thins_old_weeks() -> None:
    young = [run(1, f"2026-11-{i:02d}T01:00:00Z") for i in range(1, 21)]
    old = [run(1, f"2026-03-{i:02d}T01:00:00Z") for i in range(2, 16)]  # two whole weeks
    kept = history.thinned(history.merged(young, old, young[:3]))
    assert len(kept) == 22 and [one["finished"][:10] for one in kept[:2]] == ["2026-03-08", "2026-03-15"]


def test_history_reads_what_git_held(tmp_path: Path) -> None:
    import subprocess

    copy = {"cells": [], "metadata": {"provenance": {"finished": "2026-01-01T00:00:00Z", "device": "D", "seconds": 2}}}
    path = tmp_path / "outputs/phase1_x/day07_y.ipynb"
    path.parent.mkdir(parents=True)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    for date in ("2026-01-01", "2026-01-02"):
        copy["metadata"]["provenance"]["finished"] = f"{date}T00:00:00Z"  # type: ignore[index]
        path.write_text(json.dumps(copy), encoding="utf-8")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "x"], check=True)
    found = history.update(tmp_path)
    assert [(one["day"], one["finished"][:10]) for one in found] == [(7, "2026-01-01"), (7, "2026-01-02")]
    earlier = tmp_path / "published.json"
    earlier.write_text(json.dumps({"runs": [run(7, "2025-12-31T00:00:00Z")]}), encoding="utf-8")
    assert len(history.update(tmp_path, earlier)) == 3 and len(history.update(tmp_path)) == 3
    assert len(book_history.load(tmp_path)) == 3
    earlier.write_text("<html>not found</html>", encoding="utf-8")
    with pytest.raises(SystemExit, match="is no history"):
        history.update(tmp_path, earlier)


def test_evenings_count_the_last_run_of_each_lesson() -> None:
    runs = [
        run(1, "2026-11-01T01", claims={"a": ["holds", "1"]}),
        run(1, "2026-11-02T01", claims={"a": ["fails", "1"]}),
        run(2, "2026-11-02T02", claims={"b": ["not-run", ""]}),
    ]
    found = book_history.nights(runs)
    assert [(day, counts["holds"], counts["fails"], counts["not-run"], n) for day, counts, _, n in found] == [
        ("2026-11-01", 1, 0, 0, 1),
        ("2026-11-02", 0, 1, 1, 2),
    ]
    assert "with a fault" not in book_history.spark(runs[:2]) and book_history.spark(runs[:1]) == ""
