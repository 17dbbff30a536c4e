#!/usr/bin/env bash
# Put the Colab copies on the branch `colab` of this repository, as one commit without history.
# Without an address in _config.yml there are none, and nothing is done. Needs GH_TOKEN, GITHUB_REPOSITORY, GITHUB_SHA.
set -euo pipefail
if grep -q '^  url: ""' _config.yml; then
  echo "push_colab: _config.yml names no address (make repo URL=…), so there are no copies"
  exit 0
fi
"${PYTHON:-python}" scripts/colab.py --ref "$GITHUB_SHA"
cd _build/colab
rm -rf .git
git init --quiet --initial-branch=colab
git add --all
git -c user.name=nightly -c user.email=nightly@users.noreply.github.com commit --quiet -m "Lessons for Colab, from $GITHUB_SHA"
git push --quiet --force "https://x-access-token:$GH_TOKEN@github.com/$GITHUB_REPOSITORY.git" colab
echo "push_colab: branch colab holds $(find . -name '*.ipynb' | wc -l) lessons"
