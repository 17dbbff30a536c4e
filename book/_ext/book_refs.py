"""References: one bibliography of what all finished lessons cite, with the days that cite it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import book_marks as marks
import book_plan
import book_prose
import book_search
import book_sources
import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

PAGE = "book/references"
MARKUP = re.compile(r"`([^`]+)`|\*([^*]+)\*|\$([^$]+)\$")


def works(root: Path) -> list[book_sources.Work]:
    """The bibliography of the book as it stands."""
    plan, lessons = book_plan.load(root), []
    for day in plan.finished:
        text = book_prose.parts(root, day)
        sources = text.pop("Sources", "")
        lessons.append((day.number, sources, "\n\n".join(text.values())))
    return book_sources.gather(lessons, titles(root))


def titles(root: Path) -> dict[str, str]:
    """Titles of what lessons cite by author and year alone, by identifier."""
    found: dict[str, str] = yaml.safe_load((root / "book/works.yml").read_text(encoding="utf-8"))
    return found


def inline(text: str) -> list[nodes.Node]:
    """Markdown's code, italics and formulas inside one line, as nodes."""
    found: list[nodes.Node] = []
    at = 0
    for match in MARKUP.finditer(text):
        found.append(nodes.Text(text[at : match.start()]))
        code, slanted, formula = match.groups()
        if code:
            found.append(nodes.literal("", code))
        elif slanted:
            found.append(nodes.emphasis("", slanted))
        else:
            found += scripted(book_search.formula(formula))
        at = match.end()
    return [*found, nodes.Text(text[at:])]


def scripted(text: str) -> list[nodes.Node]:
    """``ε^1/n`` with its exponent raised: a line of a bibliography needs no MathJax."""
    found: list[nodes.Node] = []
    for sign, part in re.findall(r"([_^]?)([^_^]+)", text):
        kind = {"^": nodes.superscript, "_": nodes.subscript}.get(sign, nodes.emphasis)
        found.append(kind("", part))
    return found


class References(SphinxDirective):
    """``{references} papers`` or ``{references} manuals``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A list in alphabetical order, or lists by host."""
        root = Path(self.env.srcdir)
        self.plan = book_plan.load(root)
        found = works(root)
        if self.arguments[0] == "papers":
            return self._papers([work for work in found if work.paper])
        return self._manuals([work for work in found if not work.paper])

    def _papers(self, found: list[book_sources.Work]) -> list[nodes.Node]:
        count = f"{len(found)} articles and books" if len(found) != 1 else "1 article or book"
        shown: list[nodes.Node] = [raw(f'<p class="count">{count}</p><ul class="refs">')]
        for work in found:
            links = [f'<a href="{marks.esc(url)}">{marks.esc(name)}</a>' for name, url in sorted(work.links.items())]
            links += [self._day(number) for number, note in sorted(work.days.items()) if not note]
            words = work.words if work.dated else work.words[:1].upper() + work.words[1:]
            shown += [raw("<li>"), *_line(inline(words)), raw(f' <span class="id">{" ".join(links)}</span>')]
            for number, note in sorted(work.days.items()):
                if note:
                    shown += [raw(f'<p class="why">{self._day(number)} '), *_line(inline(note)), raw("</p>")]
            shown.append(raw("</li>"))
        return [*shown, raw("</ul>")]

    def _manuals(self, found: list[book_sources.Work]) -> list[nodes.Node]:
        hosts: dict[str, list[book_sources.Work]] = {}
        for work in found:
            host = urlsplit(next(iter(work.links.values()))).hostname or ""
            hosts.setdefault(host.removeprefix("www."), []).append(work)
        shown: list[nodes.Node] = [raw(f'<p class="count">{len(found)} pages</p><dl class="hosts">')]
        for host, some in sorted(hosts.items()):
            shown.append(raw(f'<div><dt class="num">{marks.esc(host)}</dt><dd><ul>'))
            for work in some:
                url = next(iter(work.links.values()))
                words = work.words.removeprefix(host).lstrip("/") or host
                days = ", ".join(self._day(number) for number in sorted(work.days))
                opened = raw(f'<li><a href="{marks.esc(url)}">')
                shown += [opened, *_line(inline(words)), raw(f"</a> {days}</li>")]
            shown.append(raw("</ul></dd></div>"))
        return [*shown, raw("</dl>")]

    def _day(self, number: int) -> str:
        day = self.plan.day(number)
        return f'<a class="on ph{day.phase}" href="../{day.docname}.html#sources">Day {day.two}</a>'


def raw(text: str) -> nodes.raw:
    """HTML as it is."""
    return nodes.raw("", text, format="html")


def _line(parts: list[nodes.Node]) -> list[nodes.Node]:
    """Inline nodes among raw HTML need a parent that writes no tag of its own but a span."""
    return [nodes.inline("", "", *parts)] if any(part.astext() for part in parts) else []


def setup(app: Any) -> None:
    """Register the directive."""
    app.add_directive("references", References)
