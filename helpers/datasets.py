"""Data by key: ``datasets.digits()``; a lesson never names a path, a package or a host."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np


def cache_dir() -> Path:
    """Folder of everything fetched or converted: ``$LLM90_CACHE``, else ``~/.cache/llm90``."""
    folder = Path(os.environ.get("LLM90_CACHE") or Path.home() / ".cache" / "llm90")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Handwritten digits of 8 × 8 pixels, from scikit-learn's own files.

    Returns:
        images: (1797, 8, 8) float32, ink from 0 to 1.
        labels: (1797,) int64, 0 to 9.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images.astype(np.float32) / 16, bunch.target.astype(np.int64)


def installed(package: str, install: str) -> Path:
    """Folder of an importable package, found without importing it.

    Raises:
        ModuleNotFoundError: it is not there; the message is the command that installs it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {package!r} is not installed here. Install it: {install}")
    return Path(spec.origin).parent


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that becomes ``path`` in one step at the end, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process of this machine at a time does the work called ``name``; others wait for it."""
    with (cache_dir() / f".{name}.lock").open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:  # Windows: the work may be done twice, its result is still written whole
            pass
        yield
