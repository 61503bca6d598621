# make run | test | check | bench: each makes its own virtual environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find cpp python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc')

.PHONY: run test check format bench clean

# The package with everything its tests and figures need; built anew when a source is newer.
$(VENV)/.installed: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet '.[test]'
	touch $@

run: $(VENV)/.installed
	$(BIN)/asymfast paper simulated --quick

test: $(VENV)/.installed
	$(BIN)/python -m pytest

$(VENV)/.tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet ruff mypy clang-format
	touch $@

check: $(VENV)/.tools test
	$(BIN)/ruff check python tests bench
	$(BIN)/ruff format --check python tests bench
	$(BIN)/mypy
	find cpp -name '*.[ch]pp' | xargs $(BIN)/clang-format --dry-run --Werror

format: $(VENV)/.tools
	$(BIN)/ruff format python tests bench
	find cpp -name '*.[ch]pp' | xargs $(BIN)/clang-format -i

bench: $(VENV)/.installed
	$(BIN)/python bench/descent.py

clean:
	rm -rf $(VENV) build
