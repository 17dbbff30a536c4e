"""Lessons away from this repository: the address at one place, the Colab copies, the wheel of helpers."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from helpers.runner import catalog, outputs

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts import colab, repo  # noqa: E402

LESSONS = catalog.lessons(ROOT)


@pytest.mark.parametrize(
    "given",
    ["https://github.com/some/where", "git@github.com:some/where.git", "ssh://git@github.com/some/where", "http://github.com/some/where/"],
)  # fmt: skip
def test_an_address_is_stamped_at_its_one_place(given: str, tmp_path: Path) -> None:
    path = tmp_path / "_config.yml"
    shutil.copyfile(ROOT / "_config.yml", path)
    before = path.read_text(encoding="utf-8")
    repo.stamp(path, repo.clean(given))
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert settings["repository"]["url"] == "https://github.com/some/where"
    assert settings["launch_buttons"]["binderhub_url"] == "https://mybinder.org"
    assert colab.address(tmp_path) == ("https://github.com/some/where", "main")
    repo.stamp(path, repo.clean("none"))
    assert path.read_text(encoding="utf-8") == re.sub(r'(?m)^(  (binderhub_)?url: ).*$', r'\1""', before)  # fmt: skip


@pytest.mark.parametrize("given", ["", "github.com", "https://github.com/only", "https://example.org/a/b", "/a/path"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(SystemExit, match="no repository's address"):
        repo.clean(given)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda one: f"day{one.day:02d}")
def test_everything_a_lesson_imports_is_named_and_in_the_lock(lesson: catalog.Lesson) -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pins = {name.replace("_", "-") for name in re.findall(r"^([a-z0-9._-]+)==", lock, re.M)}
    extras, packages = colab.wanted(ROOT, lesson)
    known = {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower() for one in importlib.metadata.distributions()}
    for package in packages:
        name = re.sub(r"\[.*", "", package).replace("_", "-").replace("tensorflow", "tensorflow-cpu")  # the lock's
        assert name in pins and name in known, f"scripts/colab.py: what package brings the module {name}?"
    assert set(extras) <= {"data", "models"}


def test_a_colab_copy_differs_by_its_first_code_cell_only(tmp_path: Path) -> None:
    lesson = next(one for one in LESSONS if colab.wanted(ROOT, one)[0] == ["data"])
    made = colab.cell(ROOT, lesson, "https://github.com/some/where", "abc")
    assert '"llm90-helpers[data] @ git+https://github.com/some/where@abc"' in str(made["source"])
    notebook = catalog.read_notebook(ROOT / lesson.path)
    with_it = {**notebook, "cells": [notebook["cells"][0], made, *notebook["cells"][1:]]}
    assert outputs.key(notebook, {"profile": "cpu"}) != outputs.key(with_it, {"profile": "cpu"}), (
        "if the key left this cell out, it could stand in notebooks/ and scripts/colab.py would be needless"
    )
    assert '"colab"' not in json.dumps([cell["id"] for cell in notebook["cells"]])


def test_pages_and_copies_agree_on_what_runs_on_colab() -> None:
    page = (ROOT / "book/_ext/book_frame.py").read_text(encoding="utf-8")
    assert f"ANYWHERE = {re.search(r'ANYWHERE = ({.*?})', page)[1]}" in (ROOT / "scripts/colab.py").read_text("utf-8")  # type: ignore[index]


def test_without_an_address_there_are_no_colab_copies() -> None:
    if colab.address(ROOT)[0]:
        pytest.skip("this repository has an address")
    done = subprocess.run([sys.executable, "scripts/colab.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "make repo URL=" in done.stderr


def test_the_wheel_brings_all_that_lessons_load(tmp_path: Path) -> None:
    copy = tmp_path / "book"
    shutil.copytree(ROOT / "helpers", copy / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    call = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    done = subprocess.run([*call, str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("llm90_helpers-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    files = subprocess.check_output(["git", "ls-files", "helpers"], cwd=ROOT, text=True).split()
    wanted = {name for name in files if not name.endswith((".md", ".gitignore"))}
    assert not wanted - held, "pyproject.toml does not ship these"


@pytest.mark.parametrize("script", [".binder/postBuild", "scripts/pick_torch.sh", "scripts/setup.sh"])
def test_shell_scripts_parse(script: str) -> None:
    assert subprocess.run(["bash", "-n", script], cwd=ROOT).returncode == 0


def test_the_container_sets_up_as_the_readme_says() -> None:
    about = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert about["postCreateCommand"] == "make setup" and 8888 in about["forwardPorts"]
    assert (ROOT / ".binder/runtime.txt").read_text().strip() == "python-3.11"
    for name in re.findall(r"\b(requirements[\w-]*\.txt|scripts/\w+\.sh)", (ROOT / ".binder/postBuild").read_text()):
        assert (ROOT / name).exists(), name
