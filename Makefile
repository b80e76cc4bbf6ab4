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

.PHONY: help train build test test-long sanitize mutants lint format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

train: $(VENV)/installed ## set everything up, then train and test the network of the assignment
	$(RUN) main.py $(ARGS)

build: $(VENV)/installed ## make the virtual environment and build the extension into it

# An editable install: changes in cnn/ count at once, changes in csrc/ after `make build`. As a folder on the path (compat),
# so that beside the clone `import cnn` does not take the clone's folder for the package.
$(VENV)/installed: $(SOURCES)
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "building cnn into $(VENV) (a minute or two the first time)"
	$(PIP) install 'setuptools>=77' 'numpy>=2'
	$(PIP) install --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

# PyTorch is what the tests and benchmarks compare with; the library itself never uses it.
$(VENV)/tested: $(VENV)/installed
	$(PIP) install --no-build-isolation --config-settings editable_mode=compat --editable '.[test,lint]'
	$(PIP) install '$(TORCH)' && $(PIP) install --no-deps '$(TORCHVISION)' \
		|| echo "PyTorch could not be installed: the tests that compare with it will be skipped"
	@touch $@

test: $(VENV)/tested ## set everything up, then run all tests
	$(RUN) -m pytest $(ARGS)

test-long: $(VENV)/tested ## the same tests with ten times as many random cases
	CNN_TEST_CASES=10 $(RUN) -m pytest --timeout=3600 $(ARGS)

# -fno-wrapv and -UNDEBUG undo what Python's own flags bring along: overflow is an error here, and asserts are on. torch
# throws C++ exceptions, which the address sanitizer finds only with libstdc++ loaded beside it. Left out are the tests
# of threads and forks, of files, and of whole processes.
SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -fno-wrapv -UNDEBUG -O1 -g1
LEFT_OUT   = threads memory determinism serialization hostile_files atomic safetensors unpickle data_loader download \
	get_data cifar_files matfile vision_datasets vision_models vision_transforms module as_torch lr_scheduler mistakes \
	mistakes_files mistakes_learning foreign tensorboard plot vision_types notebook scripts solutions problem_1 \
	packaging mutants submodules training
SANITIZED  = $(filter-out $(LEFT_OUT:%=tests/test_%.py), $(wildcard tests/test_*.py))

sanitize: $(VENV)/tested ## the tests of layers and entry points under gcc's address and undefined-behaviour sanitizers
	CC=gcc CNN_CFLAGS="$(SANITIZERS)" $(RUN) setup.py --quiet build --build-lib build/sanitize
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so.6)" \
	ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0:max_allocation_size_mb=4096 \
	UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc PYTHONPATH=build/sanitize \
	$(RUN) -P -m pytest -s -p no:cacheprovider --timeout=900 $(or $(ARGS),$(SANITIZED))

mutants: $(VENV)/tested ## how many random one-line mistakes the tests notice (ARGS="--count 300 --seed 1": hours)
	$(RUN) tests/mutants $(ARGS)

lint: $(VENV)/tested ## ruff, clang-format and a look for arguments that nobody reads, without changing anything
	$(RUN) -m ruff check .
	$(RUN) tests/unread_arguments.py
	$(RUN) -m ruff format --check .
	git ls-files '*.c' '*.h' | xargs $(VENV)/bin/clang-format --dry-run --Werror

format: $(VENV)/tested ## ruff and clang-format, in place
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	git ls-files '*.c' '*.h' | xargs $(VENV)/bin/clang-format -i

bench: $(VENV)/tested ## speed and memory beside PyTorch (20 minutes; ARGS=--quick a third of it)
	$(RUN) benchmarks/all.py $(ARGS)

clean: ## take away what was built
	rm -rf build $(VENV) cnn/*.so *.egg-info .pytest_cache .ruff_cache
