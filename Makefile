# make demo | test | oracles | lint | format | docs | bench | fuzz | sanitize | clean
#
#   PYTHON=python3.12        the interpreter that the environment is made with
#   WEIGHTS=FILE             weights for the demo (.safetensors, or .ckpt, which installs torch)
#   PIP_FLAGS='...'          more options for pip install (an index of CPU builds, for example)
#   ORACLE_PYTHON=PATH      a Python 3.10 for OpenFHE; default: one from PATH or pyenv
#   PYTEST_FLAGS='...'       more options for pytest, such as -x
#   FHE_FACE_LONG=1          long trials: more kills and seconds, a full batch at full size (an hour)
#   FUZZ_SECONDS=230         how long all parsers are fuzzed together; FUZZ_TARGETS='...': only some

PYTHON ?= python3
VENV ?= .venv
WEIGHTS ?=
ORACLE_PYTHON ?=
PIP_FLAGS ?=
PYTEST_FLAGS ?=
FUZZ_SECONDS ?= 230
FUZZ_TARGETS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install $(PIP_FLAGS) --no-build-isolation

# Repeats build-system.requires of pyproject.toml: a build inside the environment is incremental.
BUILD_REQUIRES := 'scikit-build-core>=1.0' 'pybind11>=2.13' cmake ninja

BUILD_INPUTS := pyproject.toml CMakeLists.txt \
    $(shell find cpp -name '*.cpp' -o -name '*.hpp' -o -name '*.h' 2>/dev/null)
CPP_FILES = $(shell find cpp -name '*.cpp' -o -name '*.hpp' -o -name '*.h' 2>/dev/null)

DEMO_NEEDS := $(if $(filter-out %.safetensors,$(WEIGHTS)),$(VENV)/.torch,$(VENV)/.built)

# Repeats the extra 'openfhe' of pyproject.toml; the oracle's process needs numpy beside it.
OPENFHE_REQUIRES := numpy 'openfhe==1.6.1.0.22.4'
OPENFHE_VENV := $(VENV)-openfhe
OPENFHE_PYTHON := $(abspath $(OPENFHE_VENV))/bin/python
# Side by side, a process more than cores, as some only wait; the others use all cores and most of
# the memory themselves, or measure time.
BESIDE := not full and not alone
WORKERS := $(shell expr $$(nproc) + 1)
WITH_OPENFHE = if [ -x '$(OPENFHE_PYTHON)' ]; then \
    export FHE_FACE_OPENFHE_PYTHON='$(OPENFHE_PYTHON)'; fi;

.PHONY: demo test sanitized oracles lint format docs bench fuzz sanitize clean
.DELETE_ON_ERROR:

demo: $(DEMO_NEEDS)
	$(BIN)/fhe-face demo $(if $(WEIGHTS),--weights '$(WEIGHTS)')

test: $(VENV)/.oracles
	@$(MAKE) --no-print-directory --output-sync=target -j 3 lint sanitized
	@$(WITH_OPENFHE) PIP_FLAGS='$(PIP_FLAGS)' $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 \
	    --dist loadfile --no-loadscope-reorder -m '$(BESIDE)' --durations=25 $(PYTEST_FLAGS)
	@$(WITH_OPENFHE) PIP_FLAGS='$(PIP_FLAGS)' $(BIN)/python -m pytest -m 'not ($(BESIDE))' --durations=25 \
	    $(PYTEST_FLAGS)

# Both beside each other, at small sizes, where the compiler and the machine have them.
sanitized: sanitized-address sanitized-thread

sanitized-%: $(VENV)/.dev
	@if sh sanitize/check.sh $*; then $(MAKE) --no-print-directory sanitize-$* SANITIZED=small; \
	    else echo '$* sanitizer: left out' >&2; fi

# Independent implementations against ours (docs/oracles.md). What cannot be installed is named, and
# its tests are skipped with the reason.
oracles: $(VENV)/.oracles
	@$(WITH_OPENFHE) $(BIN)/python -m pytest tests/oracles $(PYTEST_FLAGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP_FILES)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP_FILES)

# The API reference, in build/api; a test builds it too.
docs: $(VENV)/.dev
	$(BIN)/python docs/make_api.py build/api

bench: $(VENV)/.dev
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-columns=min,median,rounds \
		--benchmark-name=short $(PYTEST_FLAGS)

fuzz: $(VENV)/.fuzz
	$(BIN)/python -m fuzz.run --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# Whoever needs one of the two: make sanitize SANITIZERS=thread
SANITIZERS ?= address thread
# all or small: `make test` leaves out the tests of large rings.
SANITIZED ?= all
sanitize: $(SANITIZERS:%=sanitize-%)

sanitize-%: $(VENV)/.dev
	$(BIN)/cmake -G Ninja -S . -B build/sanitize/$* -DFHE_FACE_SANITIZER=$* -DFHE_FACE_WERROR=ON \
	    -DPython_EXECUTABLE=$(abspath $(BIN))/python \
	    -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	    -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) > /dev/null
	$(BIN)/cmake --build build/sanitize/$*
	sh sanitize/run.sh $* build/sanitize/$* $(BIN)/python $(SANITIZED)

clean:
	rm -rf $(VENV) $(OPENFHE_VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: what is installed in the environment. Python sources are used in place (editable).
$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	$(PYTHON) -m venv --clear $(VENV) || \
	    { echo "$(PYTHON) cannot make a virtual environment (Debian: install python3-venv)" >&2; exit 1; }
	$(PIP) install $(PIP_FLAGS) $(BUILD_REQUIRES)
	touch $@

$(VENV)/.built: $(VENV)/.created $(BUILD_INPUTS)
	$(INSTALL) --editable '.[client]'
	touch $@

$(VENV)/.torch: $(VENV)/.built
	$(INSTALL) --editable '.[client,torch]'
	touch $@

$(VENV)/.dev: $(VENV)/.built
	$(INSTALL) --editable '.[dev]'
	touch $@

# TenSEAL in our environment, OpenFHE in one of Python 3.10. Neither is needed for anything else, so
# that a machine without them still runs all other tests.
$(VENV)/.oracles: $(VENV)/.dev
	@$(INSTALL) --editable '.[tenseal]' || echo 'oracles: no TenSEAL: its wheel cannot be installed here' >&2
	@python='$(ORACLE_PYTHON)'; \
	if [ -z "$$python" ]; then python=$$($(BIN)/python -m fhe_core.oracles.interpreter) || python=; fi; \
	if [ -z "$$python" ]; then \
	    echo 'oracles: OpenFHE is left out (ORACLE_PYTHON=PATH names a Python 3.10)' >&2; \
	elif "$$python" -m venv --clear $(OPENFHE_VENV) && $(OPENFHE_VENV)/bin/python -m pip \
	    --disable-pip-version-check --quiet install $(PIP_FLAGS) $(OPENFHE_REQUIRES); then \
	    touch $@; \
	else \
	    rm -rf $(OPENFHE_VENV); \
	    echo 'oracles: OpenFHE is left out: its environment cannot be made' >&2; \
	fi

$(VENV)/.fuzz: $(VENV)/.dev
	$(INSTALL) --editable '.[dev,fuzz]'
	touch $@
