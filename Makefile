# `make` lists the targets. VENV= names another environment, PYTHON= the interpreter to build one with, and ARGS= more
# arguments for pytest or the demo: make test JOBS=8 ARGS="-k layers". How the environment is built: requirements/install.sh.
VENV ?= .venv
JOBS ?= 2
PY = $(VENV)/bin/python
# One stamp per checkout and place: an environment shared by two checkouts holds only the last one's package.
STAMP = $(VENV)/.pointrend_ext-$(shell pwd -P | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help env demo test test-all test-oldest env-oldest gpu lint

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

env: $(STAMP) ## build .venv with the tested packages, or bring it up to date

demo: $(STAMP) ## toy data, mask heads of PointRend and Mask R-CNN, AP, pictures and a report; no GPU, no download
	$(PY) tools/toy_demo.py $(ARGS)

test: $(STAMP) ## the test suite without its slow and GPU tests, in JOBS processes of one thread
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow and not gpu" -n $(JOBS) --dist loadfile --max-worker-restart 0 $(ARGS)

test-all: $(STAMP) ## every test; those that need what is absent are skipped
	$(PY) -m pytest $(ARGS)

env-oldest: ## build .venv-oldest with the oldest versions that are supported
	@$(MAKE) --no-print-directory env OLDEST=1 VENV=.venv-oldest

test-oldest: ## the test suite with those
	@$(MAKE) --no-print-directory test OLDEST=1 VENV=.venv-oldest

gpu: $(STAMP) ## what only a GPU can tell, in 8 minutes; results one by one in output/gpu
	$(PY) -m benchmarks.gpu $(ARGS)

lint: $(STAMP) ## ruff (lint and format) and mypy, changing nothing
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

$(STAMP): $(wildcard requirements/*) setup.py
	@VENV="$(VENV)" PYTHON="$(PYTHON)" OLDEST="$(OLDEST)" bash requirements/install.sh
	@touch $@
