"""The lock and the scripts that install from it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.txt").read_text()
PINS = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\n]+)", LOCK, re.M))


def test_the_lock_brings_no_cuda_no_torch_no_path_and_no_host():
    assert not [name for name in PINS if name.startswith(("nvidia-", "cuda-")) or name == "torch"]
    assert not re.search(r"://|/(tmp|home|root|work|dev|opt)/|--(index|extra|find)", LOCK)


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").glob("*.in")), ids=lambda path: path.name)
def test_the_lock_holds_what_its_inputs_ask_for(file):
    for line in file.read_text().splitlines():
        wanted = line.split("#")[0].split(";")[0].strip()
        if wanted:
            name, _, version = re.sub(r"\[.*\]", "", wanted).partition("==")
            name = re.split("[<>=!~]", name)[0].lower().replace("_", "-")
            assert name in PINS, f"{name} is missing from requirements.txt: run make lock"
            assert version in ("", PINS[name]), f"{name}: requirements.txt has {PINS[name]}: run make lock"


def script(*command, **env):
    return subprocess.run(
        ["bash", *command], cwd=ROOT, capture_output=True, text=True, timeout=60, env={**os.environ, **env}
    )


def test_torch_that_is_there_is_left_alone():
    if not (Path(sys.prefix) / "bin" / "uv").exists():
        pytest.skip("this Python is not the environment that make setup made")
    done = script("scripts/pick_torch.sh", sys.prefix)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("is there\n")


def test_an_unknown_kind_of_torch_is_refused():
    done = script("scripts/pick_torch.sh", sys.prefix, TORCH_VARIANT="tpu")
    assert done.returncode == 1 and "expected auto, cpu or cuda" in done.stderr


def test_setup_refuses_an_unfit_python():
    done = script("scripts/setup.sh", PYTHON="/bin/false")
    assert done.returncode == 1 and done.stderr == "setup: PYTHON=/bin/false is not a Python 3.11, 3.12 or 3.13\n"
