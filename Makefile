# Every target runs from a fresh clone: `setup` is a prerequisite of all that need it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
RUN := $(PY) -m helpers.runner
READY := .venv/.ready

DAY ?=              # lessons for run/accept: 54, "27 33", 27-30, phase2, changed, all
PROFILE ?= auto     # cpu, gpu, gpu_large, auto
JOBS ?= 2           # lessons at once
BUDGET ?= 45        # minutes of lesson runs in `make test`
KIT ?= _build/kit   # where `make bundle` puts the offline kit

export OMP_NUM_THREADS ?= 1

.PHONY: help setup book run test unit lint lab serve accept status bench bundle nightly lock taught ledger clean repo colab alone drift

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'
	@echo; echo "  DAY=54  PROFILE=cpu|gpu|gpu_large|auto  JOBS=2  BUDGET=45 (minutes)  KIT=_build/kit"

$(READY): requirements.txt requirements-models.txt requirements-triton.txt scripts/setup.sh scripts/pick_torch.sh pyproject.toml
	@bash scripts/setup.sh
	@touch $@

setup: $(READY)  ## virtual environments, models and data (resumes where it stopped)

book: $(READY)  ## the HTML book from the committed outputs, in _build/html
	@$(PY) scripts/history.py
	@$(PY) scripts/build_book.py

serve: book  ## the book on http://127.0.0.1:8000
	@$(PY) -m http.server 8000 --bind 127.0.0.1 --directory _build/html

lab: $(READY)  ## JupyterLab on the notebooks
	@.venv/bin/jupyter lab --notebook-dir=.

run: $(READY)  ## execute lessons into _build/executed (DAY=54, default: changed)
	@$(RUN) run $(or $(DAY),changed) --profile $(PROFILE) --jobs $(JOBS)

accept: $(READY)  ## move good executed copies into outputs/
	@$(RUN) accept $(or $(DAY),all)

status: $(READY)  ## every lesson: device, time, date, state of its output
	@$(RUN) status

lint: $(READY)  ## code, types and the form of the lessons
	@.venv/bin/ruff check helpers scripts tests book/_ext
	@.venv/bin/mypy
	@$(RUN) lint
	@$(RUN) taught --check

unit: $(READY)  ## unit tests, without lessons and browser
	@$(PY) -m pytest tests --ignore tests/book

test: lint unit  ## lint, unit tests, freshness, lessons (BUDGET minutes), book, browser
	@$(RUN) status --check
	@$(RUN) run all --profile $(PROFILE) --jobs $(JOBS) --budget $(BUDGET)
	@$(PY) scripts/history.py
	@$(PY) scripts/build_book.py
	@$(PY) -m pytest tests/book

nightly: $(READY)  ## all lessons, no time box, then ledger and book
	@$(RUN) run all --profile $(PROFILE) --jobs $(JOBS) --force
	@$(RUN) ledger
	@$(PY) scripts/history.py
	@$(PY) scripts/build_book.py

ledger: $(READY)  ## all claims, exercises and timings as _build/ledger.json
	@$(RUN) ledger

taught: $(READY)  ## rewrite helpers/taught from the cells tagged so
	@$(RUN) taught

bench: $(READY)  ## the runner against a plain papermill loop, book build times
	@$(PY) scripts/bench.py

bundle: $(READY)  ## an offline kit for a GPU host without internet (DAY=…, KIT=…)
	@$(PY) scripts/bundle.py $(or $(DAY),all) --out $(KIT)

repo:  ## name the repository's address: URL=https://github.com/OWNER/NAME (turns on Colab, Binder, edit links)
	@python3 scripts/repo.py "$(URL)"

colab: $(READY)  ## copies of the lessons that begin with Colab's install cell, in _build/colab
	@$(PY) scripts/colab.py

alone: $(READY)  ## a dozen lessons in a clean environment, without this repository (DAY=… for others)
	@$(PY) scripts/alone.py $(DAY)

drift: $(READY)  ## a dozen lessons with the newest versions of everything: what would break
	@$(PY) scripts/drift.py

lock:  ## recompile requirements.txt from requirements/*.in
	@bash scripts/lock.sh

clean:  ## remove what was built; environments, caches and outputs stay
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache
