# Everything runs in .venv, which the first target that needs it makes from requirements.txt.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY ?= true
export MLFLOW_MODEL_CATALOG_URI ?=
export MLFLOW_TRACKING_URI ?= sqlite:///$(CURDIR)/mlflow.db
RUN = mlflow run . --env-manager local

.PHONY: setup evaluate test litellm ui check lock clean

setup:
	@python3 setup_venv.py

evaluate: setup  ## log, answer, score, register, promote: the main job and what belongs to it
	$(RUN) -e main

test: setup
	python -m pytest

litellm:  ## the proxy that tests/end_to_end/test_gateways.py asks, or skips without
	@python3 setup_venv.py .venv-litellm tests/servers/litellm.txt

ui: setup
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --workers 1

check: setup
	ruff check . && ruff format --check . && mypy

LOCK = uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header

lock: setup  ## after an edit of requirements.in
	$(LOCK) requirements.in --output-file requirements.txt
	$(LOCK) tests/servers/litellm.in --output-file tests/servers/litellm.txt

clean:
	rm -rf .venv .venv-litellm .pytest_cache .ruff_cache .mypy_cache
