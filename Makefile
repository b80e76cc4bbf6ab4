# One command for each thing a person does; CI calls the same targets.
#
#   make help     lists them

PYTHON ?= python3
VENV   ?= .venv
RUN     = $(VENV)/bin/python
PIP     = $(RUN) -m pip --quiet --disable-pip-version-check
TORCH  ?= torch==2.13.0
TORCHVISION ?= torchvision==0.28.0
SOURCES = $(shell find csrc cnn -name '*.[ch]' -o -name '*.py') setup.py pyproject.toml

.PHONY: help train build test test-long lint format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

train: $(VENV)/installed ## set everything up, then train and test the network of the assignment
	$(RUN) main.py $(ARGS)

build: $(VENV)/installed ## make the virtual environment and build the extension into it

# An editable install: changes in cnn/ count at once, changes in csrc/ after `make build`.
$(VENV)/installed: $(SOURCES)
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "building cnn into $(VENV) (a minute or two the first time)"
	$(PIP) install 'setuptools>=77' 'numpy>=2'
	$(PIP) install --no-build-isolation --editable .
	@touch $@

# PyTorch is what the tests and benchmarks compare with; the library itself never uses it.
$(VENV)/tested: $(VENV)/installed
	$(PIP) install --no-build-isolation --editable '.[test,lint]'
	$(PIP) install '$(TORCH)' && $(PIP) install --no-deps '$(TORCHVISION)' \
		|| echo "PyTorch could not be installed: the tests that compare with it will be skipped"
	@touch $@

test: $(VENV)/tested ## set everything up, then run all tests
	$(RUN) -m pytest $(ARGS)

test-long: $(VENV)/tested ## the same tests with ten times as many random cases
	CNN_TEST_CASES=10 $(RUN) -m pytest --timeout=3600 $(ARGS)

lint: $(VENV)/tested ## ruff and clang-format, without changing anything
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	git ls-files '*.c' '*.h' | xargs $(VENV)/bin/clang-format --dry-run --Werror

format: $(VENV)/tested ## ruff and clang-format, in place
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	git ls-files '*.c' '*.h' | xargs $(VENV)/bin/clang-format -i

bench: $(VENV)/tested ## speed and memory beside PyTorch: layers, training steps, inference (about half an hour)
	$(RUN) benchmarks/layers.py
	$(RUN) benchmarks/train_step.py $(ARGS)
	$(RUN) benchmarks/inference.py

clean: ## take away what was built
	rm -rf build $(VENV) cnn/*.so *.egg-info .pytest_cache .ruff_cache
