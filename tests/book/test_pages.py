"""Every page of the built book, read as text: nothing from elsewhere, no dead link, a name for everything."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from bookbuild import ROOT

from helpers.runner import catalog, outputs

STATES = {lesson.day: outputs.state(ROOT, lesson) for lesson in catalog.lessons(ROOT)}
NEVER = re.compile(r"np\.(float|int|bool)\w*\(|</?(script|style)[^>]*\bsrc=\"https?:|@@\w+@@")
FILTERS = ("holds", "fails", "not-run")  # results.html#fails presses a button there
LIMIT = 1_000_000  # bytes of HTML and pictures on one page


class Reader(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.meta: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        got = dict(attrs)
        self.tags.append(tag)
        if got.get("id"):
            self.ids.append(str(got["id"]))
        if tag == "a" and got.get("href"):
            self.links.append(str(got["href"]))
        if tag == "meta" and got.get("name"):
            self.meta[str(got["name"])] = str(got.get("content"))
        if tag in ("img", "script", "iframe", "source", "video") and got.get("src"):
            self.loads.append(str(got["src"]))
        if tag == "link" and got.get("rel") not in ("canonical", "prev", "next") and got.get("href"):
            self.loads.append(str(got["href"]))
        if tag == "img":
            self.images.append(got)


@cache
def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


@pytest.fixture(scope="module")
def pages(html: Path) -> list[Path]:
    return [path for path in sorted(html.rglob("*.html")) if path != html / "index.html"]


def test_every_page_has_one_title_a_description_and_unique_names(pages: list[Path]) -> None:
    assert len(pages) >= 12
    for path in pages:
        reader = read(path)
        assert reader.tags.count("h1") == 1, path
        assert reader.meta.get("description"), path
        assert len(reader.ids) == len(set(reader.ids)), (path, [i for i in reader.ids if reader.ids.count(i) > 1][:5])


def test_pages_load_nothing_from_another_host(pages: list[Path], html: Path) -> None:
    for path in pages:
        away = [url for url in read(path).loads if re.match(r"(https?:)?//", url)]
        assert not away, (path, away)
    for sheet in (html / "_static").rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_no_link_within_the_book_is_dead(pages: list[Path]) -> None:
    dead = []
    for path in pages:
        for link in [*read(path).links, *read(path).loads]:
            if re.match(r"[a-z]+:|//", link):
                continue
            place, anchor = urldefrag(link.split("?")[0] if "#" not in link else link)
            goal = (path.parent / unquote(place.split("?")[0])).resolve() if place else path
            if not goal.exists():
                dead.append(f"{path.name}: {link}")
            elif anchor and goal.suffix == ".html" and unquote(anchor) not in {*read(goal).ids, *FILTERS}:
                dead.append(f"{path.name}: {link} (no such place)")
    assert not dead, "\n".join(dead[:20])


def test_every_picture_has_words(pages: list[Path]) -> None:
    for path in pages:
        for image in read(path).images:
            assert len(image.get("alt") or "") >= 20, (path, image.get("src"))


def test_no_raw_repr_and_no_placeholder_reaches_a_page(pages: list[Path]) -> None:
    for path in pages:
        found = NEVER.search(path.read_text(encoding="utf-8"))
        assert not found, (path, found and found[0])


def test_the_theme_leaves_nothing_unused(html: Path) -> None:
    names = {path.name for path in (html / "_static").iterdir()}
    assert not names & {"scripts", "styles", "locales", "webpack-macros.html", "sphinx-thebe.js"}


def test_a_page_stays_light(pages: list[Path]) -> None:
    for path in pages:
        pictures = {(path.parent / unquote(str(image["src"]))).resolve() for image in read(path).images}
        assert path.stat().st_size + sum(p.stat().st_size for p in pictures) < LIMIT, path


def test_the_front_page_shows_every_figure_it_names(html: Path) -> None:
    named = (ROOT / "book/index.md").read_text(encoding="utf-8").split("```{measured}")[1].split("```")[0].split("\n")
    wanted = [line for line in named if line.strip()]
    current = [line for line in wanted if STATES.get(int(line.split(".")[0])) in ("current", "to re-run")]
    shown = len(re.findall(r'<figure class="ph\d">', (html / "book/index.html").read_text(encoding="utf-8")))
    assert shown == len(current), "mend the list in book/index.md: a claim's number or a cell's id has changed"
