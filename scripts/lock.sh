#!/usr/bin/env bash
# Compile requirements.txt from requirements/*.in, and check that it serves every system it promises.
# Keeps what is pinned already; `UPGRADE=1 scripts/lock.sh` looks for newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(command -v .venv/bin/uv || command -v uv) || { echo "lock: uv is missing: python -m pip install uv" >&2; exit 1; }
new=$(mktemp)
trap 'rm -f "$new"' EXIT

compile=("$uv" pip compile --quiet --universal --python-version 3.11 --override requirements/overrides.txt --no-header --no-emit-package torch)
[ -z "${UPGRADE:-}" ] && [ -f requirements.txt ] && compile+=(--constraints requirements.txt)
{
  echo "# Made by \`make lock\` from requirements/*.in: every version of a CPU machine, without torch (scripts/pick_torch.sh)."
  "${compile[@]}" requirements/*.in | sed -e '/^ *#  *-c requirements.txt$/d' -e 's/^    # via -c requirements.txt$//'
} >"$new"

if grep -nE '^nvidia-|^cuda-|^torch==|://|file:|--index|--find-links|/tmp/' "$new"; then
  echo "lock: these lines must not be in requirements.txt (CUDA, torch, a path or a host)" >&2
  exit 1
fi
export MACOSX_DEPLOYMENT_TARGET=14.0  # the oldest macOS with wheels of everything
for target in "3.11 linux" "3.12 linux" "3.13 linux" "3.11 aarch64-apple-darwin" "3.12 aarch64-apple-darwin"; do
  read -r python platform <<<"$target"
  "$uv" pip compile --quiet --no-header --python-version "$python" --python-platform "$platform" \
    --override requirements/overrides.txt --constraints "$new" requirements/*.in -o /dev/null >/dev/null ||
    { echo "lock: does not resolve for Python $python on $platform" >&2; exit 1; }
done
cat "$new" >requirements.txt
echo "lock: $(grep -c == requirements.txt) pins in requirements.txt, resolved for Python 3.11 to 3.13 on Linux and 3.11, 3.12 on macOS 14 (Apple silicon)"
