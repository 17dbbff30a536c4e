"""Whole runs through the command line, with real kernels on tiny lessons."""

import json

from helpers.runner import outputs
from helpers.runner.catalog import read_notebook

CLAIM = "from helpers import claim\nclaim('The seed is small', f'seed {seed}', seed < 2)"


def copy(tree, lesson, store=outputs.BUILD):
    return read_notebook(outputs.copy_path(tree.root, lesson, store))


def test_a_failing_lesson_is_told_and_the_rest_goes_on(tree):
    first = tree.add(1, "import time\ntime.sleep(1.1)\nprint('a')\nprint('b')", CLAIM)
    second = tree.add(2, "total = 1", "def divide(n):\n    return total / n\n\ndivide(0)", "print('never')")
    earlier = tree.fake(second, outputs.BUILD).read_bytes()
    code, said = tree.run("run", "--profile", "cpu")
    assert code == 1, said
    assert "ok     day 01 · Tiny" in said and "1/1 claims hold" in said
    assert "ERROR  day 02 · Tiny" in said and "1 good, 1 with faults" in said
    for part in ("cell 4 `c2` raised ZeroDivisionError: division by zero", "return total / n", "line 4"):
        assert part in said, said
    assert "partial copy: _build/failed/phase1_tiny/day02_tiny.ipynb" in said
    partial = copy(tree, second, outputs.FAILED)
    assert partial["cells"][3]["outputs"][0]["ename"] == "ZeroDivisionError" and not partial["cells"][4]["outputs"]
    assert outputs.copy_path(tree.root, second, outputs.BUILD).read_bytes() == earlier

    done = copy(tree, first)
    made = done["metadata"]["provenance"]
    assert set(made) == {
        *("device", "profile", "seconds", "finished", "python", "torch", "driver"),
        *("key", "commit", "helpers", "requirements"),
    }
    assert (made["device"], made["profile"], made["torch"]) == ("CPU", "cpu", ""), "what the kernel said it used"
    assert made["seconds"] > 1 and made["key"] == outputs.key(read_notebook(tree.root / first.path), {"profile": "cpu"})
    assert outputs.state(tree.root, first, outputs.BUILD) == "current" and outputs.faults(done) == []
    assert 1 <= done["cells"][2]["metadata"].pop("seconds") < 30, "a cell of a second or more says how long it took"
    assert [cell["metadata"] for cell in done["cells"]] == [{}, {"tags": ["parameters"]}, {}, {}], "papermill's marks"
    assert done["cells"][2]["outputs"] == [{"name": "stdout", "output_type": "stream", "text": "a\nb\n"}]
    assert tree.orphans() == []

    code, said = tree.run("accept", "all")
    assert code == 0 and "accepted  day 01" in said and "accepted  day 02" in said
    code, said = tree.run("status", "--check")
    assert code == 0 and said.count("current") == 2, said
    tree.add(2, "total = 2")
    code, said = tree.run("status", "--check")
    assert code == 1 and "outputs of days 2 are stale or missing" in said


def test_seeds_print_each_claim_and_store_seed_0_only(tree):
    lesson = tree.add(1, "print(seed)", CLAIM)
    code, said = tree.run("run", "1", "--seeds", "3", "--jobs", "1")
    assert code == 1, "seed 2 breaks the claim"
    assert (
        said.index("The seed is small") < said.index("seed 0  holds    seed 0") < said.index("seed 1  holds    seed 1")
    )
    assert "seed 2  fails    seed 2" in said and "2 good, 1 with faults" in said
    assert copy(tree, lesson)["cells"][2]["outputs"][0]["text"] == "0\n"


def test_resume_and_budget(tree):
    done = tree.add(1, "print('again')")
    tree.fake(done, outputs.BUILD)
    tree.add(2)
    tree.fake(tree.add(3), outputs.STORE, seconds=3600)
    code, said = tree.run("run", "--resume", "--budget", "5")
    assert code == 0, said
    assert "1 of 3 lessons are finished already" in said
    assert "ok     day 02" in said and "day 01" not in said and "1 not reached within the budget" in said
    assert not copy(tree, done)["cells"][2]["outputs"], "day 1 was not run again"


def test_ledger_lint_and_help_answer(tree):
    tree.fake(tree.add(1), outputs.BUILD, fault="It holds")
    code, said = tree.run("ledger")
    assert code == 1 and "It holds" in said and json.loads((tree.root / "_build/ledger.json").read_text())
    code, said = tree.run("lint")
    assert code == 1 and "Why it matters" in said
    code, said = tree.run("--help")
    assert code == 0 and all(word in said for word in ("run", "status", "accept", "ledger"))


def test_a_lesson_edited_while_it_runs_is_stale(tree):
    lesson = tree.add(1, "import pathlib, time\npathlib.Path('reached').touch()\ntime.sleep(3)")
    process = tree.start("run", "1")
    tree.until("reached")
    tree.add(1, "print('edited meanwhile')")
    (tree.root / "requirements.txt").write_text("edited\n")
    process.communicate(timeout=60)
    made = copy(tree, lesson)["metadata"]["provenance"]
    assert outputs.state(tree.root, lesson, outputs.BUILD) == "stale"
    assert made["requirements"] != outputs.requirements_hash(tree.root), "the hash is of what ran"
