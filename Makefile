# Two commands are enough on a fresh machine with Python 3.11+ and git: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KB := demo-kb
LOOP := demo-loop

.PHONY: demo demo-loop test check format docs clean

$(VENV)/pyvenv.cfg:
	$(PYTHON) -c 'import sys; sys.exit("prlore needs Python 3.11 or newer: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

# the embedded knowledge base, and three questions of which the last has no answer in it
demo: $(VENV)/.installed
	rm -rf $(KB)
	$(BIN)/prlore demo --kb $(KB)

# a whole campaign on the fake engine: gap, profile, cards, a person's patch, a backport, options, report, verify
demo-loop: $(VENV)/.installed
	rm -rf $(LOOP)
	$(BIN)/prlore loop demo --into $(LOOP)
	$(BIN)/prlore loop verify $(LOOP)/campaign

test: $(VENV)/.installed-dev check
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/prlore starter check

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# the reference pages, which a test holds against the code
docs: $(VENV)/.installed-dev
	$(BIN)/prlore reference --out docs/reference

clean:
	rm -rf $(VENV) $(KB) $(LOOP)
