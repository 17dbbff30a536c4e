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
from collections.abc import Iterator, Sequence
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
    r"\b((powerful|seamless|effortless|cutting.edge|game.chang|revolutioni|blazing|unleash|delv)\w*|leverag(es|ing))\b"
)
FETCHERS = ("requests", "urllib", "httpx", "wget", "aiohttp")  # only where the lesson runs a server of its own
HEAVY = r"launch|start|check|claim|(bench|zoo|datasets)\..+|.+\.backward|opt\w*\.step"
REPR = r"\bnp\.((u?int|float|complex)\d+\(|str_\(|True_|False_)"
READABLE = r"(?=.*[a-z]{3})\d{0,2}[a-z]+\d{0,3}(-(\d{1,4}|\d{0,3}[a-z]+\d{0,3}))*"
Findings = Iterator[tuple[object, str, str]]  # is it wrong (truth value), cell id, what is wrong and what to do


class Cell:
    """One cell, parsed: its calls by dotted name in the order of the page, the names it defines."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw, self.source, self.code = raw, catalog.text(raw), raw["cell_type"] == "code"
        self.id, self.tags = str(raw.get("id", "?")), set(raw["metadata"].get("tags", []))
        self.prose = "" if self.code else re.sub(r"^(```+|~~~+).*?^\1", "", self.source, flags=re.M | re.S)
        self.tree, self.fault = ast.Module([], []), ""
        try:
            self.tree = ast.parse(self.source if self.code else "")
        except SyntaxError as err:
            magic = re.search(r"^\s*[!%].*", self.source, flags=re.M)
            what = f"{magic[0].strip()[:40]!r} is shell or magic" if magic else f"line {err.lineno} does not parse"
            self.fault = "" if magic and "colab" in self.tags else f"{what}: Python only (a 'colab' cell may %pip)"
        nodes = list(ast.walk(self.tree))
        self.imports = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
        self.imports += [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
        calls = [n for n in nodes if isinstance(n, ast.Call)]
        self.calls = [(_dotted(n.func), n) for n in sorted(calls, key=lambda n: (n.lineno, n.col_offset))]
        self.defines = [n.name for n in self.tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]

    def call(self, *names: str) -> list[ast.Call]:
        """The calls of one of these names."""
        return [node for name, node in self.calls if name in names]


def check(root: Path, lessons: Sequence[catalog.Lesson]) -> list[str]:
    """One line per fault, ``dayNN cell-id: what is wrong, what to do``; with ``note:`` before it, advice only."""
    lines = []
    for lesson in lessons:
        try:
            book = catalog.read_notebook(root / lesson.path)
            cells = [Cell(raw) for raw in book["cells"]]
        except (catalog.CatalogError, KeyError, TypeError) as err:
            lines.append(f"day{lesson.day:02d} notebook: cannot be read ({err}): restore or re-save it")
            continue
        faults = [*_notebook(book, root / lesson.path), *_executed(outputs.read(root, lesson))]
        for rule in (_opening, _cells, _prose, _figures, _claims, _exercises):
            faults += rule(cells, lesson, root / lesson.path)
        lines += dict.fromkeys(f"day{lesson.day:02d} {cell}: {what}" for wrong, cell, what in faults if wrong)
    return lines + _ruff(root, lessons)


def _dotted(node: ast.expr) -> str:
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _notebook(book: dict[str, Any], path: Path) -> Findings:
    about, here = book["metadata"].get("lesson", {}), "notebook"
    part = about.get("budget") not in (30, 120) or not isinstance(about.get("needs"), list)
    part |= any(not isinstance(about.get(key), int) or about[key] < 1 for key in ("read", "work"))
    part |= about.get("alone", True) is not True
    yield part, here, "metadata.lesson has budget (30 or 120), needs (a list), read, work (minutes); alone only if true"
    yield book.get("nbformat_minor", 0) < 5, here, "is not nbformat 4.5, which gives cells their ids: save it as 4.5"
    noisy = path.read_text(encoding="utf-8") != json.dumps(book, indent=1, ensure_ascii=False) + "\n"
    yield noisy, here, "is not written with indent 1, unescaped UTF-8 and a final newline (noisy diffs): re-save it"


def _opening(cells: list[Cell], lesson: catalog.Lesson, path: Path) -> Findings:
    code = [cell for cell in cells if cell.code and "colab" not in cell.tags]
    if not code or cells[0].code:
        yield True, "notebook", "a lesson opens with a markdown cell, '# Day NN · Title', then the parameters"
        return
    first, top, day = code[0], cells[0].id, lesson.day
    title = re.match(rf"# Day {day:02d} · .{{1,31}}$", cells[0].prose, flags=re.M)
    yield not title, top, f"the first line is '# Day {day:02d} · Title', with a title of at most 31 characters"
    said = [ast.unparse(n) for n in first.tree.body if isinstance(getattr(n, "value", None), ast.Constant)]
    good = {"profile = 'auto'", "seed = 0"} <= {*said} and len(said) == len(first.tree.body) <= 5
    wrong = not good or "parameters" not in first.tags
    yield wrong, first.id, "the first code cell, tagged 'parameters', sets profile = \"auto\", seed = 0 and ≤ 3 more"
    starts, wanted = [c for c in cells if c.call("start")], f"start(day={day}, profile=profile, seed=seed)"
    wrong = [ast.unparse(node) for cell in starts for node in cell.call("start")] != [wanted]
    yield wrong, starts[-1].id if starts else top, f"call {wanted} once"
    opening = "\n".join(cell.prose for cell in cells[: cells.index(first)]).partition("\n")[2]
    silent = day > 1 and not re.search(r"\b[Dd]ay \d|no earlier day", opening)
    yield silent, top, "name the days to read before, as links, or say that it needs no earlier day"
    for number in re.findall(r"\b[Dd]ay (\d\d?)\b", re.sub(r"\[[^\]]*\]\([^)]*\)", "", opening)):
        there = list(path.parents[1].glob(f"*/day{int(number):02d}_*.ipynb"))
        yield there, top, f"day {number} is named as plain text: link it"


def _cells(cells: list[Cell], lesson: catalog.Lesson, path: Path) -> Findings:
    seen: set[str] = set()
    for cell in cells:
        here, tags, lines = cell.id, cell.tags, cell.source.splitlines() if cell.code else []
        yield here in seen or not re.fullmatch(READABLE, here), here, "each cell has an id of its own, in words: rename"
        seen.add(here)
        yield cell.fault, here, cell.fault
        yield tags - TAGS, here, f"unknown tag {', '.join(tags - TAGS)}: use {', '.join(sorted(TAGS))}"
        ran = cell.raw.get("outputs") or cell.raw.get("execution_count") or "papermill" in cell.raw["metadata"]
        yield ran, here, "a source holds no outputs, counts or run metadata: clear them"
        most = 24 if "figure" in tags else 20
        yield len(lines) > most, here, f"{len(lines)} lines, at most {most}: split the cell"
        columns = [len(line) + sum(east_asian_width(c) in "WF" for c in line) for line in lines]
        wide = [f"{i} ({n} columns)" for i, n in enumerate(columns, 1) if n > 76]
        yield wide, here, f"line {', '.join(wide)}: at most 76 or the page clips, wrap it"
        for node in cell.call("warnings.filterwarnings", "warnings.simplefilter"):
            bare = not any("#" in line for line in lines[max(0, node.lineno - 2) : node.lineno])
            yield bare, here, "a silenced warning has its reason in a comment beside it: add it, or mend the cause"
        for call, tag in (("plots.show", "figure"), ("claim", "claim")):
            wrong = bool(cell.call(call)) != (tag in tags)
            yield wrong, here, f"a cell that calls {call} is tagged {tag!r}, and only such a cell"
        fetching = [name for name in cell.imports if name.split(".")[0] in FETCHERS and not lesson.needs]
        yield fetching, here, f"imports {', '.join(fetching)}: data and weights come by helpers.datasets, .zoo"


def _prose(cells: list[Cell], lesson: catalog.Lesson, path: Path) -> Findings:
    stages, spine = list[str](), PROJECT if lesson.day in PROJECTS else CONCEPT
    for cell in cells:
        for word in re.finditer(HYPE, re.sub(r"`[^`]*`", "", cell.prose), flags=re.I):
            yield True, cell.id, f"{word[0]!r} is hype: say what it does"
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.prose):
            dead = not re.match(r"[a-z]+:|#", target) and not (path.parent / target.split("#")[0]).exists()
            yield dead, cell.id, f"the link {target} leads nowhere: correct it (a day not yet written stays plain text)"
        for heading in re.findall(r"^## (.+)", cell.prose, flags=re.M):
            stage, _, finding = heading.strip().partition(" · ")
            stages.append(stage)
            yield stage not in spine + OPTIONAL, cell.id, f"unknown stage {stage!r}: use {', '.join(spine + OPTIONAL)}"
            yield stage in FINDING and not finding, cell.id, f"'## {stage} · …' says what the lesson finds: complete it"
    order = sorted(spine, key=lambda stage: stages.index(stage) if stage in stages else 999)
    missing, right = [stage for stage in spine if stage not in stages], f"the order is {', '.join(spine)}"
    yield missing, "notebook", f"no heading '## {', '.join(missing)}': {right}"
    yield not missing and order != list(spine), "notebook", f"headings come as {', '.join(order)}: {right}"
    words = sum(any(c.isalnum() for c in word) for cell in cells for word in cell.prose.split())
    yield not 1500 <= words <= 3200, "notebook", f"note: {words} words of prose, 2,000 to 2,500 are usual"


def _figures(cells: list[Cell], lesson: catalog.Lesson, path: Path) -> Findings:
    for cell in cells:
        here, shows, drawn = cell.id, cell.call("plots.show"), cell.call("plots.figure")
        for node in shows:
            alt = [k.value for k in node.keywords if k.arg == "alt"] + node.args[1:2]
            mute = not alt or (isinstance(alt[0], ast.Constant) and len(str(alt[0].value).strip()) < 20)
            yield mute, here, "plots.show(fig, alt=…) says in words what is seen: write the alt text"
        many = len(drawn) > 2 or (len(drawn) == 2 and any(k.arg == "wide" for n in drawn for k in n.keywords))
        yield many, here, "a cell shows one wide figure or two half ones: split it"
        heavy = [name for name, _ in cell.calls if shows and re.fullmatch(HEAVY, name)]
        yield heavy, here, f"a figure cell only draws: move {', '.join(heavy)} to a cell of its own"


def _claims(cells: list[Cell], lesson: catalog.Lesson, path: Path) -> Findings:
    texts = list[str]()
    for cell in cells:
        here, calls, above = cell.id, cell.call("claim"), 0
        busy = calls and not all(isinstance(n, ast.Expr | ast.Assign | ast.Assert) for n in cell.tree.body)
        yield busy, here, "a claim cell only claims: move loops, definitions and imports to the cell before it"
        tokens = list(tokenize.generate_tokens(io.StringIO(cell.source).readline)) if calls else []
        for node in calls:
            last = node.end_lineno or node.lineno
            said = " ".join(t.string for t in tokens if t.type == tokenize.COMMENT and above < t.start[0] <= last)
            above, text = last, ast.unparse(node.args[0]) if node.args else ""
            yield (
                not re.search(r"\b(range|exact)", said, re.I),
                here,
                "no '# range over five seeds: …' or '# exact' above",
            )
            yield not re.search(r"\b(breaks|fails if)\b", said, re.I), here, "no '# breaks if …' names the edit"
            yield text in texts, here, f"two claims say {text[:40]}…: each says something of its own"
            texts.append(text)
    yield not 2 <= len(texts) <= 6, "notebook", f"{len(texts)} claims: a lesson makes two to six"


def _exercises(cells: list[Cell], lesson: catalog.Lesson, path: Path) -> Findings:
    own, parts = set[str](), set[str]()
    for i, stub in enumerate(cells):
        if "exercise" not in stub.tags:
            continue
        if len(stub.defines) != 1 or "NotImplementedError" not in stub.source or i == 0 or len(cells) < i + 3:
            yield True, stub.id, "a stub is one function that raises NotImplementedError; check and solution follow"
            continue
        (name,), test, answer, last = stub.defines, cells[i + 1], cells[i + 2], f"check({stub.defines[0]})"
        own.add(name)
        parts |= {stub.id, test.id, answer.id}
        yield cells[i - 1].code, stub.id, "the task stands in a markdown cell right before its stub"
        wrong = "check" not in test.tags or ast.unparse(test.tree) != last
        yield wrong, test.id, f"the cell after the stub is {last}, tagged 'check'"
        wrong = "solution" not in answer.tags or name not in answer.defines
        wrong |= not ast.unparse(answer.tree).endswith(f"\n{last}")
        yield wrong, answer.id, f"the cell after {last}, tagged 'solution', defines {name} again and ends in {last}"
        folded = answer.raw["metadata"].get("jupyter") == {"source_hidden": True}
        yield not folded, answer.id, "a solution is folded in Jupyter: set metadata.jupyter.source_hidden to true"
    yield len(own) < 3, "notebook", f"{len(own)} whole exercises: a lesson has three or more"
    for cell in (cell for cell in cells if cell.id not in parts):
        yield cell.tags & {"check", "solution"}, cell.id, "the order is task, stub, check, solution: move it there"
        named = {n.id for n in ast.walk(cell.tree) if isinstance(n, ast.Name)} | set(cell.defines)
        for name in sorted(own & named if "exercise" not in cell.tags else ()):
            yield True, cell.id, f"uses the exercise {name}, which a reader may not have solved: give it another name"


def _executed(copy: outputs.Notebook | None) -> Findings:
    """What a reader must not find on the page; that there is no copy yet is for ``status`` to say."""
    for raw in outputs.code_cells(copy) if copy else []:
        for output in raw.get("outputs", []):
            here, text = raw.get("id", "?"), "".join(output.get("text") or output.get("data", {}).get("text/plain", ""))
            yield re.search(REPR, text), here, "the page shows np.float64(…) or the like: print the plain value"
            warned = output.get("name") == "stderr" and "Warning" in text
            yield warned, here, "the page shows a warning: mend its cause, or silence that one with a reason"


def _ruff(root: Path, lessons: Sequence[catalog.Lesson]) -> list[str]:
    days = {str((root / one.path).resolve()): one.day for one in lessons if (root / one.path).exists()}
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "json", "--ignore", "E501"]
    done = subprocess.run([*command, *(days or ["/dev/null"])], cwd=root, capture_output=True, text=True)
    if not done.stdout.startswith("["):
        return [f"ruff did not run ({done.stderr.strip()[-200:]}): install requirements.txt"]
    lines = []
    for found in (one for one in json.loads(done.stdout) if one.get("cell")):
        cell = catalog.read_notebook(Path(found["filename"]))["cells"][found["cell"] - 1]
        what = f"ruff {found['code']} in line {found['location']['row']}: {found['message']}"
        lines.append(f"day{days[found['filename']]:02d} {cell.get('id')}: {what}")
    return lines
