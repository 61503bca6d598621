# make run | test | test-all | develop | mutants | cpp-test | lint | tidy | check | sanitize | compilers |
# fuzz | soak | docs | bench: each makes a virtual environment in .venv (develop: .venv-develop) first.
# make test-cuda bench-cuda: the same with CUDA, on a machine with a GPU and nvcc; in .venv-cuda, or by CUDA_PYTHON.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find cpp python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc')

.PHONY: run test test-all develop mutants cpp-test lint tidy check sanitize compilers fuzz soak format docs bench test-cuda bench-cuda clean

# The package with everything its tests and figures need; built anew when a source is newer.
$(VENV)/.installed: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet '.[test]' -Ccmake.define.ASYMFAST_EMULATED=ON
	touch $@

run: $(VENV)/.installed
	$(BIN)/asymfast paper simulated

# Two processes with one thread each, unless a test asks for more.
test test-all: export OMP_NUM_THREADS = 1
test test-all: export OPENBLAS_NUM_THREADS = 1
# Teams of more threads than cores wait asleep.
test test-all: export OMP_WAIT_POLICY = passive
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadgroup

# Under three minutes on two cores. Notes which tests it skips.
test: $(VENV)/.installed
	$(PYTEST) --durations=25 --note-left-out=$(VENV)/.tested

# `make test`, where it has not passed since the last change, and then what it leaves out: the tests marked
# slow, and those of PyTorch, JAX, dask, MPI and the documentation. A skip for want of a package is a failure.
test-all: export SCIPY_ARRAY_API = 1
# PACKAGES= installs none and allows such skips.
PACKAGES = $(VENV)/.test-all
test-all: $(VENV)/.tested $(PACKAGES)
	$(PYTEST) --left-out=$(VENV)/.tested $(if $(PACKAGES),--no-skips)

$(VENV)/.tested: $(VENV)/.installed $(shell find tests -type f -not -name '*.pyc')
	$(MAKE) test

# The version that the tests have been run with; a range may bring several GB of CUDA libraries.
TORCH ?= torch==2.13.0
$(VENV)/.test-all: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet 'asymfast[test-all]' $(TORCH)
	touch $@

# The extension for this processor alone, built anew only where sources have changed, beside the Python files.
DEVELOP := .venv-develop
develop: export CMAKE_PREFIX_PATH = $(shell $(DEVELOP)/bin/python -c \
  'import sysconfig as s; p = s.get_path("purelib"); print(f"{p}:{p}/pybind11")' 2> /dev/null)
develop: $(DEVELOP)/.installed
	$(DEVELOP)/bin/cmake -S . -B build/develop -G Ninja -DCMAKE_BUILD_TYPE=Release -DASYMFAST_NATIVE=ON \
	  -DASYMFAST_MULTI_ISA=OFF -DASYMFAST_BUILD_PYTHON=ON -DPython_EXECUTABLE=$(abspath $(DEVELOP)/bin/python) \
	  -DCMAKE_MAKE_PROGRAM=$(abspath $(DEVELOP)/bin/ninja) > build/develop.log
	$(DEVELOP)/bin/cmake --build build/develop
	ln -sf $(CURDIR)/build/develop/_core*.so python/asymfast/
	mkdir -p build/develop/lib  # where the installed package has them: for the tests of the C interface
	ln -sf $(CURDIR)/build/develop/libasymfast.* build/develop/lib/

# Of the package itself only the path to its Python files.
$(DEVELOP)/.installed: pyproject.toml
	test -x $(DEVELOP)/bin/python || $(PYTHON) -m venv $(DEVELOP)
	mkdir -p build
	$(DEVELOP)/bin/python -c 'import tomllib; t = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  extras = t["optional-dependencies"]; names = ("test", "plot", "data", "sklearn", "theory"); \
	  print(*t["dependencies"], *(p for n in names for p in extras[n] if "asymfast" not in p), sep="\n")' \
	  > build/develop-requirements.txt
	$(DEVELOP)/bin/python -m pip install --quiet -r build/develop-requirements.txt cmake ninja cmeel-eigen pybind11
	echo $(CURDIR)/python > $$($(DEVELOP)/bin/python -c 'import sysconfig as s; print(s.get_path("purelib"))')/asymfast.pth
	touch $@

# Wrong lines, one at a time in a copy, each of which some test must notice; half an hour.
mutants: $(VENV)/.installed $(VENV)/.tools
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python tests/mutants.py

$(VENV)/.tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet ruff mypy clang-format clang-tidy numpy cmake ninja cmeel-eigen pybind11
	touch $@

PURELIB = $(shell $(BIN)/python -c 'import sysconfig as s; print(s.get_path("purelib"))')

CONFIGURE = $(BIN)/cmake -DPython_EXECUTABLE=$(abspath $(BIN)/python)

# The C++ library and the extension, warnings being errors, and the tests in C++.
cpp-test fuzz tidy sanitize-% compiler-%: export CMAKE_PREFIX_PATH = $(PURELIB):$(PURELIB)/pybind11
cpp-test: $(VENV)/.tools
	$(CONFIGURE) --preset dev
	$(BIN)/cmake --build --preset dev --parallel 2
	$(BIN)/ctest --preset dev

# What takes seconds and no build.
lint: $(VENV)/.tools
	$(BIN)/ruff check python tests bench examples .github docs/conf.py
	$(BIN)/ruff format --check python tests bench examples .github docs/conf.py
	$(BIN)/mypy
	find cpp tests bench examples -name '*.[ch]pp' -o -name '*.[ch]' | xargs $(BIN)/clang-format --dry-run --Werror

# Static analysis; .clang-tidy says of what. It is Clang's, and lacks the compiler's header of OpenMP.
TIDY := $(BIN)/clang-tidy -p build/tidy --quiet --extra-arg=-Wno-unknown-warning-option \
  --extra-arg=-isystem$(CURDIR)/build/tidy/openmp --extra-arg=-I$(CURDIR)/cpp/src
tidy: $(VENV)/.tools
	$(CONFIGURE) --preset tidy
	mkdir -p build/tidy/openmp
	cp "$$(echo '#include <omp.h>' | c++ -fopenmp -E -x c++ - | sed -n 's|.*"\(/.*/omp.h\)".*|\1|p' | head -1)" build/tidy/openmp/
	find cpp/src cpp/bindings tests/cpp -name '*.cpp' | xargs -n 1 -P 2 $(TIDY)

check: lint test

# Address, undefined-behaviour and thread sanitizer: the C++ tests and a part of the Python ones. The last
# needs clang and LLVM's OpenMP, which tells it of its barriers (Debian: clang libomp-dev).
sanitize: sanitize-asan sanitize-ubsan sanitize-tsan
sanitize-%: $(VENV)/.installed $(VENV)/.tools
	$(CONFIGURE) --preset $*
	$(BIN)/cmake --build --preset $* --parallel 2
	$(BIN)/ctest --preset $*
	$(BIN)/python tests/sanitized.py $*

# A resumed run has the bits of an uninterrupted one by any compiler: GCC at -O1 and -O3, both with fused
# products, and Clang.
compilers: compiler-gcc-O1 compiler-gcc-O3 compiler-clang-O3
compiler-%: $(VENV)/.installed $(VENV)/.tools
	$(CONFIGURE) --preset $*
	$(BIN)/cmake --build --preset $* --parallel 2
	$(BIN)/python tests/sanitized.py $* tests/test_checkpoints.py

# Inputs that no test has. First a million altered states of the trainers of the first layer and of sgd, in C++,
# whatever they take; then SECONDS= sets how long. The package atheris, where there is one for this Python, chooses
# more of them by what code they reach.
fuzz: $(VENV)/.installed $(VENV)/.tools
	$(CONFIGURE) --preset dev
	$(BIN)/cmake --build --preset dev --parallel 2 --target asymfast_fuzz_states
	build/dev/asymfast_fuzz_states 1000000
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

# CUDA_PYTHON=python3: without network, by what that Python has (numpy, pytest, hypothesis, scikit-build-core, pybind11;
# Eigen where CMake looks for it), into a folder of its own. Else in .venv-cuda, with all that is needed.
ifdef CUDA_PYTHON
CUDA_SITE := $(CURDIR)/build/cuda-site
CUDA_RUN := $(CUDA_PYTHON)
$(CUDA_SITE)/.installed test-cuda bench-cuda: export PYTHONPATH := $(CUDA_SITE)$(PYTHONPATH:%=:%)
CUDA_INSTALL := $(CUDA_PYTHON) -m pip install --quiet --no-index --no-build-isolation --no-deps --upgrade \
  --target $(CUDA_SITE) .
else
CUDA_SITE := .venv-cuda
CUDA_RUN := $(CUDA_SITE)/bin/python
CUDA_INSTALL := $(PYTHON) -m venv $(CUDA_SITE) && $(CUDA_RUN) -m pip install --quiet '.[test]'
endif
$(CUDA_SITE)/.installed: $(SOURCES)
	$(CUDA_INSTALL) -Ccmake.define.ASYMFAST_CUDA=ON
	$(CUDA_RUN) -c 'import asymfast as af; m = af.cuda.what_is_missing(); exit(m and f"cuda needs {m}")'
	touch $@

# On the device: the tests, then some of them under compute-sanitizer, which is slow.
SANITIZED := tests/test_device.py -k "cuda and not thousand and not past and not own_leaps"
test-cuda: $(CUDA_SITE)/.installed
	$(CUDA_RUN) -m pytest --runslow tests/test_device.py tests/test_device_arrays.py tests/test_cuda_build.py
	compute-sanitizer --tool memcheck --error-exitcode 1 $(CUDA_RUN) -m pytest $(SANITIZED)
	compute-sanitizer --tool racecheck --error-exitcode 1 $(CUDA_RUN) -m pytest $(SANITIZED)

# PyTorch and JAX take part where that Python has them.
bench-cuda: $(CUDA_SITE)/.installed
	$(CUDA_RUN) bench/peers.py --device cuda --workloads W1,W2,W2b,W3,W4a,W4b,W5,W7,W8,W9 \
	  --json bench/results.json
	$(CUDA_RUN) bench/report.py bench/results.json

clean:
	rm -rf $(VENV) .venv-cuda $(DEVELOP) build
