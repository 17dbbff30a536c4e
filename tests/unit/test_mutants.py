"""The tests of claims and exercises can fail: each small damage to the two modules is found by them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ("test_claims.py", "test_exercises.py")

MUTANTS = {
    # claims
    "every claim holds": ("claims", 'status = "holds" if verdict else "fails"', 'status = "holds"'),
    "holds and fails swapped": ("claims", '"holds" if verdict else "fails"', '"fails" if verdict else "holds"'),
    "truthy is true": ("claims", "    verdict = _boolean(holds)", "    verdict = bool(holds)"),
    "one-element arrays count": ("claims", 'if getattr(value, "ndim", 1) == 0 else None', ""),
    "any number of an array library": ("claims", ' and "bool" in str(getattr(value, "dtype", ""))', ""),
    "needs are ignored": ("claims", "if needs and not available(needs):", "if False:"),
    "needs always miss": ("claims", "if needs and not available(needs):", "if needs:"),
    "a CPU counts as a GPU": ("claims", 'current.device.type == "cuda"', 'current.device.type != ""'),
    "not run is written as holds": ("claims", 'status, measured = "not-run"', 'status, measured = "holds"'),
    "the mark is always ✓": ("claims", 'f\'<b class="mark" aria-hidden="true">{MARK[status]}</b>\'', "'<b>✓</b>'"),
    "HTML is not escaped": ("claims", 'html.escape(record["text"])', 'record["text"]'),
    "another lesson's record": ("claims", '"lesson": current.day', '"lesson": 1'),
    # exercises
    "every answer passes": (
        "exercises",
        "    try:\n        with _time_limit",
        '    return "passed", ""\n    try:\n        with _time_limit',
    ),
    "the check is not called": ("exercises", "str(test(fn) or", "str("),
    "assertions are swallowed": (
        "exercises",
        "        if isinstance(err, AssertionError) and str(err):",
        '        if isinstance(err, AssertionError):\n            return "passed", ""\n        if str(err):',
    ),
    "a stub counts as wrong": ("exercises", "if isinstance(err, NotImplementedError) and", "if False and"),
    "any NotImplementedError is a stub": ("exercises", " and _belongs(frames[-1], fn):", ":"),
    "every error is a stub": ("exercises", "isinstance(err, NotImplementedError) and _belongs", "_belongs"),
    "the hint is lost": ("exercises", '            return "wrong", str(err)', '            return "wrong", ""'),
    "errors get through": ("exercises", "except (Exception, SystemExit) as err:", "except AssertionError as err:"),
    "the clock can be swallowed": ("exercises", "class _TooLong(BaseException)", "class _TooLong(Exception)"),
    "no clock": ("exercises", "    signal.alarm(seconds)", "    signal.alarm(0)"),
    "passed is written for wrong": ("exercises", '"passed": status == "passed"', '"passed": True'),
}


def run(folder: Path, *tests: str) -> int:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", "not torch", *tests]
    light = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env = {**os.environ, **light, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=30).returncode


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the package's own modules with the two test files."""
    folder = tmp_path_factory.mktemp("mutants")
    (folder / "helpers").mkdir()
    for path in (ROOT / "helpers").glob("*.py"):
        shutil.copy(path, folder / "helpers")
    for name in TESTS:
        shutil.copy(Path(__file__).with_name(name), folder)
    return folder


def test_the_undamaged_copy_passes(folder):
    assert run(folder, *TESTS) == 0


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_damage_is_found(folder, mutant):
    name, old, new = MUTANTS[mutant]
    place = folder / "helpers" / f"{name}.py"
    good = place.read_text()
    assert good.count(old) == 1, f"the line of this mutant changed, write it anew: {old}"
    try:
        place.write_text(good.replace(old, new))
        assert run(folder, f"test_{name}.py") == 1, "every test passed (0), or none could run (2 and more)"
    finally:
        place.write_text(good)
