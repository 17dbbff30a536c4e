import base64
import copy
import errno
import io
import json
import os
from pathlib import Path

import pytest

from helpers.runner import outputs
from helpers.runner.catalog import read_notebook


@pytest.fixture
def source(tree):
    tree.add(1, "x = 1", "print(x)")
    return read_notebook(tree.root / "notebooks/phase1_tiny/day01_tiny.ipynb")


def changed(notebook, index, text):
    other = copy.deepcopy(notebook)
    other["cells"][index]["source"] = text
    return other


def test_key_counts_code_and_parameters_not_prose(source):
    key = outputs.key(source, {"profile": "cpu"})
    assert outputs.key(changed(source, 0, "# Another title"), {"profile": "cpu"}) == key
    assert outputs.key(changed(source, 3, "print(x + 1)"), {"profile": "cpu"}) != key
    assert outputs.key(changed(source, 1, 'profile = "auto"\nseed = 1'), {"profile": "cpu"}) != key
    assert outputs.key(source, {"profile": "gpu"}) != key
    assert outputs.key(source, {"profile": "cpu", "seed": 0}) == key  # the default, said aloud
    assert outputs.key(source, {"profile": "cpu", "seed": 1}) != key
    swapped = copy.deepcopy(source)
    swapped["cells"][2:] = swapped["cells"][:1:-1]
    assert outputs.key(swapped, {"profile": "cpu"}) != key


def test_key_does_not_see_how_json_splits_lines_or_what_papermill_injects(source):
    lines = changed(source, 3, ["print(", "x)"])
    assert outputs.key(lines, {}) == outputs.key(changed(source, 3, "print(x)"), {})
    injected = copy.deepcopy(source["cells"][1]) | {"metadata": {"tags": ["injected-parameters"]}, "id": "new"}
    with_it = copy.deepcopy(source)
    with_it["cells"].insert(2, injected)
    assert outputs.key(with_it, {}) == outputs.key(source, {})


def test_parameters_are_the_literals_of_their_cell(source):
    cell = 'profile = "auto"   # "cpu", "gpu"\nseed = 0\nname = open("x")\nbroken = = 1\n\nsteps=[1, 2]'
    assert outputs.parameters(changed(source, 1, cell)) == {"profile": "auto", "seed": 0, "steps": [1, 2]}


def test_states(tree):
    lesson = tree.add(1, "x = 1")
    assert outputs.state(tree.root, lesson) == "missing"
    tree.fake(lesson)
    assert outputs.state(tree.root, lesson) == "current"
    tree.add(1, "x = 1", title="Reworded")
    assert outputs.state(tree.root, lesson) == "current"
    (tree.root / "requirements.txt").write_text("papermill==3\n")
    assert outputs.state(tree.root, lesson) == "to re-run"
    tree.add(1, "x = 2")
    assert outputs.state(tree.root, lesson) == "stale"
    outputs.copy_path(tree.root, lesson).write_text("{")
    assert outputs.state(tree.root, lesson) == "missing"


def test_helpers_hash_follows_what_a_lesson_reaches(tree):
    (tree.root / "helpers").unlink()
    for name in (
        "claims.py",
        "checks/day01.py",
        "checks/day02.py",
        "taught/day03.py",
        "taught/day04.py",
        "runner/x.py",
    ):
        (tree.root / "helpers" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree.root / "helpers" / name).write_text("a = 1\n")
    (tree.root / "helpers/taught/day03.py").write_text("from helpers.taught.day04 import a\n")
    tree.add(1, "from helpers.taught.day03 import a")
    source = read_notebook(tree.root / "notebooks/phase1_tiny/day01_tiny.ipynb")

    def moves(name):
        before = outputs.helpers_hash(tree.root, source, 1)
        (tree.root / "helpers" / name).open("a").write("b = 2\n")
        return outputs.helpers_hash(tree.root, source, 1) != before

    assert moves("claims.py") and moves("checks/day01.py") and moves("taught/day03.py") and moves("taught/day04.py")
    assert not moves("checks/day02.py") and not moves("runner/x.py")


def ran(notebook, text="1\n"):
    done = copy.deepcopy(notebook)
    for number, one in enumerate(outputs.code_cells(done), 1):
        one["execution_count"] = number
        one["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}]
        one["metadata"]["papermill"] = {"duration": 2}
    done["metadata"]["provenance"] = {"device": "CPU"}
    return done


def test_merge_puts_present_prose_over_stored_outputs(source):
    done = ran(source)
    done["cells"][3]["metadata"]["seconds"] = 2.0
    page = outputs.merge(changed(source, 0, "# New words"), done)
    assert page["cells"][0]["source"] == "# New words"
    assert page["cells"][3]["outputs"][0]["text"] == "1\n"
    assert page["cells"][3]["metadata"] == {"seconds": 2.0}  # papermill's own marks are gone
    assert page["metadata"]["provenance"] == {"device": "CPU"}
    assert source["cells"][3]["outputs"] == [], "the clean source is left alone"


def test_merge_never_shows_an_output_under_other_code(source):
    page = outputs.merge(changed(source, 3, "print(x + 1)"), ran(source))
    assert page["cells"][3]["outputs"] == [] and page["cells"][3]["execution_count"] is None
    assert page["cells"][2]["outputs"], "the cell that did not change keeps its output"


def test_merge_goes_by_id_not_by_place(source):
    moved = copy.deepcopy(source)
    moved["cells"].insert(1, {"cell_type": "code", "id": "new", "metadata": {}, "source": "new()"})
    page = outputs.merge(moved, ran(source))
    assert page["cells"][1]["outputs"] == [] and page["cells"][4]["outputs"]


def record(mime, **fields):
    return {"output_type": "display_data", "metadata": {}, "data": {mime: fields}}


def exercise(status):
    return record(outputs.EXERCISE, name="softmax", status=status)


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        ([record(outputs.CLAIM, text="a", measured="1", status="holds")], None),
        ([record(outputs.CLAIM, text="a", measured="1", status="not-run")], None),
        ([record(outputs.CLAIM, text="a", measured="1", status="fails")], "claim fails: a"),
        ([{"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}], "cell c2 raised ValueErr"),
        ([exercise("todo"), exercise("passed")], None),
        ([exercise("todo"), exercise("wrong"), exercise("passed")], None),
        ([exercise("passed"), exercise("passed")], "exercise softmax"),
        ([exercise("todo"), exercise("wrong")], "exercise softmax"),
        ([exercise("todo")], "exercise softmax"),
    ],
)
def test_faults(source, shown, fault):
    done = ran(source)
    done["cells"][3]["outputs"] = shown
    found = outputs.faults(done)
    assert found == [] if fault is None else len(found) == 1 and found[0].startswith(fault)


def test_a_cell_that_never_ran_is_a_fault(source):
    assert outputs.faults(source) == ["3 cells never ran, from parameters on"]


def accepted(tree, lesson):
    return read_notebook(outputs.copy_path(tree.root, lesson))["metadata"]["provenance"]["profile"]


def test_accept_moves_a_good_copy(tree):
    lesson = tree.add(1)
    with pytest.raises(outputs.StoreError, match="run 1"):
        outputs.accept(tree.root, lesson)
    tree.fake(lesson, outputs.BUILD)
    assert outputs.accept(tree.root, lesson) == outputs.copy_path(tree.root, lesson).stat().st_size
    assert outputs.state(tree.root, lesson) == "current"


@pytest.mark.parametrize(("spoil", "why"), [("claim", "claim fails"), ("code", "changed after"), ("size", "KB")])
def test_accept_refuses(tree, spoil, why):
    lesson = tree.add(1)
    before = tree.fake(lesson).read_bytes()
    path = tree.fake(lesson, outputs.BUILD, fault="it holds" if spoil == "claim" else "")
    if spoil == "code":
        tree.add(1, "print('other')")
    if spoil == "size":
        done = read_notebook(path)
        done["cells"][-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 300_000}]
        outputs.write(path, done)
    with pytest.raises(outputs.StoreError, match=why):
        outputs.accept(tree.root, lesson)
    assert outputs.copy_path(tree.root, lesson).read_bytes() == before


def test_a_gpu_output_yields_to_a_cpu_one_only_when_it_is_stale(tree):
    lesson = tree.add(1)
    tree.fake(lesson, profile="gpu")
    tree.fake(lesson, outputs.BUILD, profile="cpu")
    with pytest.raises(outputs.StoreError, match="GPU"):
        outputs.accept(tree.root, lesson)
    assert accepted(tree, lesson) == "gpu"
    tree.fake(lesson, outputs.BUILD, profile="gpu_large")
    outputs.accept(tree.root, lesson)
    assert accepted(tree, lesson) == "gpu_large"
    (tree.root / "requirements.txt").write_text("other\n")  # to re-run, still not stale
    tree.fake(lesson, outputs.BUILD, profile="cpu")
    with pytest.raises(outputs.StoreError, match="GPU"):
        outputs.accept(tree.root, lesson)
    tree.add(1, "print('new code')")
    tree.fake(lesson, outputs.BUILD, profile="cpu")
    outputs.accept(tree.root, lesson)
    assert accepted(tree, lesson) == "cpu"


def test_accept_quantises_pictures(tree):
    import numpy as np
    from PIL import Image

    raw = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(raw, "PNG")
    png = base64.b64encode(raw.getvalue()).decode()
    small = outputs.quantise(png)
    picture = Image.open(io.BytesIO(base64.b64decode(small)))
    assert picture.mode == "P" and picture.size == (80, 80) and len(small) < len(png)
    assert outputs.quantise(small) == small, "done once"


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permissions")]
)
def test_a_failed_write_leaves_the_earlier_copy_and_no_rest(tmp_path, monkeypatch, number, word):
    path = tmp_path / "a" / "b.ipynb"
    outputs.write(path, {"cells": []})
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
    with pytest.raises(outputs.StoreError, match=word):
        outputs.write(path, {"cells": [1] * 1000})
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_written_notebooks_keep_the_house_form(tmp_path):
    outputs.write(tmp_path / "a.ipynb", {"cells": [], "text": "中文"})
    text = Path(tmp_path / "a.ipynb").read_text(encoding="utf-8")
    assert text == json.dumps({"cells": [], "text": "中文"}, indent=1, ensure_ascii=False) + "\n"
