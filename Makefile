# make run | test | cpp-test | lint | check | docs | bench: each makes a virtual environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find cpp python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc')

.PHONY: run test cpp-test lint check format docs bench clean

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
	$(BIN)/python -m pip install --quiet ruff mypy clang-format numpy cmake ninja cmeel-eigen
	touch $@

# The C++ library by itself, warnings being errors, and its tests.
cpp-test: export CMAKE_PREFIX_PATH = $(shell $(BIN)/python -c 'import sysconfig as s; print(s.get_path("purelib"))')
cpp-test: $(VENV)/.tools
	$(BIN)/cmake --preset dev
	$(BIN)/cmake --build --preset dev --parallel 2
	$(BIN)/ctest --preset dev

# What takes seconds and no build.
lint: $(VENV)/.tools
	$(BIN)/ruff check python tests bench docs/conf.py
	$(BIN)/ruff format --check python tests bench docs/conf.py
	$(BIN)/mypy
	find cpp tests bench -name '*.[ch]pp' | xargs $(BIN)/clang-format --dry-run --Werror

check: lint test

format: $(VENV)/.tools
	$(BIN)/ruff format python tests bench docs/conf.py
	find cpp tests bench -name '*.[ch]pp' | xargs $(BIN)/clang-format -i

# The site in docs/_build/html; its notebooks are run, and every warning is an error.
docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed
	$(BIN)/python bench/peers.py --json bench/results.json
	$(BIN)/python bench/report.py bench/results.json

clean:
	rm -rf $(VENV) build
