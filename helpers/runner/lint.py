"""The form of a lesson: static and fast, one line per fault that says where, what, and what to do.

Nothing of a lesson is run or imported; ``ruff check`` sees all notebooks in one call.
"""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

from helpers.runner import catalog, outputs

CONCEPT = ("Why it matters", "Build", "Verify", "Measure", "Exercises", "Summary", "Sources")
PROJECT = ("Why it matters", "Brief", "Acceptance", "Work", "Report", "Exercises", "Summary", "Sources")
OPTIONAL = ("Use", "Where it breaks", "Interview corner", "In your own words")
FINDING = ("Build", "Verify", "Use", "Measure", "Where it breaks")  # these headings say what the lesson finds
PROJECTS = {28, 29, 30, 58, 59, 60, 81, 82, 83}
TAGS = {"parameters", "exercise", "check", "solution", "figure", "claim", "predict", "taught", "colab"}
HYPE = (
    r"\b(powerful(ly)?|seamless(ly)?|effortless(ly)?|leverag(es|ing)|(to|can|we|you) leverage|delv(e|es|ing)"
    r"|cutting[- ]edge|game[- ]chang\w+|revolutioni[sz]\w+|blazing(ly)?|unleash\w*|supercharg\w+|in today's world)\b"
)
FETCHERS = ("requests", "urllib", "httpx", "wget", "aiohttp")  # only where the lesson runs a server of its own
HEAVY = r"(launch|start|check|claim|(bench|zoo|datasets)\..+|.+\.backward|opt\w*\.step)"
READABLE = re.compile(r"(?=.*[a-z]{3})\d{0,2}[a-z]+\d{0,3}(-(\d{1,4}|\d{0,3}[a-z]+\d{0,3}))*")
Fault = tuple[str, str]  # cell id, message


class Cell:
    """One cell, parsed: its calls by dotted name, and the names it defines."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw, self.source, self.code = raw, catalog.text(raw), raw["cell_type"] == "code"
        self.id, self.tags = str(raw.get("id", "?")), set(raw["metadata"].get("tags", []))
        self.prose = "" if self.code else re.sub(r"^(```+|~~~+).*?^\1", "", self.source, flags=re.M | re.S)
        self.tree, self.fault = ast.Module([], []), ""
        try:
            self.tree = ast.parse(self.source if self.code else "")
        except SyntaxError as err:
            magic = re.search(r"^\s*[!%].*", self.source, flags=re.M)
            if not magic:
                self.fault = f"line {err.lineno} does not parse ({err.msg}), mend it"
            elif "colab" not in self.tags:
                self.fault = f"{magic[0].strip()[:40]!r} is shell or magic, call Python (only a 'colab' cell may %pip)"
        found = [n for n in ast.walk(self.tree) if isinstance(n, ast.Call)]
        self.calls = sorted(((_dotted(n.func), n) for n in found), key=lambda f: (f[1].lineno, f[1].col_offset))
        self.defines = [n.name for n in self.tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]

    def call(self, *names: str) -> list[ast.Call]:
        """The calls of one of these names, in the order of the page."""
        return [node for name, node in self.calls if name in names]


def check(root: Path, lessons: Sequence[catalog.Lesson]) -> list[str]:
    """One line per fault, ``dayNN cell-id: what is wrong, what to do``; empty when all is well.

    A message that starts with ``note:`` is advice (see ``is_note``).
    """
    lines = []
    for lesson in lessons:
        path = root / lesson.path
        try:
            book = catalog.read_notebook(path)
            cells = [Cell(raw) for raw in book["cells"]]
        except (catalog.CatalogError, KeyError, TypeError) as err:
            lines.append(f"day{lesson.day:02d} notebook: cannot be read ({err}), restore or re-save it")
            continue
        faults = [*_notebook(book, path), *_executed(outputs.read(root, lesson))]
        faults += [fault for rule in RULES for fault in rule(cells, lesson.day, path)]
        faults += [] if lesson.needs else _fetching(cells)
        lines += [f"day{lesson.day:02d} {cell}: {what}" for cell, what in dict.fromkeys(faults)]
    return lines + _ruff(root, lessons)


def is_note(line: str) -> bool:
    """Whether a line of ``check`` is advice and no fault."""
    return ": note: " in line


def _dotted(node: ast.expr) -> str:
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _notebook(book: dict[str, Any], path: Path) -> Iterator[Fault]:
    about = book["metadata"].get("lesson", {})
    minutes = all(isinstance(about.get(key), int) and about[key] > 0 for key in ("read", "work"))
    if not minutes or about.get("budget") not in (30, 120) or not isinstance(about.get("needs"), list):
        yield "notebook", "metadata.lesson has budget (30 or 120), needs (a list), read and work (minutes): complete it"
    if book.get("nbformat") != 4 or book.get("nbformat_minor", 0) < 5:
        yield "notebook", "is not nbformat 4.5, which gives cells their ids: save it as 4.5"
    if path.read_text(encoding="utf-8") != json.dumps(book, indent=1, ensure_ascii=False) + "\n":
        yield "notebook", "is not written with indent 1, unescaped UTF-8 and a final newline (noisy diffs): re-save it"


def _opening(cells: list[Cell], day: int, path: Path) -> Iterator[Fault]:
    code = [cell for cell in cells if cell.code and "colab" not in cell.tags]
    if not code or cells[0].code:
        yield "notebook", "a lesson opens with a markdown cell, '# Day NN · Title', then the parameters"
        return
    title = re.match(r"# Day (\d\d) · (.+)", cells[0].prose)
    if not title or int(title[1]) != day:
        yield cells[0].id, f"the first line is '# Day {day:02d} · Title', as in the file's name"
    elif len(title[2].strip()) > 31:
        yield cells[0].id, f"the title has {len(title[2].strip())} characters, at most 31 or the sidebar wraps"
    given = {_dotted(n.targets[0]): n.value for n in code[0].tree.body if isinstance(n, ast.Assign)}
    value = {name: node.value for name, node in given.items() if isinstance(node, ast.Constant)}
    plain = len(value) == len(code[0].tree.body) <= 5 and "parameters" in code[0].tags
    if not plain or (value.get("profile"), value.get("seed")) != ("auto", 0):
        yield code[0].id, "the first code cell, tagged 'parameters', sets profile = \"auto\", seed = 0 and ≤ 3 more"
    starts = [(cell.id, node) for cell in cells for node in cell.call("start")]
    wanted = {"day": str(day), "profile": "profile", "seed": "seed"}
    if len(starts) != 1 or {k.arg: ast.unparse(k.value) for k in starts[0][1].keywords} != wanted:
        yield starts[-1][0] if starts else "notebook", f"call start(day={day}, profile=profile, seed=seed) once"
    opening = "\n".join(cell.prose for cell in cells[: cells.index(code[0])]).partition("\n")[2]
    if day > 1 and not re.search(r"\b[Dd]ay \d|no earlier day", opening):
        yield cells[0].id, "name the days to read before, as links, or say that it needs no earlier day"
    for number in re.findall(r"\b[Dd]ay (\d\d?)\b", re.sub(r"\[[^\]]*\]\([^)]*\)", "", opening)):
        if list(path.parents[1].glob(f"*/day{int(number):02d}_*.ipynb")):
            yield cells[0].id, f"day {number} is named as plain text, link it"


def _cells(cells: list[Cell], day: int, path: Path) -> Iterator[Fault]:
    seen: set[str] = set()
    for cell in cells:
        if cell.id in seen or not READABLE.fullmatch(cell.id):
            yield cell.id, "each cell has an id of its own in words, like 'verify-fifty': rename it"
        seen.add(cell.id)
        if cell.fault:
            yield cell.id, cell.fault
        for tag in sorted(cell.tags - TAGS):
            yield cell.id, f"unknown tag {tag!r}, use {', '.join(sorted(TAGS))}"
        if cell.raw.get("outputs") or cell.raw.get("execution_count") or "papermill" in cell.raw["metadata"]:
            yield cell.id, "a source holds no outputs, counts or run metadata: clear them"
        lines, most = cell.source.splitlines() if cell.code else [], 24 if "figure" in cell.tags else 20
        if len(lines) > most:
            yield cell.id, f"{len(lines)} lines, at most {most}: split the cell"
        columns = [len(line) + sum(east_asian_width(c) in "WF" for c in line) for line in lines]
        if wide := [str(i) for i, n in enumerate(columns, 1) if n > 76]:
            yield cell.id, f"line {', '.join(wide)}: {max(columns)} columns, at most 76 or the page clips: wrap it"
        for node in cell.call("warnings.filterwarnings", "warnings.simplefilter"):
            if not any("#" in line for line in lines[max(0, node.lineno - 2) : node.lineno]):
                yield cell.id, "a silenced warning has its reason in a comment beside it: add it, or mend the cause"


def _prose(cells: list[Cell], day: int, path: Path) -> Iterator[Fault]:
    stages, spine = list[str](), PROJECT if day in PROJECTS else CONCEPT
    for cell in cells:
        for word in re.finditer(HYPE, re.sub(r"`[^`]*`", "", cell.prose), flags=re.I):
            yield cell.id, f"{word[0]!r} is hype, say what it does"
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.prose):
            if not re.match(r"[a-z]+:|#", target) and not (path.parent / target.split("#")[0]).exists():
                yield cell.id, f"the link {target} leads nowhere: correct it (a day not yet written stays plain text)"
        for heading in re.findall(r"^## (.+)", cell.prose, flags=re.M):
            stage, _, finding = heading.strip().partition(" · ")
            stages.append(stage)
            if stage not in spine + OPTIONAL:
                yield cell.id, f"unknown stage {stage!r}, use {', '.join(spine + OPTIONAL)}"
            elif stage in FINDING and not finding:
                yield cell.id, f"'## {stage} · …' says what this lesson finds: complete it"
    if missing := [stage for stage in spine if stage not in stages]:
        yield "notebook", f"no heading '## {', '.join(missing)}', the order is {', '.join(spine)}"
    elif (order := sorted(spine, key=stages.index)) != list(spine):
        yield "notebook", f"headings come as {', '.join(order)}, the order is {', '.join(spine)}"
    words = sum(any(c.isalnum() for c in word) for cell in cells for word in cell.prose.split())
    if not 1500 <= words <= 3200:
        yield "notebook", f"note: {words} words of prose, 2,000 to 2,500 are usual"


def _figures(cells: list[Cell], day: int, path: Path) -> Iterator[Fault]:
    for cell in cells:
        shows, drawn = cell.call("plots.show"), cell.call("plots.figure")
        if bool(shows) != ("figure" in cell.tags):
            yield cell.id, "a cell that calls plots.show is tagged 'figure', and only such a cell"
        for node in shows:
            alt = [k.value for k in node.keywords if k.arg == "alt"] + node.args[1:2]
            if not alt or (isinstance(alt[0], ast.Constant) and len(str(alt[0].value).strip()) < 20):
                yield cell.id, "plots.show(fig, alt=…) says in words what is seen: write the alt text"
        if len(drawn) > 2 or (len(drawn) == 2 and any(k.arg == "wide" for node in drawn for k in node.keywords)):
            yield cell.id, "a cell shows one wide figure or two half ones: split it"
        if shows and (heavy := [name for name, _ in cell.calls if re.fullmatch(HEAVY, name)]):
            yield cell.id, f"a figure cell only draws: move {heavy[0]}() to a cell of its own"


def _claims(cells: list[Cell], day: int, path: Path) -> Iterator[Fault]:
    texts = list[str]()
    for cell in cells:
        calls, above = cell.call("claim"), 0
        if bool(calls) != ("claim" in cell.tags):
            yield cell.id, "a cell that calls claim is tagged 'claim', and only such a cell"
        if calls and not all(isinstance(n, ast.Expr | ast.Assign | ast.Assert) for n in cell.tree.body):
            yield cell.id, "a claim cell only claims: move loops, definitions and imports to the cell before it"
        tokens = list(tokenize.generate_tokens(io.StringIO(cell.source).readline)) if calls else []
        for node in calls:
            last = node.end_lineno or node.lineno
            remarks = " ".join(t.string for t in tokens if t.type == tokenize.COMMENT and above < t.start[0] <= last)
            above = last
            if not re.search(r"\b(range|exact)", remarks, flags=re.I):
                yield cell.id, "no '# range over five seeds: …' (or '# exact: …') above the claim: paste run --seeds 5"
            if not re.search(r"\b(breaks|fails if)\b", remarks, flags=re.I):
                yield cell.id, "no comment names the edit that breaks the claim: '# breaks if …'"
            text = ast.unparse(node.args[0]) if node.args else ""
            if text in texts:
                yield cell.id, f"two claims say {text[:40]}…: each says something of its own"
            texts.append(text)
    if not 2 <= len(texts) <= 6:
        yield "notebook", f"{len(texts)} claims, a lesson makes two to six"


def _exercises(cells: list[Cell], day: int, path: Path) -> Iterator[Fault]:
    own, parts = set[str](), set[str]()
    for i, stub in enumerate(cells):
        if "exercise" not in stub.tags:
            continue
        if len(stub.defines) != 1 or "NotImplementedError" not in stub.source or i == 0 or len(cells) < i + 3:
            yield stub.id, "a stub defines one function that raises NotImplementedError, check and solution follow"
            continue
        (name,), task, test, answer = stub.defines, cells[i - 1], cells[i + 1], cells[i + 2]
        own.add(name)
        parts |= {stub.id, test.id, answer.id}
        if task.code:
            yield stub.id, "the task stands in a markdown cell right before its stub"
        if "check" not in test.tags or ast.unparse(test.tree) != f"check({name})":
            yield test.id, f"the cell after the stub is check({name}), tagged 'check'"
        if "solution" not in answer.tags or name not in answer.defines:
            yield answer.id, f"the cell after check({name}) defines {name} again, tagged 'solution'"
        elif not ast.unparse(answer.tree).endswith(f"\ncheck({name})"):
            yield answer.id, f"the solution ends in check({name}), its last line"
        if not answer.raw["metadata"].get("jupyter", {}).get("source_hidden"):
            yield answer.id, "a solution is folded in Jupyter: set metadata.jupyter.source_hidden to true"
    if len(own) < 3:
        yield "notebook", f"{len(own)} whole exercises, a lesson has three or more"
    for cell in (cell for cell in cells if cell.id not in parts):
        if cell.tags & {"check", "solution"}:
            yield cell.id, "a check or solution stands right after its stub: task, stub, check, solution"
        named = {n.id for n in ast.walk(cell.tree) if isinstance(n, ast.Name)} | set(cell.defines)
        for name in sorted(own & named if "exercise" not in cell.tags else ()):
            yield cell.id, f"uses the exercise {name}, which a reader may not have solved: give it another name"


def _fetching(cells: list[Cell]) -> Iterator[Fault]:
    for cell in cells:
        for node in ast.walk(cell.tree):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
            if isinstance(node, ast.Import | ast.ImportFrom) and any(str(n).split(".")[0] in FETCHERS for n in names):
                yield cell.id, f"imports {names[0]}: data and weights come through helpers.datasets and helpers.zoo"


def _executed(copy: outputs.Notebook | None) -> Iterator[Fault]:
    """What a reader must not find on the page; that there is no copy yet is for ``status`` to say."""
    for raw in outputs.code_cells(copy) if copy else []:
        for output in raw.get("outputs", []):
            text = "".join(output.get("text") or output.get("data", {}).get("text/plain") or "")
            if re.search(r"\bnp\.(float|int|str|bool)\w*\(", text):
                yield raw.get("id", "?"), "the page shows np.float64(…): print the number itself"
            if output.get("name") == "stderr" and "Warning" in text:
                yield raw.get("id", "?"), "the page shows a warning: mend its cause, or silence that one with a reason"


def _ruff(root: Path, lessons: Sequence[catalog.Lesson]) -> list[str]:
    days = {str((root / one.path).resolve()): one.day for one in lessons if (root / one.path).exists()}
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "json", "--ignore", "E501", *days]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True) if days else None
    if done and not done.stdout.startswith("["):
        return [f"ruff did not run ({done.stderr.strip()[-200:]}): install requirements.txt"]
    lines = []
    for found in json.loads(done.stdout) if done else []:
        where = "notebook"
        if found.get("cell"):
            where = catalog.read_notebook(Path(found["filename"]))["cells"][found["cell"] - 1].get("id", "?")
        say = f"ruff {found['code']} in line {found['location']['row']}: {found['message']}"
        lines.append(f"day{days[found['filename']]:02d} {where}: {say}")
    return lines


RULES: tuple[Callable[[list[Cell], int, Path], Iterator[Fault]], ...] = (
    *(_opening, _cells, _prose),
    *(_figures, _claims, _exercises),
)
