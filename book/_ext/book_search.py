"""What search knows: each part of a page with its prose and the names in its code, each claim, each term.

What cells printed is left out: it would drown the rest. The index is a few JavaScript files that
``search.js`` loads when a reader begins to search; they work from a folder, without a server.
"""

from __future__ import annotations

import builtins
import html
import json
import keyword
import re
from pathlib import Path
from typing import Any

import book_ledger
import book_plan
import book_terms
from docutils import nodes
from docutils.utils.math import tex2unichar

# Pages that only repeat what other records say.
SKIPPED = {f"book/{name}" for name in ("index", "results", "status", "hardware", "interview", "feynman", "glossary")}
TABLES = ("mathalpha", "mathord", "mathop", "mathbin", "mathrel", "mathopen", "mathclose")
SYMBOLS = {name: sign for table in TABLES for name, sign in getattr(tex2unichar, table).items()}
SYMBOLS |= {"sqrt": "√", "cdot": "·", "top": "ᵀ", "lVert": "‖", "rVert": "‖", "Vert": "‖", "mid": "|", "ldots": "…"}
SYMBOLS |= dict.fromkeys(("mathbf", "mathrm", "operatorname", "text", "left", "right", "frac", "tfrac", "dfrac"), "")
SYMBOLS |= dict.fromkeys(
    ("hat", "bar", "tilde", "boldsymbol", "mathbb", "mathcal", "quad", "qquad", "big", "Big", "displaystyle", "bf"), ""
)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
COMMON = {*keyword.kwlist, *dir(builtins), "torch", "self", "dtype", "size", "item", "shape", "range", "device"}
PRINTED = {"cell_output", "hang", "prov"}
DRAWING = {"tag_figure", "tag_parameters"}  # cells whose names nobody looks for
Record = tuple[str, str, str, str, str]  # address, page, part, prose, names in code


def formula(tex: str) -> str:
    """A formula as one would type it: ``\\kappa(A)`` becomes ``κ(A)``."""
    tex = re.sub(r"\\[td]?frac *\{([^{}]*)\} *\{([^{}]*)\}", r"\1/\2", tex)
    text = re.sub(r"\\([A-Za-z]+) ?", lambda match: SYMBOLS.get(match[1], f"{match[1]} "), tex)
    text = re.sub(r"([_^])\{([^{}]*)\}", r"\1\2", text).replace("^2", "²").replace("^ᵀ", "ᵀ")
    return " ".join(re.sub(r"\\.|[{}$&~]", " ", text).split())


def words(node: nodes.Node) -> str:
    """The prose of a node: no code, no output, no part that is a section of its own."""
    if isinstance(node, nodes.Text):
        return str(node)
    if isinstance(node, nodes.math | nodes.math_block):
        return f" {formula(node.astext())} "
    if isinstance(node, nodes.raw):
        return " " + html.unescape(re.sub(r"<[^>]+>", " ", node.astext())) if _said(node.astext()) else " "
    if isinstance(node, nodes.literal_block | nodes.section | nodes.title | nodes.image):
        return " "
    if isinstance(node, nodes.container) and PRINTED & set(node.get("classes", [])):
        return " "
    inner = "".join(words(child) for child in node.children)
    return inner if isinstance(node, nodes.Inline) else f"{inner} "


def _said(text: str) -> bool:
    """Whether raw HTML says something of its own: a summary or a table does, a form or a claim does not."""
    return text.startswith(("<details><", "<table", "<summary", "<li", "<p", "<dl", "<ul", "</a>")) and len(text) > 8


def code(node: nodes.Element) -> str:
    """The names in a part's code, each once."""
    found: dict[str, None] = {}
    for block in node.findall(nodes.literal_block):
        at = block.parent
        while at is not node and at is not None:
            if isinstance(at, nodes.section) or (PRINTED | DRAWING) & set(at.get("classes", [])):
                break
            at = at.parent
        if at is node and "output" not in block["classes"]:
            found |= dict.fromkeys(name for name in NAME.findall(block.astext()) if name not in COMMON)
    return " ".join(found)


def parts(doctree: nodes.document, docname: str, title: str) -> list[Record]:
    """A record for each section of a page."""
    found: list[Record] = []
    for section in doctree.findall(nodes.section):
        head = section.next_node(nodes.title)
        name = " ".join(head.astext().split()) if head is not None and head.parent is section else ""
        whole = section.parent is doctree
        prose = " ".join(" ".join(words(child) for child in section.children).split())
        prose = re.sub(r" ([.,;:!?)])", r"\1", prose)
        place = "" if whole else f"#{section['ids'][0]}"
        names = code(section)
        if prose or names:
            found.append((f"{docname}.html{place}", title, "" if whole else name, prose, names))
    return found


def collect(app: Any, doctree: nodes.document) -> None:
    """Keep a page's records with Sphinx's environment; it has been read completely."""
    env = app.env
    if not hasattr(env, "llm90_search"):
        env.llm90_search = {}
    if env.docname in SKIPPED:
        return
    day = book_plan.load(env.srcdir).of(env.docname)
    head = doctree.next_node(nodes.title)
    title = f"Day {day.two} · {day.title}" if day else (head.astext() if head is not None else env.docname)
    env.llm90_search[env.docname] = parts(doctree, env.docname, title)


def purge(app: Any, env: Any, docname: str) -> None:
    """Forget a page that is read again."""
    getattr(env, "llm90_search", {}).pop(docname, None)


def write(app: Any, exception: Exception | None) -> None:
    """The index: terms, claims and the book's own pages first, then a file for each phase."""
    if exception is not None or app.builder.name != "html":
        return
    plan, out = book_plan.load(app.srcdir), Path(app.outdir)
    (out / "searchindex.js").unlink(missing_ok=True)  # of a book that was built before this index
    files: dict[int, list[list[str]]] = {0: [], 1: [], 2: [], 3: []}
    for one in book_terms.load(book_terms.source(app.srcdir)):
        place = f"{book_terms.PAGE}.html#{book_terms.anchor(one['term'])}"
        also = " ".join(one.get("also", ()))
        files[0].append(["term", place, one["term"], f"{one['zh']} {also}".strip(), one["says"], ""])
    for one in book_ledger.table(app.env)["claims"]:
        if one["measured"] != book_ledger.STALE:
            day = plan.day(one["lesson"])
            said = f"{one['text']} {one['measured']}"
            files[0].append(["claim", one["link"], f"Day {day.two} · {day.title}", f"Claim {one['number']}", said, ""])
    for docname, records in sorted(app.env.llm90_search.items()):
        day = plan.of(docname)
        files[day.phase if day else 0] += [["part", *record] for record in records]
    for number, rows in files.items():
        text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
        (out / f"search-{number}.js").write_text(f"llm90.found({number},{text})\n", encoding="utf-8")


def page(app: Any) -> list[tuple[str, dict[str, Any], str]]:
    """The page of all results; Sphinx's own search and its index are not built."""
    return [("search", {"title": "Search"}, "search.html")]


def own(app: Any) -> None:
    """No index of Sphinx beside this one."""
    app.builder.search = False


def setup(app: Any) -> None:
    """Register the events."""
    app.connect("builder-inited", own)
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", purge)
    app.connect("html-collect-pages", page)
    app.connect("build-finished", write)
