PYTHON ?= python3
LEADSCORE = .venv/bin/leadscore
export DVC_NO_ANALYTICS = 1
export MLFLOW_DISABLE_TELEMETRY = true
export DO_NOT_TRACK = 1

.PHONY: run test test-spark advisories audit sbom lint lock peers clean

run: .venv/.installed  ## history -> scored, tiered, explained leads
	.venv/bin/dvc repro
	@$(LEADSCORE) report --summary

# Two workers and what they start read bytecode, wherever it is switched off elsewhere. Types are checked beside the
# tests, since mypy alone leaves a core idle.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/.installed  ## all tests, types and style, in the same environment
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@$(MAKE) --no-print-directory advisories
	@.venv/bin/mypy > .venv/types.txt 2>&1 & types=$$!; .venv/bin/pytest; tested=$$?; \
	wait $$types; typed=$$?; cat .venv/types.txt; exit $$((tested ? tested : typed))

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip install --quiet --python .venv --require-hashes --compile-bytecode -r requirements.lock
	.venv/bin/uv pip install --quiet --python .venv --no-deps --no-build-isolation -e .
	touch $@

test-spark: .venv-spark/.installed  ## the tests of `--engine spark`, which skip elsewhere
	.venv-spark/bin/pytest -n 0 tests/pipelines/storage/test_spark_store.py

# The same with PySpark, for `--engine spark`: .venv-spark/bin/leadscore; a download of about 450 MB.
.venv-spark/.installed: .venv/.installed spark.lock
	$(PYTHON) -m venv .venv-spark
	.venv/bin/uv pip install --quiet --python .venv-spark --require-hashes -r requirements.lock -r spark.lock
	.venv/bin/uv pip install --quiet --python .venv-spark --no-deps --no-build-isolation -e .
	touch $@

peers: .venv-peers/.installed  ## what benchmarks.quality compares with, in an environment of its own

# torch stays out of the lock, so that the machine's own build of it will do; AutoGluon's networks need one.
.venv-peers/.installed: .venv/.installed benchmarks/peers.lock
	$(PYTHON) -m venv .venv-peers
	.venv/bin/uv pip install --quiet --python .venv-peers --require-hashes --compile-bytecode -r benchmarks/peers.lock
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	touch $@

# Where there is no network, or only an index of packages, a line says that nobody could be asked.
advisories: .venv/.installed  ## a part of test: fails where PyPI knows a weakness of what the lock pins
	@$(MAKE) --silent .venv-audit/.installed > /dev/null 2>&1; rm -f .venv-audit/advisories.json; \
	timeout 120 .venv-audit/bin/pip-audit --disable-pip --require-hashes --progress-spinner off --format json \
		--output .venv-audit/advisories.json --requirement requirements.lock > /dev/null 2>&1; \
	.venv/bin/python -m tests.support.advisories .venv-audit/advisories.json

audit: .venv-audit/.installed  ## weaknesses of what the lock pins (asks PyPI's database, online); ruff looks for those of the code
	@.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock || \
		{ echo "pip-audit found weaknesses, or could not ask PyPI (offline?): the lock counts as not checked"; exit 1; }

sbom: .venv-audit/.installed  ## what the lock pins, as CycloneDX: sbom.json
	.venv-audit/bin/cyclonedx-py requirements --output-reproducible --output-file sbom.json requirements.lock

.venv-audit/.installed: .venv/.installed audit.lock
	$(PYTHON) -m venv .venv-audit
	.venv/bin/uv pip install --quiet --python .venv-audit --require-hashes -r audit.lock
	touch $@

lint: .venv/.installed  ## mend style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

lock: .venv/.installed  ## resolve pyproject.toml anew
	.venv/bin/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url \
		--no-annotate --quiet --upgrade --custom-compile-command "make lock" -o requirements.lock
	.venv/bin/uv pip compile --group peers --universal --generate-hashes --no-emit-index-url \
		--no-annotate --quiet --upgrade --custom-compile-command "make lock" -o benchmarks/peers.lock
	.venv/bin/uv pip compile --group spark --universal --generate-hashes --no-emit-index-url \
		--no-annotate --quiet --upgrade --custom-compile-command "make lock" -o spark.lock
	.venv/bin/uv pip compile --group audit --universal --generate-hashes --no-emit-index-url \
		--no-annotate --quiet --upgrade --custom-compile-command "make lock" -o audit.lock

clean:  ## what the stages wrote
	rm -rf data artifacts reports
