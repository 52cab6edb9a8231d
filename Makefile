# The first call of a target installs .venv from the hashed lock; later calls skip that.
PYTHON ?= python3
BIN := .venv/bin
CARRIED := $(PYTHONPATH)
SET_UP := .venv/.set-up
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
export MLFLOW_DISABLE_TELEMETRY := true
unexport CONDA_PREFIX
export PYTHONPATH := src
unexport PYTHONDONTWRITEBYTECODE
SLOW := slow or server or browser or pipeline
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: repro test test-slow check lint audit data summary ui docs bench gpu lock clean

repro: $(SET_UP)  ## run the stages that are out of date, then show the result
	dvc repro
	@grep -E '"(mean_iou|mean_iou_low|mean_iou_high|gain_over_mean_box|coverage|warnings)"' reports/evaluate/metrics.json
	@echo "report: reports/evaluate/report.html; the runs: make ui"

test: $(SET_UP)  ## the fast tests, and one run of the whole pipeline: some minutes
	$(PYTEST) -m "not ($(SLOW))"

test-slow: $(SET_UP)  ## the rest of the tests, or a part: make test-slow SLOW=browser
	$(PYTEST) -m "$(SLOW)"

check: lint test test-slow  ## everything that CI checks

lint: $(SET_UP)  ## format, lint, types, workflows
	ruff format --check .
	ruff check .
	mypy
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

audit: $(SET_UP)  ## known vulnerabilities of the locked versions; needs PyPI's own list of them
	pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock

data: $(SET_UP)  ## validate the data sets that changed since a commit: make data SINCE=origin/main
	localizer validate --since $(or $(SINCE),HEAD) --fetch --reports reports/data

# A failed command is reported in the Markdown, too, which is all that a reader of a job's summary sees; the rest is shown.
summary:  ## what HEAD's committed results change, as Markdown: make summary BASE=origin/main
	@$(MAKE) --no-print-directory $(SET_UP) >&2
	@failed=0; section() { \
		why=$$("$$@" 2>&1 >&3) || { failed=1; printf '`%s %s` failed:\n\n' $$1 $$2; echo "$$why" | sed 's/^/    /'; }; \
		[ -z "$$why" ] || echo "$$why" >&2; } 3>&1; \
	echo "# Results against $(or $(BASE),HEAD~1)"; echo; \
	section localizer compare --markdown rev:$(or $(BASE),HEAD~1) rev:HEAD; \
	echo; echo "## Metrics"; echo; section dvc metrics diff --md $(or $(BASE),HEAD~1) HEAD; \
	echo; echo "## Parameters"; echo; section dvc params diff --md $(or $(BASE),HEAD~1) HEAD; \
	exit $$failed

ui: $(SET_UP)  ## the runs, on http://127.0.0.1:5000
	mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port $(or $(PORT),5000)

docs: $(SET_UP)  ## update the generated pages, and build the site into site/
	python -m docs.generate
	zensical build --clean --strict

bench: $(SET_UP)  ## speed of training and prediction next to peers; QUICK=1 takes minutes
	python -m bench.speed $(if $(QUICK),--quick)
	python -m bench.using $(if $(QUICK),--quick)

# With the machine's own Python, since one that is lent may have PyTorch, but neither .venv nor a network.
gpu:  ## what only a GPU can show, within nine minutes; PLAN=1 prints the plan; ONLY="tests bccd" runs a part
	PYTHONPATH=src$(if $(CARRIED),:$(CARRIED)) $(PYTHON) -m bench.gpu $(if $(PLAN),--plan) $(if $(ONLY),--only $(ONLY))

lock: $(SET_UP)  ## lock the newest versions that pyproject.toml allows, with their hashes
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --extra dev \
		--custom-compile-command "make lock" -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra validate \
		--constraints requirements.lock --custom-compile-command "make lock" -o requirements-validate.lock pyproject.toml
	python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["server"])' | \
		tr ' ' '\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--constraints requirements.lock --custom-compile-command "make lock" -o requirements-server.lock -

clean:  ## remove the environment and the caches; data, models and runs stay
	rm -rf .venv .localizer site .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

# uv itself is locked, too: pip installs it from its entry in requirements.lock, and checks its hash.
$(SET_UP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or newer, got " + sys.version)'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p;}' requirements.lock > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r .venv/uv.txt
	uv pip sync --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@
