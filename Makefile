# make demo : depth of the sample photos, from a bare clone. make test : the tests. Both need Python >= 3.10 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-demo
	$(BIN)/latentdepth demo --out demo --overwrite

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest

# The stamps make a second run quick: pip runs again only when a dependency changed.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "latentdepth needs Python 3.10 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-demo: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing latentdepth and what it needs (a few minutes, once) ..."
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing latentdepth and what its tests need (a few minutes, once) ..."
	$(PIP) --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .import_linter_cache
