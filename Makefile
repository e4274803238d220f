# Every target does the set-up it needs, into .venv.
PYTHON ?= python3
BIN := .venv/bin
# Compiled once at set-up; the variable would make every start compile again.
unexport PYTHONDONTWRITEBYTECODE

# The demo's world: from its 15th month on applicants are poorer, and what they owe tells less about who defaults.
DEMO_WORLD := [{kind: covariate, month: 14, size: 0.7}, {kind: concept, month: 14, size: 0.9}]

# One more month of the demo model: its rows, then the decision about them; exit code 3 is the decision that they drifted.
define month
$(BIN)/perennial ingest credit --set source.months=$(1) --set 'source.drifts=$(DEMO_WORLD)'
	$(BIN)/perennial monitor credit || test $$? -eq 3
endef

.PHONY: setup demo check test test-fast docs reference bench lock clean

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, found " + sys.version.split()[0] + "; try: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --no-index --editable .
	touch $@

demo: setup
	$(BIN)/perennial train credit
	$(call month,13)
	$(call month,14)
	$(call month,15)
	$(call month,16)
	$(BIN)/perennial drift credit --no-open
	$(BIN)/python -m benchmarks.release_demo
	@echo 'Let the champion answer, at http://127.0.0.1:8470: $(BIN)/perennial serve'

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check
	$(BIN)/pytest -n 2 --dist worksteal

# Every module, without what takes long.
test-fast: setup
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not e2e"

docs: setup
	$(BIN)/zensical build --strict --clean
	@echo 'The site: var/site/index.html'

# The pages and the schema that are made from the code.
reference: setup
	$(BIN)/python -m reference

bench: setup
	$(BIN)/python -m benchmarks.commands
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.large
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.inference
	$(BIN)/python -m benchmarks.validate
	$(BIN)/python -m benchmarks.evaluate
	$(BIN)/python -m benchmarks.leakage
	$(BIN)/python -m benchmarks.gate
	$(BIN)/python -m benchmarks.drift_quality
	$(BIN)/python -m benchmarks.drift_speed
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python -m benchmarks.cbpe_agreement
	$(BIN)/python -m benchmarks.estimates
	$(BIN)/python -m benchmarks.loss_estimates
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.serving_faults
	$(BIN)/python -m benchmarks.serving_session
	$(BIN)/python -m benchmarks.score
	$(BIN)/python -m benchmarks.loop
	$(BIN)/python -m benchmarks.zombies
	$(BIN)/python -m benchmarks.exactly_once
	$(BIN)/python -m benchmarks.outages
	$(BIN)/python -m benchmarks.mutated_files
	$(BIN)/python -m benchmarks.many_models
	$(BIN)/python -m benchmarks.retention

lock: setup
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
		--custom-compile-command "make lock" pyproject.toml --group dev --output-file requirements.lock

clean:
	-$(BIN)/perennial server stop
	rm -rf .venv var
