# Set-up, checks and the hub itself. `make` alone lists what there is.
#
# PYTHON is the interpreter that .venv is built on; ARGS goes to the program that a target starts.

PYTHON ?= python3
ARGS ?=
export PYTHON

# Test files run at once, more than there are processors; CONTRIBUTING.md says what that asks of a
# test, and tests/conftest.py in which order they are and how many "logical" is.
AT_ONCE = --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run demo test lint docs types unit crash fuzz bench format lock clean ready-run ready-dev ready-tests

help: ## list the targets
	@echo 'make TARGET [ARGS="…"] [PYTHON=python3.12]'
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ready-run ## install what is missing and start the hub (ARGS: options of `motehub serve`)
	@exec .venv/bin/motehub serve $(ARGS)

demo: ready-run ## look at a hub with simulated devices, of which nothing is left (ARGS: of `motehub demo`)
	@exec .venv/bin/motehub demo $(ARGS)

test: ready-tests lint types unit ## install what is missing and run every check

lint: ready-dev ## check style and layout with ruff, and that the reference pages are fresh
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python scripts/reference --check

docs: ready-dev ## write the reference part of docs/settings.md and docs/commands.md
	.venv/bin/python scripts/reference

types: ready-dev ## check types with mypy
	.venv/bin/mypy

# What Python compiles is kept, whatever the machine says: tests start Python many times.
unit: export PYTHONDONTWRITEBYTECODE =
unit: ready-tests ## run the tests only (ARGS: options of pytest; -n 0: one after another)
	.venv/bin/pytest $(AT_ONCE) $(ARGS)

crash: ready-dev ## kill a writing hub 1000 times and count what it lost
	.venv/bin/python -m tests.fault.crash --rounds 1000 $(ARGS)

fuzz: ready-dev ## feed the MQTT decoder mutated streams (ARGS: --seconds 600 and others)
	.venv/bin/python -m tests.fuzz mqtt $(ARGS)

bench: ready-dev ## measure throughput, latency and memory on this machine
	.venv/bin/python -m bench $(ARGS)

format: ready-dev ## lay out the code and mend what ruff can mend
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

lock: ready-run ## resolve pyproject.toml into requirements/ (ARGS=--upgrade: newest versions)
	@scripts/lock $(ARGS)

clean: ## remove .venv and caches; the hub's data stays
	rm -rf .venv tests/mqtt_js/node_modules tests/pusher_js/node_modules tests/axe_js/node_modules tests/parquet_js/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready-run:
	@scripts/install run

ready-dev:
	@scripts/install dev

ready-tests: ready-dev
	@command -v openssl >/dev/null || \
	  scripts/system-package openssl 'the tests use it as the TLS client of a device'
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  scripts/system-package postgresql 'the tests start a private server with it'
	@command -v redis-server >/dev/null || \
	  scripts/system-package redis-server 'the tests start a private server with it'
	@command -v redis-cli >/dev/null || \
	  scripts/system-package redis-tools 'the tests read what the hub shows with it'
	@command -v mosquitto >/dev/null || ls /usr/sbin/mosquitto >/dev/null 2>&1 || \
	  scripts/system-package mosquitto 'the tests start a private broker with it' mosquitto
	@command -v mosquitto_pub >/dev/null || \
	  scripts/system-package mosquitto-clients 'the tests use them as devices'
	@command -v ip >/dev/null || \
	  scripts/system-package iproute2 'the tests make a network that loses packets with it'
	@command -v node >/dev/null || \
	  scripts/system-package nodejs 'the tests run MQTT.js, pusher-js and hyparquet with it'
	@command -v npm >/dev/null || \
	  scripts/system-package npm 'it installs MQTT.js, pusher-js, axe-core and hyparquet for the tests'
	@command -v chromium >/dev/null || \
	  scripts/system-package chromium 'the tests look at the pages with it'
	@scripts/node-packages tests/mqtt_js
	@scripts/node-packages tests/pusher_js
	@scripts/node-packages tests/axe_js
	@scripts/node-packages tests/parquet_js
