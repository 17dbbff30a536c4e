"""The glossary: ``book/glossary.yml`` as a page, and a link from the first **bold** use of a term in a lesson."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import book_marks as marks
import book_plan
import yaml
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

PAGE = "book/glossary"


def source(srcdir: Path) -> Path:
    """Where the terms are written down."""
    return Path(srcdir) / "book/glossary.yml"


def load(path: Path) -> list[dict[str, Any]]:
    """The terms in alphabetical order, each with ``term``, ``zh``, ``says``, perhaps ``also``, ``day``, ``common``."""
    return _load(path, path.stat().st_mtime_ns)


@cache
def _load(path: Path, _stamp: int) -> list[dict[str, Any]]:
    terms: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return sorted(terms, key=lambda one: re.sub(r"[^a-z0-9]", "", one["term"].casefold()))


def anchor(term: str) -> str:
    """The place of a term on the glossary's page."""
    return "term-" + re.sub(r"[^a-z0-9]+", "-", term.casefold()).strip("-")


def names(terms: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every spelling of every term, in lower case, plurals too."""
    found: dict[str, dict[str, Any]] = {}
    for one in terms:
        for word in (one["term"], *one.get("also", ())):
            found[word.casefold()] = one
            found.setdefault(f"{word.casefold()}s", one)
    return found


class Glossary(SphinxDirective):
    """``{book-glossary}``: all terms, by letter."""

    def run(self) -> list[nodes.Node]:
        """One definition list a letter, with a row of letters to jump to."""
        path = source(Path(self.env.srcdir))
        self.env.note_dependency(str(path))
        self.env.note_dependency(str(path.parent.parent / "_toc.yml"))
        plan, std = book_plan.load(self.env.srcdir), self.env.get_domain("std")
        rows: dict[str, list[str]] = {}
        for one in load(path):
            place = anchor(one["term"])
            std._note_term(one["term"], place, None)  # type: ignore[attr-defined]
            rows.setdefault(one["term"][0].upper() if one["term"][0].isalpha() else "#", []).append(
                f'<div id="{place}" class="entry"><dt>{marks.esc(one["term"])} '
                f'<span lang="zh-Hans">{marks.esc(one["zh"])}</span></dt>'
                f"<dd>{marks.esc(one['says'])}{_day(plan, one)}</dd></div>"
            )
        jumps = "".join(f'<a href="#letter-{letter}">{letter}</a>' for letter in rows)
        lists = "".join(
            f'<h2 id="letter-{letter}">{letter}</h2><dl class="terms">{"".join(items)}</dl>'
            for letter, items in rows.items()
        )
        return [nodes.raw("", f'<nav class="letters" aria-label="Letters">{jumps}</nav>{lists}', format="html")]


def _day(plan: book_plan.Plan, one: dict[str, Any]) -> str:
    if "day" not in one:
        return ""
    day = plan.day(one["day"])
    word = f"Day {day.two}"
    if not day.docname:
        return f' <span class="on">{word}</span>'
    return f' <a class="on" href="../{day.docname}.html">{word}</a>'


class LinkTerms(SphinxTransform):
    """The first bold use of a term on a page leads to its definition."""

    default_priority = 860

    def apply(self, **kwargs: Any) -> None:
        """Run on lessons and prose pages, not on the glossary itself."""
        path = source(Path(self.env.srcdir))
        if self.env.docname == PAGE or not path.exists():
            return
        known, seen = names(load(path)), set()
        for strong in list(self.document.findall(nodes.strong)):
            one = known.get(strong.astext().strip().casefold())
            if one is None or one["term"] in seen or isinstance(strong.parent, nodes.reference):
                continue
            if one.get("common") and not _with_chinese(strong):
                continue
            seen.add(one["term"])
            link = pending_xref(
                "", refdomain="std", reftype="term", reftarget=one["term"], refdoc=self.env.docname, refwarn=True
            )
            link += nodes.inline("", "", *strong.children, classes=["term"])
            strong.children.clear()
            strong += link
        if seen:
            self.env.note_dependency(str(path))


def _with_chinese(strong: nodes.strong) -> bool:
    """Whether ``(中文)`` follows: the author means the term, not the everyday word."""
    after = strong.next_node(descend=False, siblings=True)
    return after is not None and bool(re.match(r"\s*[(（][^()（）]*[\u4e00-\u9fff]", after.astext()))


def setup(app: Any) -> None:
    """Register directive and transform."""
    app.add_directive("book-glossary", Glossary)
    app.add_transform(LinkTerms)
