"""The frame around every page: sidebar, contents of the page, neighbours, buttons, assets."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import book_marks as marks
import book_plan
from docutils import nodes
from markupsafe import Markup

STATIC = Path(__file__).resolve().parents[1] / "_static"
ANYWHERE = {"gpu", "multiprocess", "mlflow"}  # what Colab can meet; the same set as in scripts/colab.py
LAB = "http://127.0.0.1:8888"  # where `make lab` serves
BEFORE = [
    ("book/how_to_use", "How to use this book"),
    ("book/results", "Results"),
    ("book/status", "Status"),
    ("book/hardware", "Hardware"),
]
CAREER = [
    ("book/career", "Portfolio and exams"),
    ("book/interview", "Interview questions"),
    ("book/feynman", "Feynman log"),
    ("book/papers", "Papers to read"),
]
AFTER = [
    ("book/glossary", "Glossary"),
    ("book/notation", "Notation"),
    ("book/references", "References"),
    ("book/data_and_licences", "Data and licences"),
]
WIDE = ("book/hardware",)  # tables need the width, so no contents beside them
TOP = [
    ("book/phase1", "Contents"),
    ("book/results", "Results"),
    ("book/status", "Status"),
    ("book/glossary", "Glossary"),
    ("book/career", "Career"),
    ("book/how_to_use", "How to use this book"),
]
SCRIPTS = {"book/index": "front.js", "book/results": "ledger.js", "book/status": "ledger.js"}
SCRIPTS |= {docname: "career.js" for docname, _ in CAREER}
# The order of the style sheets is their order in the cascade.
SHEETS = ("tokens", "base", "frame", "lesson", "code", "front", "ledger", "career", "search", "phone", "print")


def stamp(folder: str, pattern: str) -> str:
    """A short hash of some static files, so that browsers fetch what changed."""
    total = hashlib.sha256()
    for path in sorted((STATIC / folder).glob(pattern)):
        total.update(path.read_bytes())
    return total.hexdigest()[:8]


def context(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> str | None:
    """Everything ``_templates`` shows beside the text."""
    plan = book_plan.load(app.srcdir)
    day = plan.of(pagename)
    page = getattr(app.env, "llm90_pages", {}).get(pagename, {})
    phase = next((p for p in plan.phases if p.opener == pagename or (day and day.phase == p.number)), None)
    before, after = plan.neighbours(day) if day else (None, None)
    if phase and not day:
        after = next((one for one in phase.days if one.docname), None)
    base = app.config.html_baseurl.rstrip("/")
    text = doctree if doctree is not None else nodes.document(None, None)  # type: ignore[arg-type]
    context.update(
        project_title=app.config.html_title,
        plan=plan,
        day=day,
        phase=phase,
        before=before,
        after=after,
        pages_before=listed(app, BEFORE),
        pages_career=listed(app, CAREER),
        pages_after=listed(app, AFTER),
        pages_top=listed(app, TOP),
        sections=[] if pagename in WIDE else sections(text),
        description=page.get("deck") or first_words(text) or app.config.html_title,
        icon=lambda name: Markup(marks.icon(name)),
        brand=Markup(marks.brand()),
        has_math=any(True for _ in text.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))),
        has_mermaid=bool(list(text.findall(lambda node: isinstance(node, nodes.raw) and "diagram" in node["classes"]))),
        css_stamp=app.llm90_stamps[0],
        js_stamp=app.llm90_stamps[1],
        body_class="lesson" if day else re.sub(r"\W+", "-", pagename.removeprefix("book/")),
        base_url=base,
        canonical=f"{base}/{pagename}.html" if base and doctree is not None else "",
        edit_url=edit_url(app, page.get("path") or f"{pagename}.md") if doctree is not None else "",
        css_files=[],
        script_files=[],
    )
    if "body" in context:
        context["body"] = finish(app, pagename, context["body"])
    context["page_script"] = SCRIPTS.get(pagename, "")
    if day and "body" in context:
        context["body"] = context["body"].replace("@@ACTS@@", buttons(app, pagename, page))
    return "front.html" if pagename == app.config.root_doc else None


def finish(app: Any, pagename: str, body: str) -> str:
    """What can only be known when every page has been read."""
    found = getattr(app.env, "llm90_pages", {})
    body = re.sub(r"@@DECK (\S+)@@", lambda match: marks.esc(found.get(match[1], {}).get("deck", "")), body)
    if pagename == app.config.root_doc:  # the name breaks between its halves, never at the hyphen
        body = body.replace("<h1>LLM Full-Stack in", '<h1><span class="nb">LLM Full-Stack</span> in', 1)
    return body


def listed(app: Any, wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the named pages that the book has."""
    return [(docname, words) for docname, words in wanted if docname in app.env.found_docs]


def sections(doctree: nodes.document) -> list[tuple[str, str]]:
    """Anchor and short title of every part of a page: of ``Build · a dictionary`` the stage, ``Build``."""
    top = next((node for node in doctree.children if isinstance(node, nodes.section)), None)
    found = []
    for section in top.children if top is not None else ():
        if isinstance(section, nodes.section) and section.children:
            title = section.children[0].astext()
            found.append((section["ids"][0], title.split(" · ")[0]))
    return found


def first_words(doctree: nodes.document) -> str:
    """The first paragraph, cut at a word, for search engines."""
    paragraph = next(iter(doctree.findall(nodes.paragraph)), None)
    text = " ".join(paragraph.astext().split()) if paragraph is not None else ""
    return text if len(text) <= 160 else text[:157].rsplit(" ", 1)[0] + " …"


def repository(app: Any) -> tuple[str, str]:
    """Address and branch from ``_config.yml``; an empty address while there is none."""
    options = app.config.html_theme_options
    return (options.get("repository_url") or "").rstrip("/"), options.get("repository_branch") or "main"


def edit_url(app: Any, path: str) -> str:
    """Where a reader can mend the clean source of this page."""
    url, branch = repository(app)
    return f"{url}/edit/{branch}/{path}" if url else ""


def buttons(app: Any, pagename: str, page: dict[str, Any]) -> str:
    """JupyterLab, Colab, download, and "mark done"; all lead to the clean source."""
    url, branch = repository(app)
    launch = app.llm90_launch
    path, place = quote(page["path"]), url.split("://", 1)[-1].split("/", 1)[-1]
    links = []
    if launch.get("binderhub_url") and "github.com" in url:
        lab = f"{launch['binderhub_url'].rstrip('/')}/v2/gh/{place}/{branch}?urlpath=lab/tree/{path}"
        links.append(f'<a class="btn" href="{lab}">JupyterLab {marks.icon("out")}</a>')
    else:
        links.append(
            f'<a class="btn" href="{LAB}/lab/tree/{path}" title="On this computer, after `make lab`">JupyterLab</a>'
        )
    if launch.get("colab_url") and "github.com" in url and set(page["needs"]) <= ANYWHERE:
        held = launch.get("colab_branch") or branch
        colab = f"{launch['colab_url'].rstrip('/')}/github/{place}/blob/{held}/{path}"
        links.append(f'<a class="btn" href="{colab}">Colab {marks.icon("out")}</a>')
    up = "../" * pagename.count("/")
    name = Path(page["path"]).name
    links.append(f'<a class="btn" href="{up}_sources/{path}" download="{name}">Download {marks.icon("down")}</a>')
    return (
        "".join(links)
        + '<span class="sp"></span><button class="btn done" type="button" data-do="done" aria-pressed="false">'
        f'<span class="sw">{marks.icon("check")}</span>Mark done</button>'
    )


def take_launch(app: Any, config: Any) -> None:
    """Keep the launch settings for ``buttons``: the theme's own buttons cannot do without a repository."""
    app.llm90_launch = config.html_theme_options.pop("launch_buttons", None) or {}
    config.html_baseurl = os.environ.get("LLM90_BASEURL") or config.html_baseurl  # where the workflow publishes


def frame_stamp(app: Any, config: Any) -> None:
    """Write every page again, without reading it again, when the sidebar or the assets change."""
    root = Path(app.srcdir)
    files = [root / "_toc.yml", root / "book/plan.yml", *sorted((root / "book/_templates").glob("*.html"))]
    total = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    app.llm90_stamps = stamp("css", "*.css"), stamp("js", "*.js")
    config.llm90_frame = "-".join((total[:12], *app.llm90_stamps))


def always(app: Any, env: Any) -> list[str]:
    """The phase openers quote their lessons: they are written again with every build."""
    return [name for name in ("book/phase1", "book/phase2", "book/phase3") if name in env.found_docs]


def assets(app: Any, exception: Exception | None) -> None:
    """One style sheet from the many, and nothing in the output that no page asks for."""
    if exception is not None or app.builder.name != "html":
        return
    out = Path(app.outdir) / "_static"
    sheets = [(STATIC / "css" / f"{name}.css").read_text(encoding="utf-8") for name in SHEETS]
    (out / "css/book.css").write_text("\n".join(sheets), encoding="utf-8")
    for name in SHEETS:
        (out / f"css/{name}.css").unlink(missing_ok=True)
    keep = {"css", "fonts", "img", "js", "vendor"}
    for path in out.iterdir():
        if path.is_dir() and path.name not in keep:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


def extra_pages(app: Any) -> list[tuple[str, dict[str, Any], str]]:
    """The page for addresses that lead nowhere."""
    return [("404", {"title": "Not found"}, "404.html")]


def site_map(app: Any, exception: Exception | None) -> None:
    """A list of all pages for search engines, once the book has an address."""
    base = app.config.html_baseurl.rstrip("/")
    if exception is not None or app.builder.name != "html" or not base:
        return
    urls = "".join(f"<url><loc>{base}/{marks.esc(name)}.html</loc></url>\n" for name in sorted(app.env.found_docs))
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    (Path(app.outdir) / "sitemap.xml").write_text(f"{text}{urls}</urlset>\n", encoding="utf-8")


def setup(app: Any) -> None:
    """Register the page context and the last touch to the assets."""
    app.connect("config-inited", take_launch)
    app.add_config_value("llm90_frame", "", "html")
    app.connect("config-inited", frame_stamp)
    app.connect("env-updated", always)
    app.connect("html-page-context", context, priority=900)
    app.connect("html-collect-pages", extra_pages)
    app.connect("build-finished", site_map)
    app.connect("build-finished", assets, priority=900)
