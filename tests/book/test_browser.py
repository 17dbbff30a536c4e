"""The built book in a browser that can reach nothing else: what a reader does, and what must not happen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.claims import MIME as CLAIM
from helpers.runner import catalog, outputs

ROOT = Path(__file__).resolve().parents[2]
LESSONS = catalog.lessons(ROOT)
RAN = [lesson for lesson in LESSONS if outputs.state(ROOT, lesson) in ("current", "to re-run")]
SPREAD = [RAN[i * (len(RAN) - 1) // 3] for i in range(4)] if RAN else []
SHOWN = sorted({lesson.path.with_suffix(".html").as_posix() for lesson in SPREAD})
NAMES = ("index", "results", "status", "hardware", "glossary", "references", "phase2", "career", "interview", "feynman")
PAGES = [*(f"book/{name}.html" for name in NAMES), *SHOWN]
AXE = Path(__file__).parent / "vendor/axe.min.js"
Visit = Callable[..., Any]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False)], ids=["light", "dark", "phone"])
def test_a_page_opens_clean_and_fits_and_axe_finds_nothing(visit: Visit, path: str, width: int, dark: bool) -> None:
    page = visit(path, width=width, dark=dark)
    page.wait_for_timeout(400)
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], "the page scrolls sideways"
    assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
    said = [f"{one['id']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])}×)" for one in found]
    assert not said, "\n".join(said)


@pytest.mark.skipif(not RAN, reason="no lesson has run yet")
def test_prose_code_and_numbers_are_set_in_the_books_own_type(visit: Visit) -> None:
    page = visit(RAN[0].path.with_suffix(".html").as_posix())
    page.evaluate("document.fonts.ready")
    session = page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    for part, family in (
        ("article section > p", "STIX Two Text"),
        ("div.highlight pre", "IBM Plex Mono"),
        (".claim .m", "IBM Plex Mono"),
        (".prov dt", "IBM Plex Sans"),
    ):
        node = session.send("DOM.querySelector", {"nodeId": root, "selector": part})["nodeId"]
        used = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        assert all(one["familyName"].startswith(family) and one["isCustomFont"] for one in used), (part, used)


@pytest.mark.parametrize("width", [870, 960, 1040, 1200])
@pytest.mark.parametrize("name", ["results", "status", "hardware"])
def test_a_page_of_rows_fits_between_phone_and_desk(visit: Visit, name: str, width: int) -> None:
    page = visit(f"book/{name}.html", width=width)
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], "the page scrolls sideways"


def test_the_longest_formulas_of_the_book_fit_a_phone(visit: Visit, html: Path) -> None:
    lengths = {}
    for path in html.glob("notebooks/*/*.html"):
        found = re.findall(
            r'class="math notranslate nohighlight">\\\((.*?)\\\)', path.read_text(encoding="utf-8"), re.S
        )
        lengths[path.relative_to(html).as_posix()] = max(map(len, found), default=0)
    for place in sorted(lengths, key=lambda one: -lengths[one])[:5]:
        page = visit(place, width=390)
        page.wait_for_selector("mjx-container")
        page.wait_for_timeout(600)
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], place


@pytest.mark.parametrize("path", SHOWN)
def test_a_lesson_shows_its_claims_and_opens_its_folds(visit: Visit, path: str) -> None:
    page = visit(path)
    claims = page.locator(".claim")
    assert claims.count() >= 2
    for i in range(claims.count()):
        assert claims.nth(i).locator("p.w b").inner_text() in ("Holds", "Fails", "Not run here")
        assert claims.nth(i).locator(".m").inner_text().strip()
    fold = page.locator("details.solution").first
    fold.locator("summary").click()
    assert fold.locator("pre").first.is_visible()


@pytest.mark.skipif(not RAN, reason="no lesson has run yet")
def test_search_finds_a_claim(visit: Visit) -> None:
    ran = outputs.read(ROOT, RAN[-1]) or {}
    words = outputs.records(ran, CLAIM)[0]["text"].split()
    page = visit("search.html?q=" + "+".join([word for word in words if word.isalpha()][:8]))
    page.wait_for_selector(f"#search-results a[href*='day{RAN[-1].day:02d}_']")


@pytest.mark.parametrize("path", SHOWN)
def test_formulas_are_set(visit: Visit, path: str) -> None:
    page = visit(path)
    if page.locator(".math").count():
        page.wait_for_selector("mjx-container")
        assert page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize(("words", "least"), [("gradient", 2), ("attention", 1), ("量化", 1)])
def test_search_answers(visit: Visit, words: str, least: int) -> None:
    page = visit(f"search.html?q={words}")
    page.wait_for_selector("#search-results li")
    page.wait_for_timeout(500)
    assert page.locator("#search-results li").count() >= least


def test_search_opens_by_keyboard_from_any_page(visit: Visit) -> None:
    page = visit("book/status.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("softmax")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=softmax")
    page.wait_for_selector("#search-results li")


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("softmax", "#term-softmax"),
        ("kappa", "day"),
        ("κ", "day"),
        (r"\kappa(A)", "notation.html"),
        ("fully_shard", "day54_"),
        ("条件数", "#term-"),
    ],
)  # fmt: skip
def test_search_answers_as_one_types(visit: Visit, typed: str, first: str) -> None:
    page = visit("book/status.html")
    page.keyboard.press("Control+k")
    page.keyboard.type(typed)
    page.wait_for_function("document.querySelector('#hits-said').textContent.includes('found')")
    page.wait_for_function("document.querySelectorAll('#hits li').length > 0")
    page.wait_for_timeout(300)
    assert first in (page.locator("#hits a").first.get_attribute("href") or "")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('#hits') !== null")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('find').open")


def test_the_theme_button_keeps_its_choice(visit: Visit) -> None:
    page = visit("book/index.html")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator(".topbar [data-do=theme]").click()
    assert page.evaluate(paper) != light
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.skipif(len(LESSONS) < 2, reason="needs two finished lessons")
def test_a_day_marked_done_is_done_everywhere(visit: Visit, base: str) -> None:
    first, second = LESSONS[0].day, LESSONS[1].day
    page = visit(LESSONS[0].path.with_suffix(".html").as_posix())
    button = page.locator("[data-do=done]")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert "done" in (page.locator(f".side a.l[data-day='{first}']").get_attribute("class") or "")
    page.goto(base + "book/index.html")
    assert page.locator("#count b").inner_text() == "1 of 90"
    square = page.locator(f"a.day[data-day='{first}']")
    assert (square.get_attribute("aria-label") or "").endswith(", done")
    today = page.locator("a.day.today")
    assert today.get_attribute("data-day") == str(second)
    assert page.locator("#continue").inner_text() == f"Continue with day {second}"
    with page.expect_download() as saved:
        page.locator("#export").click()
    kept = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert list(kept["done"]) == [str(first)]
    page.locator("#file").set_input_files(
        files=[{"name": "d.json", "mimeType": "application/json",
                "buffer": json.dumps({"book": "llm90", "done": {str(second): "2026-01-02", "91": "x"}}).encode()}]
    )  # fmt: skip
    page.wait_for_function("document.querySelector('#count b').textContent === '2 of 90'")


@pytest.mark.skipif(len(LESSONS) < 2, reason="needs two finished lessons")
def test_the_grid_is_entered_at_today_and_walked_by_arrows(visit: Visit) -> None:
    page = visit("book/index.html")
    page.locator("#import").focus()
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.closest('.phase h3') !== null"):
        page.keyboard.press("Tab")
    at = "document.activeElement.dataset.day"
    assert page.evaluate(at) == str(LESSONS[0].day)
    assert page.locator("a.day:focus .tip").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(at) == str(LESSONS[1].day)
    page.keyboard.press("Home")
    assert page.evaluate(at) == str(LESSONS[0].day)


def test_ones_own_words_are_kept_and_travel_with_the_days(visit: Visit, base: str) -> None:
    page = visit("book/feynman.html")
    fields = page.locator("article textarea")
    if fields.count() < 2:
        pytest.skip("no finished lesson asks for one's own words yet")
    fields.first.fill("like a librarian")
    page.goto(base + "book/papers.html")
    page.locator("[data-tick]").first.check()
    assert page.locator("#ticked").inner_text().startswith("1 of ")
    page.goto(base + "book/index.html")
    with page.expect_download() as saved:
        page.locator("#export").click()
    kept = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert list(kept["words"].values()) == ["like a librarian"] and len(kept["ticked"]) == 1
    kept["words"] = {name: "and a baker" for name in kept["words"]} | {"done": "no key of ours"}
    file = {"name": "d.json", "mimeType": "application/json", "buffer": json.dumps(kept).encode()}
    page.locator("#file").set_input_files(files=[file])
    page.wait_for_timeout(300)
    page.goto(base + "book/feynman.html")
    assert page.locator("article textarea").first.input_value() == "like a librarian\n\nand a baker"


@pytest.mark.skipif(not RAN, reason="no lesson has run yet")
def test_portfolio_lines_come_from_an_executed_notebook_only(visit: Visit) -> None:
    page = visit("book/career.html")
    lesson = RAN[-1]
    claims = outputs.records(outputs.read(ROOT, lesson) or {}, CLAIM)
    holds = [one for one in claims if one["status"] == "holds"]
    page.locator("#runs").set_input_files([outputs.copy_path(ROOT, lesson), ROOT / lesson.path, ROOT / "README.md"])
    page.wait_for_selector("#lines li")
    assert page.locator("#lines li").count() == len(holds)
    assert holds[0]["measured"] in page.locator("#lines li").first.inner_text()
    assert "no notebook: README.md" in page.locator("#lines-said").inner_text()


def test_five_questions_are_drawn(visit: Visit) -> None:
    page = visit("book/interview.html")
    every = page.locator("details.q").count()
    if every < 6:
        pytest.skip("fewer than six questions yet")
    page.locator("#draw").click()
    assert page.locator("details.q:visible").count() == 5
    page.locator("#all").click()
    assert page.locator("details.q:visible").count() == every


def test_results_filter(visit: Visit) -> None:
    page = visit("book/results.html")
    rows = page.locator("table.led tbody tr")
    shown = "[...document.querySelectorAll('table.led tbody tr')].filter(r => !r.hidden).length"
    if not rows.count():
        pytest.skip("no claim has been measured yet")
    for status in ("holds", "fails", "not-run"):
        page.locator(f"[data-filter=status][data-value={status}]").click()
        assert page.evaluate(shown) == page.locator(f"tbody tr[data-status={status}]").count()
    page.locator("[data-filter=status][data-value='']").click()
    page.locator("#claims-text").fill("no claim says this")
    assert page.evaluate(shown) == 0 and page.locator("p.none").is_visible()
    assert page.locator(".filters .found").inner_text().startswith("0 of ")


def test_status_has_ninety_rows_and_sorts(visit: Visit) -> None:
    page = visit("book/status.html")
    assert page.locator("table.stat tbody tr").count() == 90
    day = "document.querySelector('table.stat tbody tr td').textContent"
    page.locator("[data-sort='0']").click()
    page.locator("[data-sort='0']").click()
    assert page.evaluate(day) == "90"


def test_all_ninety_titles_fit_the_sidebar_in_bold(visit: Visit) -> None:
    import yaml

    plan = yaml.safe_load((ROOT / "book/plan.yml").read_text(encoding="utf-8"))
    titles = [day["title"] for phase in plan["phases"] for part in phase["sections"] for day in part["lessons"]]
    page = visit(SHOWN[0] if SHOWN else "book/phase1.html", width=1440)
    wide = page.evaluate(
        """titles => {
            const side = document.querySelector('.side .nav .nav');
            side.closest('details').open = true;
            side.insertAdjacentHTML('beforeend', '<li><a class="l" aria-current="page" href="#">'
                + '<span class="s"></span><span class="d">88</span><b></b></a></li>');
            const link = side.lastChild.firstChild, word = link.lastChild;
            return titles.filter(t => { word.textContent = t; return link.scrollWidth > link.clientWidth; });
        }""",
        titles,
    )
    assert len(titles) == 90 and not wide


def test_the_phones_menu_opens_and_closes(visit: Visit) -> None:
    page = visit("book/index.html", width=390, height=800)
    assert not page.locator(".sidecol").first.is_visible()
    page.locator("[data-do=menu]").click()
    assert page.locator(".sidecol").first.is_visible()
    page.keyboard.press("Escape")
    assert not page.locator(".sidecol").first.is_visible()


@pytest.mark.skipif(not SHOWN, reason="no lesson is finished yet")
def test_print_opens_what_is_folded(visit: Visit) -> None:
    page = visit(SHOWN[0])
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("article :not(.tag_figure) > details:not([open])").count() == 0
    page.emulate_media(media="print")
    assert not page.locator(".sidecol").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("article details:not([open])").count() > 0
