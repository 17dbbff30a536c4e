"""The workflows cannot run here, so: schemas, pins, permissions, and every script step run against stand-ins."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VENDOR = Path(__file__).parent / "vendor"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
# Looked up in each action's own repository: the commit its tag names.
PINS = {
    "actions/checkout": "3d3c42e5aac5ba805825da76410c181273ba90b1",  # v7.0.1
    "actions/setup-python": "5fda3b95a4ea91299a34e894583c3862153e4b97",  # v7.0.0
    "actions/cache": "27d5ce7f107fe9357f9df03efb73ab90386fccae",  # v5.0.5
    "actions/upload-artifact": "bbbca2ddaa5d8feaa63e36b76fdaad77386f024f",  # v7.0.0
    "actions/download-artifact": "3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c",  # v8.0.1
    "actions/upload-pages-artifact": "fc324d3547104276b827a68afc52ff2a11cc49c9",  # v5.0.0
    "actions/deploy-pages": "cd2ce8fcbc39b97be8ca5fce6e763baed58fa128",  # v5.0.0
}
WRITES = {("publish.yml", "deploy"), ("publish.yml", "colab"), ("nightly.yml", "publish"), ("nightly.yml", "tell"),
          ("weekly.yml", "links"), ("weekly.yml", "tell")}  # fmt: skip


def load(path: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads the key ``on`` as true."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in found.items()}


def jobs() -> list[Any]:
    return [
        pytest.param(path, name, job, id=f"{path.stem}-{name}")
        for path in WORKFLOWS
        for name, job in load(path)["jobs"].items()
    ]


def steps(path: Path) -> list[dict[str, Any]]:
    found = load(path)
    if "runs" in found:
        return list(found["runs"]["steps"])
    return [step for job in found["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize(
    ("path", "schema"),
    [(path, "github-workflows.json") for path in WORKFLOWS] + [(path, "github-actions.json") for path in ACTIONS],
    ids=lambda one: one.stem if isinstance(one, Path) else "",
)
def test_the_form_is_what_github_reads(path: Path, schema: str) -> None:
    rules = json.loads((VENDOR / schema).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(rules).validate(load(path))


def test_what_the_book_promises_is_there() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "nightly", "publish", "weekly"}
    nightly = load(ROOT / ".github/workflows/nightly.yml")
    assert nightly["on"]["schedule"] and "matrix" in nightly["jobs"]["cpu"]["strategy"]
    assert nightly["jobs"]["gpu"]["runs-on"] == ["self-hosted", "linux", "gpu"]
    assert "vars.GPU_RUNNER == 'on'" in nightly["jobs"]["gpu"]["if"], "without a runner it is skipped, never queued"


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: path.parent.name + "-" + path.stem)
def test_actions_are_pinned_by_commit_with_their_version_beside(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name, rest in re.findall(r"uses: (\S+?)(?:@(.*))?$", text, re.M):
        if name.startswith("./"):
            assert (ROOT / name).exists(), name
            continue
        assert re.fullmatch(r"[0-9a-f]{40}  # v\d+\.\d+\.\d+", rest or ""), f"{name}@{rest}"
        assert rest.split()[0] == PINS[name], name


@pytest.mark.parametrize(("path", "name", "job"), jobs())
def test_a_job_may_no_more_than_it_must(path: Path, name: str, job: dict[str, Any]) -> None:
    whole = load(path)
    assert whole["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in whole["on"]
    writes = [key for key, value in (job.get("permissions") or {}).items() if value == "write"]
    assert bool(writes) == ((path.name, name) in WRITES), writes
    if "uses" not in job:
        assert job["timeout-minutes"] <= 300
    for step in job.get("steps", []):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_no_expression_reaches_a_shell() -> None:
    for path in [*WORKFLOWS, *ACTIONS]:
        for step in steps(path):
            assert "${{" not in step.get("run", ""), (path.name, step.get("name"))


MAKE = """#!/usr/bin/env bash
echo "make $*" >>"$CALLS"
grep -qE "^$1:" "$HERE/Makefile" || { echo "no target $1" >&2; exit 2; }
mkdir -p _build; [ "$1" != accept ]
"""
PYTHON = """#!/usr/bin/env bash
echo "python $*" >>"$CALLS"
case $1 in
  -m) [ -e "$HERE/${2//.//}" ] || [ "$2" = pytest ] || exit 2 ;;
  *) [ -f "$HERE/$1" ] || { echo "no $1" >&2; exit 2; }
     for word in "${@:2}"; do case $word in --*) grep -q -- "\\"$word\\"" "$HERE/$1" || exit 3 ;; esac; done ;;
esac
[ "$1" = scripts/ci/shards.py ] && echo '[{"name": "1", "days": "1 2"}]'
[ "$1" = scripts/ci/report.py ] && echo "day 33 broke"
exit 0
"""
GH = """#!/usr/bin/env bash
echo "gh $*" >>"$CALLS"
case "$1 $2" in "issue list") cat "$OPEN" ;; api*) echo https://some.github.io/where/ ;; esac
"""
ECHO = '#!/usr/bin/env bash\necho "$(basename "$0") $*" >>"$CALLS"\n'
CURL = ECHO + 'printf "%s" "${CODE:-404}"\n'


@pytest.fixture
def stage(tmp_path: Path) -> dict[str, str]:
    """A folder with stand-ins for what a step calls, which note their calls; the scripts are the real ones."""
    tools = tmp_path / "bin"
    tools.mkdir()
    kinds = {"make": MAKE, "python": PYTHON, "python3": PYTHON, "gh": GH, "curl": CURL}
    for name in ("make", "python", "python3", "gh", "curl", "pip", "nvidia-smi", "git"):
        path = tools / name
        path.write_text(kinds.get(name, ECHO), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    work = tmp_path / "work"
    (work / ".venv/bin").mkdir(parents=True)
    (work / ".venv/bin/python").symlink_to(tools / "python")
    for name in ("scripts", "requirements.txt", "_config.yml"):
        (work / name).symlink_to(ROOT / name)
    (tmp_path / "open").write_text("")
    return {
        "PATH": f"{tools}:{os.environ['PATH']}", "HERE": str(ROOT), "CALLS": str(tmp_path / "calls"),
        "OPEN": str(tmp_path / "open"), "GITHUB_OUTPUT": str(tmp_path / "output"), "WORK": str(work),
        "GITHUB_SHA": "0" * 40, "GITHUB_REPOSITORY": "some/where", "HOME": str(tmp_path),
    }  # fmt: skip


def shell(script: str, env: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    call = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(call, cwd=env["WORK"], env=env | more, capture_output=True, text=True, timeout=60)


def scripted() -> list[Any]:
    found = []
    for path in [*WORKFLOWS, *ACTIONS]:
        for step in steps(path):
            if "run" in step:
                name = path.stem if path.stem != "action" else path.parent.name
                found.append(pytest.param(step, id=f"{name}-{step.get('name', '')}"))
    return found


@pytest.mark.parametrize("step", scripted())
def test_every_script_step_runs(step: dict[str, Any], stage: dict[str, str]) -> None:
    (Path(stage["WORK"]) / "_build/night").mkdir(parents=True)
    given = {name: re.sub(r"\$\{\{.*?\}\}", "1", str(value)) for name, value in step.get("env", {}).items()}
    given |= {name: "https://some.github.io/where" for name in given if name == "BASE"}
    given |= {"TARGET": "unit"} if "TARGET" in given else {}
    done = shell(step["run"], stage, **given)
    assert done.returncode == 0, done.stderr
    calls = Path(stage["CALLS"]).read_text(encoding="utf-8") if Path(stage["CALLS"]).exists() else ""
    assert calls, "a step that calls nothing does nothing"


@pytest.mark.parametrize("wrong", ["shards.py --count", "shards.py --gpu", "drift.py --days"])
def test_a_failing_script_fails_its_step(wrong: str, stage: dict[str, str]) -> None:
    (step,) = [param.values[0] for param in scripted() if wrong in param.values[0]["run"]]
    given = dict.fromkeys(step.get("env", {}), "1")
    assert shell(step["run"].replace(wrong, wrong + "x"), stage, **given).returncode != 0


def test_an_issue_is_opened_extended_and_closed(stage: dict[str, str]) -> None:
    call = f"{ROOT}/scripts/ci/issue.sh nightly 'It broke' body.md"
    body = Path(stage["WORK"]) / "body.md"
    body.write_text("day 33 broke", encoding="utf-8")
    assert shell(call, stage, RUN_URL="https://run").returncode == 0
    assert "gh issue create --title It broke --label nightly" in Path(stage["CALLS"]).read_text("utf-8")
    assert Path(f"{body}.full").read_text(encoding="utf-8") == "day 33 broke\n\nRun: https://run\n"
    Path(stage["OPEN"]).write_text("7\n")
    assert shell(call, stage).returncode == 0
    assert "gh issue comment 7" in Path(stage["CALLS"]).read_text("utf-8")
    body.write_text("")
    assert shell(call, stage).returncode == 0
    assert "gh issue close 7" in Path(stage["CALLS"]).read_text("utf-8")
    Path(stage["OPEN"]).write_text("")
    Path(stage["CALLS"]).write_text("")
    assert shell(call, stage).returncode == 0
    assert Path(stage["CALLS"]).read_text("utf-8").count("\n") == 1, "all well and nothing open: only asked"


@pytest.mark.parametrize(("code", "good"), [("200", True), ("404", True), ("500", False), ("000", False)])
def test_a_history_that_cannot_be_had_is_never_replaced(code: str, good: bool, stage: dict[str, str]) -> None:
    done = shell(f"{ROOT}/scripts/ci/past.sh https://some.github.io/where/", stage, CODE=code)
    assert (done.returncode == 0) == good
    assert ("scripts/history.py" in Path(stage["CALLS"]).read_text("utf-8")) == good
    assert ("--merge" in Path(stage["CALLS"]).read_text("utf-8")) == (code == "200")


def test_the_colab_branch_waits_for_an_address(stage: dict[str, str]) -> None:
    settings = Path(stage["WORK"]) / "_config.yml"
    text = settings.read_text(encoding="utf-8")
    settings.unlink()
    settings.write_text(re.sub(r'(?m)^  url: ".*"', '  url: ""', text), encoding="utf-8")
    call = f"{ROOT}/scripts/ci/push_colab.sh"
    done = shell(call, stage, GH_TOKEN="t")
    assert done.returncode == 0 and "no address" in done.stdout and not Path(stage["CALLS"]).exists()
    settings.write_text(re.sub(r'(?m)^  url: ".*"', '  url: "https://github.com/some/where"', text), encoding="utf-8")
    (Path(stage["WORK"]) / "_build/colab").mkdir(parents=True)
    done = shell(call, stage, GH_TOKEN="t")
    assert done.returncode == 0, done.stderr
    assert "git push --quiet --force https://x-access-token:t@github.com/some/where.git colab" in Path(
        stage["CALLS"]
    ).read_text("utf-8")
