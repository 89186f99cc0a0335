# The set-up is a virtual environment with pinned, hashed packages. Everything else is a command of it.
# `make` prints the targets: the text after "##" on a target's line.
SHELL  := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check
SAY    := @printf '%s\n'
# Tests start hundreds of Python processes. Where this variable is set, each of them compiles every module anew.
export PYTHONDONTWRITEBYTECODE :=
UNIT_TESTS := $(addprefix tests/,kit load dashboards chaos/verdict chaos/screen sut/protocol sut/crypto sut/process sut/services sut/gateway)

.DEFAULT_GOAL := help
.PHONY: help setup demo nightly test test-cluster test-long test-rare test-defects test-lowest docs site lint lock lock-servers clean

help: ## print these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	$(SAY) "" "After make setup, call $(BIN)/petrel, or: source $(BIN)/activate"

setup: $(VENV)/.ready ## install everything into .venv: one to five minutes, once
	$(SAY) "Ready. Call $(BIN)/petrel, or first: source $(BIN)/activate"

$(VENV)/.ready: locks/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stormpetrel needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 demo")'
	$(SAY) "1/3 virtual environment in $(VENV) (seconds)"
	@$(PYTHON) -m venv $(VENV)
	$(SAY) "2/3 packages of locks/requirements.txt (one to five minutes, by the connection)"
	@$(PIP) install --progress-bar off --require-hashes -r locks/requirements.txt | \
	  awk -v tty="$$(test -t 2 && echo 1)" '/^ *Downloading|Using cached/ { n++; if (tty) printf "\r    %d of %d", n, all > "/dev/stderr" } \
	  END { printf "%s    %d packages\n", tty ? "\r" : "", n }' all="$$(grep -c == locks/requirements.txt)" -
	$(SAY) "3/3 stormpetrel itself (seconds)"
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## set-up, then the quick experiment: about three minutes
	$(BIN)/petrel run quick

# Four processes on two cores: many tests wait for a lease, a timer or a server.
test: setup ## all tests but the long ones; says what it skipped and why
	$(BIN)/python -m pytest -n 4

# Two processes: one has the tests of the adapters and their servers, one those of the faults and of passwords. Most of
# the time they wait for a broker or a node. Whole systems come by themselves: they need both cores.
test-cluster: setup ## the adapters on real brokers and nodes, which it breaks: some minutes
	@status=0; export PETREL_TEST_CLUSTER=1; \
	$(BIN)/python -m pytest -n 2 -m cluster --ignore=tests/system || status=$$?; \
	$(BIN)/python -m pytest -m cluster tests/system || status=$$?; \
	exit $$status

# Whole runs of the known-bad designs, of encryption and causal order, whole systems with push and signals, benches; and
# what searches at random: the API against its document, a million frames.
test-long: setup ## whole runs with every variant, and random searches: some minutes
	PETREL_TEST_LONG=1 $(BIN)/python -m pytest -n 2 -m long

# All anti-patterns, failure modes under load, the fleet at full size. Not part of .ci/run.
test-rare: setup ## benches and failure modes that take some minutes each: about 20 minutes
	PETREL_TEST_RARE=1 $(BIN)/python -m pytest -m rare

# Two of these defects, the quickest, are in `make test-long` too.
test-defects: setup ## whole runs with and without each found defect: about 20 minutes
	PETREL_TEST_DEFECTS=1 PETREL_TEST_LONG=1 $(BIN)/python -m pytest tests/defects

BUDGET_MIN ?= 60
nightly: setup ## whole runs within BUDGET_MIN minutes, seeds chosen for what was not covered yet
	$(BIN)/petrel nightly --budget-min $(BUDGET_MIN)

docs: setup ## write the generated parts of the pages, and the JSON schema of a history
	$(BIN)/python docs/generate.py

# The extra brings mkdocs-material. Nothing else of the project needs it.
site: setup ## build the documentation site into build/site
	@$(PIP) install --quiet --no-build-isolation --editable '.[site]'
	$(BIN)/python docs/site.py

# Of these folders only the files that reach a package whose version differs: all others would run the same code again.
test-lowest: ## unit tests with the lowest versions that pyproject.toml names
	$(PYTHON) -m venv --clear build/lowest
	build/lowest/bin/pip install --quiet --disable-pip-version-check --require-hashes -r locks/lowest.txt
	build/lowest/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	files=$$(build/lowest/bin/python -m tests.kit.lowest $(UNIT_TESTS)) && \
	  build/lowest/bin/python -m pytest -n 3 -m "not slow and not cluster and not long" $$files

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Needs `uv` on PATH. Records no index, so the lock works with any mirror.
lock: ## pin the dependencies of pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o locks/requirements.txt
	uv pip compile pyproject.toml --extra test --resolution lowest-direct --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o locks/lowest.txt
	$(PYTHON) -m sut.deploy.docker.locked locks/requirements.txt

# Needs `mvn` on PATH: the jars of the poms in sut/deploy/servers/locks/, each with its sha256.
lock-servers: setup ## pin the jars of Kafka and Cassandra (needs mvn)
	$(BIN)/python -m sut.deploy.servers.jars

clean: ## remove .venv and caches
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
