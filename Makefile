# make run     sets everything up and runs the example, its traffic visible
# make test    sets everything up and runs the static checks and all tests; make unit TESTS=... some of them
# make test-on trixie       the same on another release of Debian, in a tree of its own; needs root (tests/test-on.sh)
# make fuzz    the property tests with inputs that differ from one run to the next; make fuzz TESTS=... some of them
# make bench [FAST=1]   measures, next to peers and to the goals; in a hurry, in two minutes
# make fault-test [FULL=1]   every fault of tests/faults; in full, floods of a million messages
# make crash-test N=1000     kills gateway and broker N times under load, and counts what is lost
# make restart-test N=100    restarts gateway and broker N times in any order, and compares the documents of devices
# make ha-test [SCENARIO=...]   Home Assistant itself, of today and of 2024.3, with the gateway; needs root, and minutes once
# make page-test [MINUTES=5]   the page in a browser: open for long, in 20 windows, read slowly
# make systemd-test [SCENARIO=...]   the service in Debian, booted with systemd as process 1; needs root, and minutes once
# make vm-test [SCENARIO=... CUTS=10]   a virtual machine: a USB adapter is plugged in, its power is cut; root, half an hour
# make cluster-test [BROKER=nats]   kills nodes of RabbitMQ and NATS clusters under load; needs root, and minutes once

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check

# Whatever the environment says: without bytecode that is kept, each process of a test compiles everything once more.
unexport PYTHONDONTWRITEBYTECODE

SUITES := bookworm trixie forky

.PHONY: run test test-on $(SUITES) check unit fuzz bench fault-test crash-test restart-test page-test ha-test systemd-test vm-test \
	cluster-test dist clean

run: $(VENV)/demo
	$(BIN)/mqttgateway --conf dummy2mqtt.conf

test: check unit

test-on:
	tests/test-on.sh $(filter $(SUITES),$(MAKECMDGOALS))

# Only words for test-on.
bookworm: ; @:
trixie: ; @:
forky: ; @:

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/dev
	tests/install-tools.sh tools
	$(BIN)/python -m pytest -n 4 --dist worksteal $(TESTS)

# With more examples, a test takes longer; a failure prints how to repeat it, and is kept in .hypothesis/ for the next run.
fuzz: $(VENV)/dev
	tests/install-tools.sh tools
	$(BIN)/python -m pytest -n 4 --dist worksteal -m hypothesis --hypothesis-profile=explore --timeout=1200 $(TESTS)

bench: $(VENV)/dev
	tests/install-tools.sh bench
	$(BIN)/python -m benchmarks $(if $(FAST),--fast)

fault-test: $(VENV)/dev
	tests/install-tools.sh tools
	FAULTS_FULL=$(FULL) $(BIN)/python -m pytest tests/faults --durations=10

crash-test: $(VENV)/dev
	tests/install-tools.sh tools
	$(BIN)/python -m tests.crash $(N)

restart-test: $(VENV)/dev
	tests/install-tools.sh tools
	$(BIN)/python -m tests.restart $(N)

page-test: $(VENV)/dev
	tests/install-tools.sh tools
	$(BIN)/python -m tests.page --minutes $(or $(MINUTES),5)

ha-test: $(VENV)/dev
	tests/install-tools.sh tools
	$(BIN)/python -m tests.home_assistant $(SCENARIO)

systemd-test: $(VENV)/dev
	$(BIN)/python -m tests.systemd $(SCENARIO)

vm-test: $(VENV)/dev
	tests/install-tools.sh tools
	$(BIN)/python -m tests.vm $(SCENARIO) $(if $(CUTS),--cuts $(CUTS))

cluster-test: $(VENV)/dev
	$(BIN)/python -m tests.cluster $(BROKER)

dist: $(VENV)/dev
	rm -rf dist
	$(BIN)/python -m build

$(VENV)/bin/python:
	tests/install-tools.sh venv
	python3 -m venv $(VENV)

$(VENV)/demo: pyproject.toml $(VENV)/bin/python
	@$(PIP) install -e '.[demo]' || { $(PIP) install -e '.[web]' && \
		echo "The embedded broker cannot be installed here; the example needs a real one: sudo apt install mosquitto" >&2; }
	touch $@

$(VENV)/dev: pyproject.toml $(VENV)/bin/python
	$(PIP) install -e '.[demo,dev]'
	touch $@ $(VENV)/demo

clean:
	rm -rf $(VENV) build dist *.egg-info
