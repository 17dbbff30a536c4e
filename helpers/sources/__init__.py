"""Where data and weights come from: an installed package, else the cache, else the network; always checked.

``sources.toml`` beside this file lists every source with its licence and the SHA-256 of
each file. ``local`` gives files as a package carries them, ``built`` those that
``prepare`` makes from them once per machine. ``LLM90_OFFLINE=1`` forbids the network.
Lessons use ``helpers.datasets`` and ``helpers.zoo``, never this.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import os
import re
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import IO

TIMEOUT = 30  # seconds that a server may stay silent
LARGE = 16_000_000  # bytes; larger files are hashed again only when size or date changed


class DataMissing(FileNotFoundError):
    """Data or weights that are not here and could not be fetched; the message says what to run."""


@dataclass(frozen=True)
class Source:
    """One entry of ``sources.toml``: where data or weights come from, and under which terms."""

    key: str
    what: str
    origin: str
    licence: str
    licence_url: str
    size: str
    days: list[int]
    install: str
    urls: list[str] = field(default_factory=list)  # of one archive; the same bytes from each
    sha256: str = ""  # of that archive
    files: dict[str, str] = field(default_factory=dict)  # path in the package: SHA-256
    built: dict[str, str] = field(default_factory=dict)  # path in the cache: SHA-256, made by prepare


@functools.cache
def sources() -> dict[str, Source]:
    """All sources by key, data first, then models."""
    import tomllib

    entries = tomllib.loads(Path(__file__).with_name("sources.toml").read_text("utf-8"))
    return {key: Source(key, **entry) for key, entry in entries.items()}


def cache_dir() -> Path:
    """Folder of everything fetched or converted: ``$LLM90_CACHE``, else ``~/.cache/llm90``."""
    folder = Path(os.environ.get("LLM90_CACHE") or Path.home() / ".cache" / "llm90")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache_files() -> list[Path]:
    """The prepared files that are in the cache, all that an offline machine needs beside the packages."""
    names = (name for source in sources().values() for name in source.built)
    return [path for name in names if (path := cache_dir() / name).is_file()]


def local(key: str) -> list[Path]:
    """The checked files of a source: of the installed package, else of a copy in the cache, else fetched.

    Raises:
        DataMissing: they are nowhere, or other than recorded.
    """
    source = sources()[key]
    spec = importlib.util.find_spec(next(iter(source.files)).split("/")[0])
    roots = [Path(spec.origin).parents[1]] if spec and spec.origin else []
    for root in [*roots, cache_dir() / "files"]:
        if all(_whole(root / name, expected) for name, expected in source.files.items()):
            return [root / name for name in source.files]
    from helpers.sources.archives import unpack

    archive = _archive(source)
    for name, raw in unpack(archive, f"^({'|'.join(map(re.escape, source.files))})$").items():
        with written_whole(root / name) as file:
            file.write(raw)
    _agree(key, archive, {root / name: expected for name, expected in source.files.items()})
    return [root / name for name in source.files]


def built(key: str) -> list[Path]:
    """The checked files that are made from a source's archive or package, once per machine, in the cache.

    Raises:
        DataMissing: the source is nowhere, or the result is other than recorded.
    """
    source = sources()[key]
    paths = {cache_dir() / name: expected for name, expected in source.built.items()}
    if ready(key):
        return list(paths)
    with locked(key):
        if ready(key):  # made while this process waited
            return list(paths)
        raw = local(key)[0] if source.files else _archive(source)
        try:
            for name, content in prepare(key, raw):
                with written_whole(cache_dir() / name) as file:
                    file.writelines(content)
        except ModuleNotFoundError as err:
            raise DataMissing(f"{key} cannot be prepared: {err}. Run: {source.install}") from err
        _agree(key, raw, paths)
        if not source.files:
            raw.unlink()
    return list(paths)


def ready(key: str) -> bool:
    """Whether what ``built`` gives is in the cache already, whole."""
    return all(_whole(cache_dir() / name, expected) for name, expected in sources()[key].built.items())


def prepare(key: str, raw: Path) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Name (below the cache) and content of each file that ``key``'s raw file is turned into.

    The bytes are the same on every machine: their SHA-256 stand in ``sources.toml``.
    """
    if key == "smollm":
        yield from importlib.import_module("helpers.sources.smollm").files(raw)
    else:
        value = getattr(importlib.import_module("helpers.sources.archives"), key)(raw)
        yield f"{key}.json", [json.dumps(value, ensure_ascii=False).encode()]


def _agree(key: str, raw: Path, paths: dict[Path, str]) -> None:
    for path, expected in paths.items():
        if not _whole(path, expected):
            raise DataMissing(f"{key}: {path} came out of {raw} other than recorded: is sources.toml of this version?")


def _archive(source: Source) -> Path:
    """The source's archive in the cache, fetched if need be."""
    if not source.urls:
        raise DataMissing(
            f"{source.key}: its package is not installed here, or not this version. Run: {source.install}"
        )
    path = cache_dir() / "archives" / source.urls[0].rsplit("/", 1)[1]
    if _whole(path, source.sha256):
        return path
    tried = ["LLM90_OFFLINE forbids the network"] if os.environ.get("LLM90_OFFLINE") else []
    for url in [] if tried else source.urls:
        try:
            _download(url, path, source.sha256)
            return path
        except (OSError, HTTPException) as err:
            tried.append(f"{url}: {err}")
    raise DataMissing(
        f"{source.key} is not on this machine. Run: {source.install}. Fetching it failed: {'; '.join(tried)}"
    )


def _download(url: str, path: Path, expected: str) -> None:
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, written_whole(path) as file:
        while block := answer.read(1 << 20):
            file.write(block)
            digest.update(block)
            size += len(block)
        if digest.hexdigest() != expected:
            raise OSError(f"the {size:,} bytes that came are not the expected file: cut short or replaced")


def _whole(path: Path, expected: str) -> bool:
    """Whether the file is there and has this SHA-256."""
    if not path.is_file():
        return False
    facts = path.stat()
    mark = cache_dir() / "checked" / expected[:16]
    seen = f"{path} {facts.st_size} {facts.st_mtime_ns}"
    if facts.st_size > LARGE:
        with suppress(OSError):
            if mark.read_text("utf-8") == seen:
                return True
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            return False
    if facts.st_size > LARGE:
        with written_whole(mark) as note:
            note.write(seen.encode())
    return True


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that becomes ``path`` in one step at the end, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process of this machine at a time does the work called ``name``; the others wait."""
    with (cache_dir() / f".{name}.lock").open("w") as file:
        with suppress(ImportError):  # no fcntl on Windows: done twice at worst, still written whole
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
