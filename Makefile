# The set-up is a virtual environment with pinned, hashed packages. Everything else is a command of it.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UNIT_TESTS := $(addprefix tests/,kit load dashboards chaos/verdict chaos/screen sut/protocol sut/crypto sut/process sut/services sut/gateway)

.PHONY: setup demo test test-cluster test-long test-lowest lint lock lock-servers clean

setup: $(VENV)/.ready

$(VENV)/.ready: locks/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stormpetrel needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r locks/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/petrel run quick

test: setup
	$(BIN)/python -m pytest -n 2

# What breaks real brokers and nodes, for some minutes.
test-cluster: setup
	PETREL_TEST_CLUSTER=1 $(BIN)/python -m pytest -m cluster

# Whole runs of the known-bad designs, of encryption and causal order, whole systems with push and signals, benches; and
# what searches at random: the API against its document, a million frames.
test-long: setup
	PETREL_TEST_LONG=1 $(BIN)/python -m pytest -m long

# The lowest versions that pyproject.toml names, in an environment of their own: what needs neither servers nor minutes.
test-lowest:
	$(PYTHON) -m venv --clear build/lowest
	build/lowest/bin/pip install --quiet --disable-pip-version-check --require-hashes -r locks/lowest.txt
	build/lowest/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	build/lowest/bin/python -m pytest -n 2 -m "not slow and not cluster and not long" $(UNIT_TESTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Needs `uv` on PATH. Records no index, so the lock works with any mirror.
lock:
	uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o locks/requirements.txt
	uv pip compile pyproject.toml --extra test --resolution lowest-direct --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o locks/lowest.txt

# Needs `mvn` on PATH: the jars of the poms in sut/deploy/servers/locks/, each with its sha256.
lock-servers: setup
	$(BIN)/python -m sut.deploy.servers.jars

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
