# make run | test | cpp-test | lint | tidy | check | sanitize | fuzz | soak | docs | bench: each makes a
# virtual environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find cpp python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc')

.PHONY: run test cpp-test lint tidy check sanitize fuzz soak format docs bench clean

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
	$(BIN)/python -m pip install --quiet ruff mypy clang-format clang-tidy numpy cmake ninja cmeel-eigen pybind11
	touch $@

PURELIB = $(shell $(BIN)/python -c 'import sysconfig as s; print(s.get_path("purelib"))')

# The C++ library by itself, warnings being errors, and its tests.
cpp-test tidy sanitize-%: export CMAKE_PREFIX_PATH = $(PURELIB):$(PURELIB)/pybind11
cpp-test: $(VENV)/.tools
	$(BIN)/cmake --preset dev
	$(BIN)/cmake --build --preset dev --parallel 2
	$(BIN)/ctest --preset dev

# What takes seconds and no build.
lint: $(VENV)/.tools
	$(BIN)/ruff check python tests bench examples .github docs/conf.py
	$(BIN)/ruff format --check python tests bench examples .github docs/conf.py
	$(BIN)/mypy
	find cpp tests bench examples -name '*.[ch]pp' -o -name '*.[ch]' | xargs $(BIN)/clang-format --dry-run --Werror

# Static analysis; .clang-tidy says of what.
tidy: $(VENV)/.tools
	$(BIN)/cmake --preset dev -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
	find cpp/src cpp/bindings tests/cpp -name '*.cpp' | xargs -n 1 -P 2 $(BIN)/clang-tidy -p build/dev --quiet

check: lint test

# Address, undefined-behaviour and thread sanitizer: the C++ tests and a part of the Python ones. The last
# needs clang and LLVM's OpenMP, which tells it of its barriers (Debian: clang libomp-dev).
sanitize: sanitize-asan sanitize-ubsan sanitize-tsan
sanitize-%: $(VENV)/.installed $(VENV)/.tools
	$(BIN)/cmake --preset $* -DPython_EXECUTABLE=$(abspath $(BIN)/python)
	$(BIN)/cmake --build --preset $* --parallel 2
	$(BIN)/ctest --preset $*
	$(BIN)/python tests/sanitized.py $*

# Inputs that no test has; SECONDS= sets how long. The package atheris, where there is one for this Python,
# chooses more of them by what code they reach.
fuzz: $(VENV)/.installed
	$(BIN)/python tests/fuzz.py --seconds $(or $(SECONDS),900)
	-$(BIN)/python -m pip install --quiet atheris
	! $(BIN)/python -c 'import atheris' || $(BIN)/python tests/fuzz.py --coverage --seconds $(or $(SECONDS),900)

# Mixed calls in one process for half an hour, or SECONDS=: flat memory, the same bits.
soak: $(VENV)/.installed
	$(BIN)/python tests/soak.py --seconds $(or $(SECONDS),1800)

format: $(VENV)/.tools
	$(BIN)/ruff format python tests bench examples .github docs/conf.py
	find cpp tests bench examples -name '*.[ch]pp' -o -name '*.[ch]' | xargs $(BIN)/clang-format -i

# The site in docs/_build/html; its notebooks are run, and every warning is an error.
docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet 'asymfast[docs]'  # what is installed, with the extra
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed
	$(BIN)/python bench/peers.py --json bench/results.json
	$(BIN)/python bench/report.py bench/results.json

clean:
	rm -rf $(VENV) build
