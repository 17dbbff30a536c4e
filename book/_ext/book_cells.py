"""How the cells of a lesson stand on its page: folded, numbered, joined into exercises and figures.

One pass over the document that myst-nb made of the notebook, before Sphinx collects
titles and images. Authors write only tags; see CONTRIBUTING.md.
"""

from __future__ import annotations

import re
from typing import Any

import book_marks as marks
import book_plan
from docutils import nodes
from sphinx.transforms import SphinxTransform

FOLDED = {"figure": "Drawing code", "claim": "How it is checked", "solution": "Solution"}
EXERCISE = re.compile(r"^\s*(?:Exercise\s+)?(\d+)\s*·\s*(?:([^:]+):\s*)?(.*)$", re.S)


class figure_image(nodes.image):  # noqa: N801 - docutils names nodes so
    """A figure of a lesson: an image with its words, its size and its colours decided."""


class CellTransform(SphinxTransform):
    """Everything that turns a rendered notebook into a lesson's page."""

    default_priority = 870

    def apply(self, **kwargs: Any) -> None:
        """Run on lessons only."""
        env = self.env
        page = getattr(env, "llm90_pages", {}).get(env.docname)
        if page is None:
            return
        day = book_plan.load(env.srcdir).of(env.docname)
        if day is None:
            return
        number = 0
        for cell in self._cells():
            number += _shows_code(cell)
            self._cell(cell, number)
        for section in list(self.document.findall(nodes.section)):
            self._section(section, day)
        self._head(day, page)

    def _cells(self) -> list[nodes.container]:
        found = self.document.findall(nodes.container)
        return [node for node in found if node.get("nb_element") == "cell_code"]

    def _cell(self, cell: nodes.container, number: int) -> None:
        about = cell["cell_metadata"].get("llm90", {})
        tags = cell["cell_metadata"].get("tags", [])
        cell["ids"].append(f"cell-{about.get('id')}")
        source, output = _part(cell, "cell_code_source"), _part(cell, "cell_code_output")
        if output is not None:
            _figures(output, about.get("figures", []))
            for piece in output.findall(nodes.raw):
                if piece.astext().startswith(('<div class="claims"', '<div class="verdict"')):
                    piece["classes"] = []  # no wrapper around the book's own markup
        fold = next((tag for tag in tags if tag in FOLDED), None)
        if fold and source is not None:
            cell.remove(source)
            if fold == "solution":
                parts = [part for part in (source, output) if part is not None]
                cell.children.clear()
                cell.extend(_details(FOLDED[fold], parts, "fold solution"))
            else:
                cell.extend(_details(FOLDED[fold], [source], "fold"))
        elif "check" in tags and output is not None and source is not None and _one_call(source):
            cell.remove(source)
        elif "predict" in tags and output is not None:
            cell.remove(output)
            cell.extend(_details("Predict first, then look", [output], "fold predict"))
        took = about.get("seconds") or 0
        time = f"<span>{marks.duration(took)}</span>" if took >= 1 else ""
        hang = f"{number}{time}" if _shows_code(cell) else time
        if hang:
            cell.insert(0, _raw(f'<div class="hang" aria-hidden="true">{hang}</div>'))
        cell["classes"] = ["cell", *(f"tag_{tag}" for tag in tags)]

    def _section(self, section: nodes.section, day: book_plan.Day) -> None:
        title = section.next_node(nodes.title)
        if title is None or title.parent is not section:
            return
        words = title.astext()
        if any(_is(child, "exercise") for child in section.children):
            section["classes"].append("ex")
            _fold_afterword(section)
            match = EXERCISE.match(words)
            if match:
                kind = [_span("kind", match[2].strip().lower())] if match[2] else []
                _cut(title, len(words) - len(match[3]))
                title.insert(0, _span("lbl", f"Exercise {day.number}.{match[1]}", _span("vh", ", "), *kind))
                title.insert(1, _span("vh", ": "))
        elif " · " in words and section.parent.parent is self.document:
            stage, _ = words.split(" · ", 1)
            _cut(title, len(stage) + 3)
            title.insert(0, _span("stage", stage, _span("vh", " · ")))
        if words.startswith("In your own words"):
            section["classes"].append("say")
            section.append(
                _raw(
                    f'<textarea data-keep="say-{day.number}" aria-label="Your explanation" rows="5"></textarea>'
                    '<p class="hint">Kept in this browser. On paper these are lines to write on.</p>'
                )
            )

    def _head(self, day: book_plan.Day, page: dict[str, Any]) -> None:
        top = next((node for node in self.document.children if isinstance(node, nodes.section)), None)
        title = top.next_node(nodes.title) if top is not None else None
        if top is None or title is None:
            return
        words = title.astext()
        _cut(title, len(words) - len(re.sub(r"^Day\s+\d+\s*·\s*", "", words)))
        title.insert(0, _span("dn", _span("vh", "Day "), day.two))
        title.insert(1, _span("vh", " · "))
        intro = []
        for child in top.children[top.index(title) + 1 :]:
            if not isinstance(child, nodes.paragraph | nodes.bullet_list | nodes.target | nodes.comment):
                break
            intro.append(child)
        texts = [node for node in intro if isinstance(node, nodes.paragraph)]
        for place, node in enumerate(texts):
            node["classes"].append("req" if place else "deck")
        if texts:
            page["deck"] = texts[0].astext()
        after = top.index(intro[-1] if intro else title) + 1
        top.insert(after, _raw(provenance(page, day)))


class Diagrams(SphinxTransform):
    """A fenced ``mermaid`` block, which JupyterLab draws, is drawn on the page too."""

    default_priority = 100

    def apply(self, **kwargs: Any) -> None:
        """Hand the text to the vendored mermaid; it carries its own title (``accTitle``)."""
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "mermaid":
                text = f'<pre class="mermaid">{marks.esc(block.astext())}</pre>'
                block.replace_self(nodes.raw("", text, format="html", classes=["diagram"]))


class Spacing(SphinxTransform):
    """Line breaks between the blocks of raw HTML, for the search index; see ``book_marks.spaced``."""

    default_priority = 875

    def apply(self, **kwargs: Any) -> None:
        """Every piece of HTML on the page, the notebook's tables too."""
        for node in self.document.findall(nodes.raw):
            if node.get("format") == "html" and node.children:
                node[0] = nodes.Text(marks.spaced(node.astext()))


def provenance(page: dict[str, Any], day: book_plan.Day) -> str:
    """The form under the title: who ran this, when, for how long; and the buttons."""
    made, rows = page["made"], []
    minutes = page["read"] + page["work"]
    if minutes:
        rows.append(("Your time", marks.hours(minutes)))
    if page["state"] == "current":
        device = made.get("device") or "CPU"
        if made["profile"] == "cpu":
            device = f"CPU, {marks.short_device(device)}" if "CPU" not in device else device
        rows += [
            ("Run on", marks.esc(device)),
            ("Took", marks.duration(float(made["seconds"]))),
            ("With", f"torch {marks.esc(made['torch'].split('+')[0])}"),
            ("Date", marks.esc(made["finished"][:10])),
            ("Claims", marks.tally(page["claims"])),
        ]
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    exact = _exact(made, day) if page["state"] == "current" else ""
    word = {
        "stale": "<b>Stale.</b> The code of this lesson changed after its last run; "
        "the outputs come back with the next one.",
        "missing": "<b>Not run yet.</b> This lesson has no accepted run, so this page shows no outputs.",
    }.get(page["state"])
    note = f'<p class="state {page["state"]}">{word}</p>' if word else ""
    form = f"<dl>{items}</dl>" if items else ""
    return f'<div class="prov">{form}{exact}{note}<div class="acts" data-day="{day.number}">@@ACTS@@</div></div>'


def _exact(made: dict[str, Any], day: book_plan.Day) -> str:
    """What the run stood on, short; whole hashes on hover, the key leads to the day's row on Status."""
    parts = [f"Python {marks.esc(made['python'])}", f"profile {marks.esc(made['profile'])}"]
    if made.get("driver"):
        parts.append(f"driver {marks.esc(made['driver'])}")
    for name in ("commit", "helpers", "key"):
        if not made[name]:
            continue
        whole = marks.esc(made[name])
        short = f'<span title="{whole}">{name} {whole[:8]}</span>'
        link = f'<a href="../../book/status.html#day-{day.number}">{short}</a>'
        parts.append(link if name == "key" else short)
    return f'<p class="exact">{" · ".join(parts)}</p>'


def _figures(output: nodes.container, about: list[dict[str, Any]]) -> None:
    """Give every picture its words and size; pictures that follow each other stand side by side."""
    images = [node for node in output.findall(nodes.image) if not isinstance(node, figure_image)]
    for image, said in zip(images, about, strict=False):
        new = figure_image(**image.attributes)
        new["alt"], new["figure"] = said["alt"], said
        bundle = image
        while bundle.parent is not output:
            bundle = bundle.parent
        bundle.replace_self(new)
    run: list[nodes.Node] = []
    for child in [*output.children, None]:
        if isinstance(child, figure_image):
            run.append(child)
        elif run:
            place = output.index(run[0])
            half = all(one["figure"]["width"] <= 420 for one in run)
            frame = nodes.container(classes=["figs", "panels" if half and len(run) > 1 else "one"])
            for one in run:
                output.remove(one)
            frame.extend(run)
            output.insert(place, frame)
            run = []
    if images and all("figs" in child.get("classes", []) for child in output.children):
        output["classes"].append("bare")


def visit_figure(self: Any, node: figure_image) -> None:
    """Write an ``<img>`` with everything a browser needs to reserve its place."""
    said = node["figure"]
    uri = node["uri"]
    if uri in self.builder.images:
        uri = f"{self.builder.imgpath}/{self.builder.images[uri]}"
    size = f' width="{said["width"]}" height="{said["height"]}"' if said["width"] and said["height"] else ""
    kind = "keep" if said["photo"] else "plot"
    self.body.append(
        f'<img class="{kind}" src="{marks.esc(uri)}" alt="{marks.esc(said["alt"])}"{size} loading="lazy" '
        'decoding="async">'
    )
    raise nodes.SkipNode


def _part(cell: nodes.container, name: str) -> nodes.container | None:
    return next((c for c in cell.children if isinstance(c, nodes.container) and c.get("nb_element") == name), None)


def _fold_afterword(section: nodes.section) -> None:
    """What follows a solution tells about it, so it opens with it."""
    solved = [child for child in section.children if _is(child, "solution")]
    if not solved:
        return
    after = section.children[section.index(solved[-1]) + 1 :]
    for node in after:
        section.remove(node)
    if after:
        words = nodes.container(classes=["after"])
        words.extend(after)
        solved[-1].insert(-1, words)  # before the closing tag of the fold


def _is(node: nodes.Node, tag: str) -> bool:
    return isinstance(node, nodes.container) and tag in node.get("cell_metadata", {}).get("tags", [])


def _shows_code(cell: nodes.container) -> bool:
    """Whether the cell stands open on the page: only such a cell has a number in the margin."""
    tags = cell["cell_metadata"].get("tags", [])
    return not any(tag in tags for tag in (*FOLDED, "check"))


def _one_call(source: nodes.container) -> bool:
    return bool(re.fullmatch(r"check\(\w+\)", source.astext().strip()))


def _details(summary: str, parts: list[nodes.Node], kind: str) -> list[nodes.Node]:
    return [_raw(f'<details class="{kind}"><summary>{summary}</summary>'), *parts, _raw("</details>")]


def _span(name: str, *parts: str | nodes.Node) -> nodes.inline:
    """An inline node: a title keeps its words for search and for the browser's tab."""
    children = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    return nodes.inline("", "", *children, classes=[name])


def _raw(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def _cut(title: nodes.title, count: int) -> None:
    """Take the first ``count`` characters off a title, whatever nodes hold them."""
    for node in list(title.findall(nodes.Text)):
        if count <= 0:
            return
        word = str(node)
        rest = word[count:]
        node.parent.replace(node, nodes.Text(rest[:1].upper() + rest[1:]))
        count -= len(word)


def setup(app: Any) -> None:
    """Register the transform and the node it makes."""
    app.add_node(figure_image, html=(visit_figure, None))
    app.add_transform(Diagrams)
    app.add_transform(CellTransform)
    app.add_transform(Spacing)
