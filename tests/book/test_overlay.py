"""A book of three small lessons: what the overlay makes of outputs that are current, stale or missing."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
from bookbuild import ROOT, built

from helpers import claims, exercises
from helpers.runner import outputs

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="100pt" height="80pt" viewBox="0 0 100 80"></svg>'


def markdown(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


def code(name: str, source: str, *tags: str, out: tuple[Any, ...] = ()) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": name, "metadata": {"tags": list(tags)}, "source": source}
    return cell | {"outputs": list(out), "execution_count": 1 if out else None}


def shown(data: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def claim(text: str, status: str, measured: str = "4.2 %") -> dict[str, Any]:
    record = {"lesson": 33, "id": f"33-{text[:4]}", "text": text, "measured": measured, "status": status}
    return shown({claims.MIME: record | {"needs": "gpu" if status == "not-run" else None}, "text/plain": text})


def check(status: str) -> dict[str, Any]:
    record = {"lesson": 33, "name": "halve", "status": status, "passed": status == "passed", "message": "try `2`"}
    return shown({exercises.MIME: record, "text/plain": status})


def figure(alt: str, photo: bool = False) -> dict[str, Any]:
    about = {"alt": alt, "photo": photo, "width": 317}
    return shown({"image/svg+xml": SVG.replace("><", f"><title>{alt}</title><"), "text/plain": alt}, figure=about)


CELLS = [
    markdown("title", "# Day 33 · Self-attention\n\nYou can do this.\n\nBuilds on [day 32](day32_embeddings.ipynb)."),
    code("params", 'profile = "auto"\nseed = 0', "parameters"),
    code("injected", 'profile = "cpu"', "injected-parameters"),
    markdown(
        "build",
        "## Build · a thing\n\n**Attention** (注意力) is **attention**; **ring**, **unit** (单元), **nonsense**.",
    ),
    code(
        "slow",
        "print(1 + 1)",
        out=({"output_type": "stream", "name": "stdout", "text": "two\n"},),
    ),
    code("guess", "print(7)", "predict", out=({"output_type": "stream", "name": "stdout", "text": "zyzzyva\n"},)),
    code(
        "draw",
        "plots.show(fig)",
        "figure",
        out=(figure("a blue line that rises"), figure("a photograph of a cat", photo=True)),
    ),
    code("verify", "claim(1)", "claim", out=(claim("It holds <here>.", "holds"), claim("Too wide.", "fails", "9.9 %"))),
    code("verify-gpu", "claim(1)", "claim", out=(claim("On a GPU.", "not-run"),)),
    markdown("task", "## Exercises\n\n### 1 · Warm up: halve it\n\nWrite `halve`."),
    code("stub", "def halve(x):\n    raise NotImplementedError", "exercise"),
    code("check", "check(halve)", "check", out=(check("todo"),)),
    code("solution", "def halve(x):\n    return x / 2\ncheck(halve)", "solution", out=(check("passed"),)),
    markdown(
        "interview",
        "## Interview corner\n\n<details><summary>Why √d and not d?</summary>\n\nSee $\\sqrt d$ and "
        "[day 34](day34_multi_head_attention.ipynb).\n\n</details>",
    ),
    markdown("words", "## In your own words\n\nExplain it."),
    markdown("sources", "## Sources\n\n- Doe 2017, *A paper*, [arXiv:1706.1](https://arxiv.org/abs/1706.1): why."),
]
RUN = {"device": "Some CPU", "profile": "cpu", "seconds": 60.0, "torch": "2.13.0", "passed": True}


def notebook(cells: list[dict[str, Any]], **metadata: Any) -> dict[str, Any]:
    names = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": cells, "metadata": names | metadata, "nbformat": 4, "nbformat_minor": 5}


def write(root: Path, place: str, name: str, clean: dict[str, Any], executed: dict[str, Any] | None) -> None:
    for folder, content in (("notebooks", clean), ("outputs", executed)):
        if content:
            path = root / folder / place / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content), encoding="utf-8")


def bare(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [cell for cell in cells if cell["id"] != "injected"]
    return [cell | {"outputs": []} if cell["cell_type"] == "code" else cell for cell in kept]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with day 33 current, day 34 stale and day 35 not run; returns its HTML folder."""
    root = tmp_path_factory.mktemp("book")
    for name in ("book", "_config.yml", "scripts/build_book.py", "helpers/sources"):
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    place, names = "phase2_core", ("day33_self_attention", "day34_multi_head_attention", "day35_positional_encoding")
    clean = notebook(bare(CELLS), lesson={"read": 60, "work": 240})
    made = {"device": "NVIDIA H200", "profile": "gpu", "seconds": 41.2, "finished": "2026-11-20T10:00:00+00:00"}
    made |= {"driver": "", "commit": "", "helpers": "", "requirements": "", "python": "3.11"}
    made |= {"torch": "2.13.0+cu130", "key": outputs.key(clean, {"profile": "gpu"})}
    ran = json.loads(json.dumps(CELLS))
    next(cell for cell in ran if cell["id"] == "slow")["metadata"]["seconds"] = 28.4
    executed = notebook(ran, provenance=made, papermill={"secret": "of the machine"})
    first = RUN | {"day": 33, "finished": "2026-11-18T10:00:00Z", "key": outputs.key(clean, {"profile": "cpu"})}
    first |= {"claims": {"33-It h": ["holds", "8.4 %"], "33-Too ": ["fails", "9 %"]}}
    again = first | {"finished": "2026-11-19T10:00:00Z", "seconds": 30.0, "passed": False}
    third = first | made | {"day": 33, "claims": {"33-It h": ["holds", "4.2 %"], "33-Too ": ["holds", "1 %"]}}
    old = first | {"finished": "2026-11-17T10:00:00Z", "day": 34, "key": "of other code"}
    (root / "_build").mkdir()
    (root / "_build/history.json").write_text(json.dumps({"runs": [old, first, again, third]}), encoding="utf-8")
    write(root, place, names[0], clean, executed)
    for name, title, copy in ((names[1], "Multi-head attention", executed), (names[2], "Positional encoding", None)):
        cells = json.loads(json.dumps(bare(CELLS)).replace("Day 33 · Self-attention", f"Day {name[3:5]} · {title}"))
        next(cell for cell in cells if cell["id"] == "slow")["source"] = "print(2 + 2)"
        write(root, place, name, notebook(cells, lesson={"read": 60, "work": 240}), copy)
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    toc = re.sub(r"\n *- file: notebooks/.*", "", toc)
    lines = "".join(f"      - file: notebooks/{place}/{name}\n" for name in names)
    toc = toc.replace("      - file: book/phase2\n", f"      - file: book/phase2\n{lines}")
    (root / "_toc.yml").write_text(toc, encoding="utf-8")
    done = built(root, root)
    assert done.returncode == 0, done.stderr[-3000:]
    return root / "_build/html"


def page(small: Path, day: int) -> str:
    (path,) = small.glob(f"notebooks/phase2_core/day{day}_*.html")
    return path.read_text(encoding="utf-8")


def test_the_line_under_the_title_tells_the_run(small: Path) -> None:
    text = page(small, 33)
    for part in ("≈ 5 h", "NVIDIA H200", "41 s", "torch 2.13.0<", "2026-11-20"):
        assert part in text
    assert '<h1><span class="dn"><span class="vh">Day </span>33</span>' in text


def test_claims_show_mark_word_number_value_and_device(small: Path) -> None:
    text = page(small, 33)
    for status, word, number in (("holds", "Holds", "33.1"), ("fails", "Fails", "33.2")):
        row = re.search(rf'<div class="claim {status}" id="claim-33-.*?</p>\s*</div>', text, re.S)
        assert row and f"<b>{word}</b> · {number} · H200 · 2026-11-20" in row[0]
    assert "It holds &lt;here&gt;." in text
    assert "<b>Not run here</b> · 33.3 · needs gpu" in text


def test_cells_fold_by_their_tags(small: Path) -> None:
    text = page(small, 33)
    assert text.count("<summary>Drawing code</summary>") == 1
    assert text.count("<summary>How it is checked</summary>") == 2
    assert text.count("<summary>Solution</summary>") == 1
    folded = text.split("<summary>Predict first, then look</summary>")[1].split("</details>")[0]
    assert "zyzzyva" in folded


def test_figures_carry_words_size_and_stand_side_by_side(small: Path) -> None:
    images = re.findall(r"<img[^>]*>", page(small, 33))
    assert len(images) == 2
    assert 'class="plot"' in images[0] and 'alt="a blue line that rises"' in images[0]
    assert 'class="keep"' in images[1] and 'width="317" height="254" loading="lazy"' in images[1]
    assert 'class="figs panels' in page(small, 33)


def test_an_exercise_joins_prompt_stub_verdict_and_solution(small: Path) -> None:
    box = page(small, 33).split('<section class="ex')[1].split("</section>")[0]
    assert "Exercise 33.1" in box and "warm up" in box and "Halve it" in box
    assert "<b>Not solved yet.</b> <code>halve</code>: try <code>2</code>" in box
    assert "<b>Passes.</b>" in box.split("<summary>Solution</summary>")[1]


def test_only_the_first_bold_use_of_a_term_is_linked(small: Path) -> None:
    assert page(small, 33).count('href="../../book/glossary.html#term-attention"') == 1
    assert "#term-nonsense" not in page(small, 33)


def test_an_everyday_word_is_linked_only_with_its_chinese(small: Path) -> None:
    assert "#term-ring" not in page(small, 33) and "#term-unit" in page(small, 33)


def test_what_papermill_left_is_not_on_the_page(small: Path) -> None:
    text = page(small, 33)
    assert "of the machine" not in text
    assert "cell-injected" not in text


def test_a_link_to_an_unfinished_lesson_is_words_only(small: Path) -> None:
    assert "Builds on day 32." in page(small, 33)
    assert "day32_embeddings" not in page(small, 33)


def test_seconds_stand_in_the_margin(small: Path) -> None:
    assert re.search(r'id="cell-slow">\s*<div class="hang" aria-hidden="true">2<span>28 s</span>', page(small, 33))


def test_the_header_names_the_run_and_its_key_leads_to_status(small: Path) -> None:
    line = re.search(r'<p class="exact">(.*?)</p>', page(small, 33))
    assert line and "Python 3.11 · profile gpu · <a" in line[1] and "commit" not in line[1], "empty facts are left out"
    link = re.search(r'href="../../(\S+)"><span title="([0-9a-f]{64})">key ([0-9a-f]{8})<', line[1])
    assert link
    place, key, short = link.groups()
    status = (small / "book/status.html").read_text(encoding="utf-8")
    assert place == "book/status.html#day-33" and 'id="day-33"' in status
    assert short == key[:8] and f">{short}</td>" in status


def test_a_stale_lesson_says_so_and_shows_no_output(small: Path) -> None:
    text = page(small, 34)
    assert "<b>Stale.</b>" in text
    for part in ("zyzzyva", "a blue line", 'class="claim ', "H200"):
        assert part not in text


def test_a_lesson_without_a_run_says_so(small: Path) -> None:
    assert "<b>Not run yet.</b>" in page(small, 35)


def test_results_and_status_count_a_stale_lesson_as_open(small: Path) -> None:
    results = (small / "book/results.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr class="(\S+) ph2" data-status.*?</tr>', results, re.S)
    assert rows == ["holds", "fails", "not-run"] + ["not-run"] * 3
    assert "stale: the code has changed since" in results
    status = (small / "book/status.html").read_text(encoding="utf-8")
    assert status.count('id="day-') == 90
    for number, state in ((33, "failed"), (34, "stale"), (35, "missing"), (36, "planned")):
        assert re.search(rf'<tr class="ph2 {state}" id="day-{number}"', status), number


def test_hardware_compares_what_ran_on_both_kinds_with_the_present_code(small: Path) -> None:
    text = (small / "book/hardware.html").read_text(encoding="utf-8")
    rows = text.split('<table class="led both">')[1].split("</table>")[0]
    assert rows.count("<tr") == 4 and "day34" not in rows, "head, the run, two claims; day 34 ran other code"
    assert ">30 s</td>" in rows and ">41 s</td>" in rows and ">8.4 %</td>" in rows and ">4.2 %</td>" in rows
    assert '<b class="fails">9 %</b>' in rows
    assert "NVIDIA H200" in text and "torch 2.13.0+cu130" in text
    assert ">1 GPU<" not in text and "On a GPU." in text.split("Not run here")[-1]


def test_status_draws_the_runs_and_the_trend(small: Path) -> None:
    text = (small / "book/status.html").read_text(encoding="utf-8")
    trend = text.split('<figure class="dots trend">')[1].split("</figure>")[0]
    assert trend.count("<title>") == 8 and "2026-11-19: 2 lessons" in trend
    assert "2026-11-20: 51 s a lesson" in trend, "60 s of day 34 and 41.2 s of day 33"
    assert "<td></td>" in text.split('id="day-33"')[1].split("</tr>")[0], "one run on the present machine draws no bars"
    assert json.loads((small / "history.json").read_text(encoding="utf-8"))["runs"]


def test_references_interview_and_own_words_are_gathered(small: Path) -> None:
    references = (small / "book/references.html").read_text(encoding="utf-8")
    assert "1 articles" not in references and "1 article or book" in references
    entry = references.split('<ul class="refs">')[1].split("</ul>")[0]
    assert entry.count('class="on ph2"') == 3 and "<em>A paper</em>" in entry and "why" in entry
    interview = (small / "book/interview.html").read_text(encoding="utf-8")
    assert interview.count('<details class="q"><summary>Why √d and not d?</summary>') == 3
    assert 'href="../notebooks/phase2_core/day34_multi_head_attention.html"' in interview
    assert r"\(\sqrt d\)" in interview
    feynman = (small / "book/feynman.html").read_text(encoding="utf-8")
    assert feynman.count('data-keep="say-') == 3


def test_the_front_page_counts_from_the_ledger(small: Path) -> None:
    front = (small / "book/index.html").read_text(encoding="utf-8")
    assert "<b>Last run, 20 Nov 2026</b> · 1 of 90 lessons ran<br>\n1 claim holds" in front
    assert ">1 fails</a> · 1 not run here · 3 stale</p>" in front
    assert len(re.findall(r'<a class="day" data-day=', front)) == 3
    assert front.count('class="day none"') == 87


def test_search_knows_prose_names_and_claims_and_not_what_cells_printed(small: Path) -> None:
    rows: list[list[str]] = []
    for number in range(4):
        text = (small / f"search-{number}.js").read_text(encoding="utf-8")
        assert text.startswith(f"llm90.found({number},")
        rows += json.loads(text.strip()[len("llm90.found(0,") : -1])
    day = [row for row in rows if "day33_" in row[1]]
    build = next(row for row in day if row[1].endswith("#build-a-thing"))
    assert build[:4] == ["part", build[1], "Day 33 · Self-attention", "Build · A thing"]
    assert "Attention (注意力) is attention" in build[4] and "nonsense" in build[4]
    claims = [row for row in day if row[0] == "claim"]
    assert [row[3] for row in claims] == ["Claim 33.1", "Claim 33.2", "Claim 33.3"] and "Too wide. 9.9 %" in claims[1][
        4
    ]
    assert any("halve" in row[5].split() for row in day), "a name in the code"
    assert any("√ d" in row[4] or "√d" in row[4] for row in day), "a formula as one types it"
    assert any(row[0] == "term" and row[2] == "attention" for row in rows)
    assert "zyzzyva" not in json.dumps(rows), "a printed word"
    assert not (small / "searchindex.js").exists()


def test_downloads_are_the_clean_source(small: Path) -> None:
    assert 'href="../../_sources/notebooks/phase2_core/day33_self_attention.ipynb" download' in page(small, 33)
    source = json.loads((small / "_sources/notebooks/phase2_core/day33_self_attention.ipynb").read_text("utf-8"))
    assert not any(cell.get("outputs") for cell in source["cells"])


def test_one_file_brings_all_notebooks_and_what_they_import(small: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(small / "llm90-notebooks.zip") as archive:
        held = archive.namelist()
        assert archive.testzip() is None
    assert [name for name in held if "/notebooks/" in name] == [
        f"llm90/notebooks/phase2_core/{name}.ipynb"
        for name in ("day33_self_attention", "day34_multi_head_attention", "day35_positional_encoding")
    ]
    sys.path.insert(0, str(ROOT / "book/_ext"))
    import book_download

    own = {path.relative_to(ROOT).as_posix() for path in book_download.members(ROOT)}
    assert {"pyproject.toml", "LICENSE", "helpers/lesson.py", "helpers/sources/sources.toml"} <= own
    assert not [name for name in own if "runner" in name or "__pycache__" in name]


def test_without_a_repository_no_page_links_to_one(small: Path) -> None:
    assert "Colab" not in page(small, 33) and "Edit this page" not in page(small, 33)


def test_one_address_in_the_settings_makes_all_links(small: Path) -> None:
    root = small.parents[1]
    settings = (root / "_config.yml").read_text(encoding="utf-8")
    (root / "_config.yml").write_text(settings.replace('url: ""', 'url: "https://github.com/some/where"'), "utf-8")
    done = built(root, root)
    assert done.returncode == 0, done.stderr[-3000:]
    path = "blob/colab/notebooks/phase2_core/day33_self_attention.ipynb"
    assert f"https://colab.research.google.com/github/some/where/{path}" in page(small, 33)
    assert "https://github.com/some/where/edit/main/notebooks/phase2_core/day33" in page(small, 33)
    assert "https://github.com/some/where/edit/main/book/status.md" in (small / "book/status.html").read_text("utf-8")


def test_a_warning_fails_the_build(small: Path, tmp_path: Path) -> None:
    root = small.parents[1]
    page_ = root / "book/notation.md"
    before = page_.read_text(encoding="utf-8")
    page_.write_text(before + textwrap.dedent("\n[nowhere](no_such_page.md)\n"), encoding="utf-8")
    done = built(root, root)
    page_.write_text(before, encoding="utf-8")
    assert done.returncode == 1 and "no_such_page" in done.stderr
