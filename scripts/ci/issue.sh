#!/usr/bin/env bash
# One open issue for what is broken: made, extended, or closed when all is well again.
# usage: issue.sh LABEL TITLE BODY_FILE    (an empty file: all is well)    needs gh and GH_TOKEN
set -euo pipefail
label=$1 title=$2 body=$3
open=$(gh issue list --label "$label" --state open --limit 1 --json number --jq '.[0].number // empty')
if [ -s "$body" ]; then
  gh label create "$label" --description "found by a scheduled run" --force >/dev/null
  { cat "$body"; printf '\n\nRun: %s\n' "${RUN_URL:-unknown}"; } >"$body.full"
  if [ -n "$open" ]; then
    gh issue comment "$open" --body-file "$body.full"
  else
    gh issue create --title "$title" --label "$label" --body-file "$body.full"
  fi
elif [ -n "$open" ]; then
  gh issue close "$open" --comment "All is well again: ${RUN_URL:-unknown}"
fi
