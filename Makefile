# make reproduce   the environment, then the whole pipeline (up to date in seconds when nothing changed)
# make ablations   more variants and seeds, on every study under `ablations`
# make test        the tests
# make lint        formatting, common mistakes, and the types of the method
# make lab         JupyterLab on the notebooks
# make clean       remove what the pipeline made, but not DVC's cache and the reports in git
PYTHON = $(firstword $(foreach p,python3.11 python3.12 python3.13 python3.14 python3 python,$(if $(shell $(p) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo ok),$(p))))
# Old makes hide the exported PATH from commands that they start without a shell; naming one makes them use it.
SHELL := /bin/bash
# An active environment with the packages is used as it is, unless PYTHON= names an interpreter for one in .venv.
ACTIVE := $(filter-out $(CURDIR)/.venv,$(or $(VIRTUAL_ENV),$(CONDA_PREFIX)))
ifneq ($(origin PYTHON),command line)
USED := $(if $(ACTIVE),$(shell python -c 'import dvc, papermill, torch' 2>/dev/null && echo $(ACTIVE)))
endif
ifeq ($(USED),)
INSTALLED := .venv/installed
export PATH := $(CURDIR)/.venv/bin:$(PATH)
ifeq ($(origin PYTHON),command line)
ifneq ($(PYTHON),$(shell cat $(INSTALLED) 2>/dev/null))
.PHONY: $(INSTALLED)
CLEAR := --clear
endif
endif
else
export PYTHONPATH := $(CURDIR)
endif

.PHONY: reproduce ablations test lint lab docs lock clean

reproduce: $(INSTALLED)
	@python -m aurl.pipeline.reproduce

ablations: $(INSTALLED)
	@python -m aurl.pipeline.studies

test: $(INSTALLED)
	python -m pytest

lint: $(INSTALLED)
	ruff format --check
	ruff check
	mypy

lab: $(INSTALLED)
	jupyter lab --LabApp.default_url=/lab/tree/notebooks

docs: $(INSTALLED)  # fill the documents' tables, before they are committed
	python docs/tables.py
	python .ci/compare.py --record

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 to 3.14 is needed and none was found: install one, or name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(CLEAR) .venv
	python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo $(PYTHON) > $@

lock:  # after a change of pyproject.toml; needs uv
	uv pip compile pyproject.toml --extra cluster --extra lab --extra test --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements.lock

clean:
	git clean -fdXq build runs data/verbs data/manifest.csv data/class_vectors.npz
