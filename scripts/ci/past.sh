#!/usr/bin/env bash
# Go on from the published history: past.sh BASE_URL [FOLDER of executed copies]. No history yet (404)
# starts one; any other failure stops, because an empty history must never replace a long one.
set -euo pipefail
base=${1%/} add=${2:-} python=${PYTHON:-.venv/bin/python}
mkdir -p _build
given=()
[ -n "$add" ] && given+=(--add "$add")
if [ -n "$base" ]; then
  code=$(curl --silent --show-error --location --max-time 60 --retry 3 --output _build/published.json --write-out '%{http_code}' "$base/history.json")
  case $code in
    200) given+=(--merge _build/published.json) ;;
    404) echo "past: no history at $base yet" ;;
    *) echo "past: $base/history.json answers $code, so nothing is published over it" >&2; exit 1 ;;
  esac
fi
exec "$python" scripts/history.py "${given[@]}"
