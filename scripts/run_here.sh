#!/usr/bin/env bash
# Runs lessons from an offline kit, on a host that has Python and torch but no internet:
#   bash run_here.sh FOLDER [--profile auto] [--jobs 2] [--out OUT] [--gpu-jobs=1 or another option of the runner] [DAY …]
# FOLDER is made outside any repository and keeps the pieces, so that they can be brought
# a few at a time. The executed copies come back as OUT/executed.tar.gz.000, … (OUT: $OUT,
# else FOLDER/out); in the repository: cat executed.tar.gz.* | tar xz -C .
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "run_here: $*" >&2; exit 2; }

[ $# -ge 1 ] && [ "${1#-}" = "$1" ] || fail "first say the folder to unpack to: bash run_here.sh FOLDER"
mkdir -p "$1/pieces" || fail "cannot make $1: name a folder that can be written"
folder=$(cd "$1" && pwd); shift
profile=auto jobs=2 out=${OUT:-$folder/out} days=() more=()
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2; shift 2 ;;
    --jobs) jobs=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --*) more+=("$1"); shift ;;
    *) days+=("$1"); shift ;;
  esac
done
. "$here/kit.env"
[ ${#days[@]} -gt 0 ] || read -ra days <<<"$KIT_DAYS"
case $(git -C "$folder" rev-parse --is-inside-work-tree 2>/dev/null || true) in
  true) fail "$folder lies in a repository: name a folder outside" ;;
esac

python=${PYTHON:-python3}
have=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "no Python called $python: say PYTHON=…"
[ "$have" = "$KIT_PYTHON" ] || fail "this kit holds wheels for Python $KIT_PYTHON, $python is $have: say PYTHON=…, or make the kit with --python $have"
"$python" -W ignore -c 'import torch' || fail "$python has no torch, which this kit does not bring: install it, or say PYTHON=…"

# Pieces: keep what came now, go on once all are here and right. A kit of another day starts afresh.
cmp -s "$here/SHA256SUMS" "$folder/SHA256SUMS" || { rm -rf "$folder"/{pieces,src,wheels,cache,venv,ready}; mkdir "$folder/pieces"; }
cp "$here/SHA256SUMS" "$folder/SHA256SUMS"
for piece in "$here"/kit.tar.*; do
  [ -e "$piece" ] && [ ! -e "$folder/ready" ] && cp "$piece" "$folder/pieces/"
done
if [ ! -e "$folder/ready" ]; then
  (cd "$folder/pieces" && sha256sum --check --quiet "$folder/SHA256SUMS" 2>&1) >"$folder/check.log" || {
    sed -n 's/^\(kit[^:]*\): FAILED.*/run_here: \1 is missing or damaged/p' "$folder/check.log" >&2
    echo "run_here: bring these pieces and run again; the others are kept in $folder/pieces" >&2
    exit 3
  }
  cat "$folder"/pieces/kit.tar.* | tar x -C "$folder"
  # An environment of its own that sees the host's packages after ours; pip comes as a wheel.
  "$python" -m venv --clear --without-pip "$folder/venv"
  "$python" - "$folder/venv" <<'PY'
import glob, site, sys

home = glob.glob(sys.argv[1] + "/lib/python*/site-packages")[0]
with open(home + "/host.pth", "w") as file:
    for path in site.getsitepackages() + [site.getusersitepackages()]:
        file.write(f"import site; site.addsitedir({path!r})\n")
PY
  pip=$(echo "$folder"/wheels/pip-*.whl)
  PYTHONPATH="$pip" "$folder/venv/bin/python" -m pip install --quiet --no-index --no-deps --ignore-installed \
    --disable-pip-version-check "$folder"/wheels/*.whl
  rm -rf "$folder/pieces" "$folder/wheels"
  touch "$folder/ready"
fi

cd "$folder/src"
export LLM90_CACHE="$folder/cache" LLM90_OFFLINE=1 LLM90_COMMIT="$KIT_COMMIT" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
export PATH="$folder/venv/bin:$PATH" JUPYTER_DATA_DIR="$folder/jupyter" JUPYTER_PLATFORM_DIRS=1
mkdir -p "$LLM90_CACHE" "$out"
rm -rf _build/executed _build/failed
code=0
python -m helpers.runner run "${days[@]}" --profile "$profile" --jobs "$jobs" "${more[@]}" 2>&1 | tee "$folder/run.log" || code=$?
mkdir -p _build/executed && cp "$folder/run.log" _build/executed/
rm -f "$out"/executed.tar.gz.*
tar cz _build/executed $([ -d _build/failed ] && echo _build/failed) | split -b 16M -d -a 3 - "$out/executed.tar.gz."
echo "run_here: executed copies in $out ($(ls "$out" | tr '\n' ' ')), the runner's exit code was $code"
exit "$code"
