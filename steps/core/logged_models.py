"""A resolved candidate as an MLflow LoggedModel: packed once, found again by its fingerprint."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModel

from llm_models.model import signature
from steps.core import tracking
from steps.core.answering.candidates import Ready
from steps.core.providers import PACKAGE

REQUIREMENTS = PACKAGE.parent / "requirements.txt"
SERVED = ("mlflow", "pandas")  # beside what the provider itself requires


def find_logged(client: MlflowClient, ready: Ready, experiment_id: str) -> LoggedModel | None:
    """The newest logged model of exactly this candidate in the experiment."""
    wanted = f"tags.fingerprint = '{ready.fingerprint}' AND tags.settings = '{ready.settings_hash}'"
    found = client.search_logged_models([experiment_id], wanted, max_results=1)
    return found[0] if found else None


def ensure_logged(client: MlflowClient, ready: Ready, experiment_id: str) -> tuple[str, bool]:
    """(model id, whether it was logged just now). No call to the provider is made."""
    with tracking.exclusive("log_model"):
        held = find_logged(client, ready, experiment_id)
        if held is not None:
            return held.model_id, False
        return _log(ready), True


def _log(ready: Ready) -> str:
    """Log in a run of its own: MLflow writes the model's config to the active run's params."""
    config = ready.config
    files = {name: config.options[name] for name in ready.provider.files}
    nested = mlflow.active_run() is not None
    with mlflow.start_run(run_name=f"log {ready.candidate.name}", nested=nested), _no_example():
        info = mlflow.pyfunc.log_model(
            name=ready.candidate.name.replace(".", "_"),  # MLflow takes no dots here
            python_model=str(PACKAGE / f"{config.provider}.py"),
            code_paths=[str(PACKAGE)],
            artifacts=files or None,
            model_config=_portable(ready),
            signature=signature(),
            pip_requirements=pinned(ready.provider.requirements),
            params={k: str(v) for k, v in run_params(ready).items() if v is not None},
            tags=model_tags(ready),
            model_type="llm",
            prompts=[ready.prompt.uri] if ready.prompt else None,  # links run and model to it
        )
    return info.model_id


@contextmanager
def _no_example() -> Iterator[None]:
    """An input example would be answered while the model is logged, which costs money."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        yield


def _portable(ready: Ready) -> dict[str, Any]:
    """The config as packed: plain data, and names instead of paths of this machine."""
    packed = asdict(ready.config)
    for name in ready.provider.files:
        packed["options"][name] = Path(packed["options"][name]).name
    packed["sampling"]["stop"] = list(packed["sampling"]["stop"] or ()) or None
    return packed


def pinned(names: tuple[str, ...]) -> list[str]:
    """What serving needs, at the versions of requirements.txt, which constrains the rest."""
    wanted = {*SERVED, *names}
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line.partition("==")[0] in wanted]
    return [*pins, f"-c {REQUIREMENTS}"]


def run_params(ready: Ready) -> dict[str, Any]:
    """What users compare in MLflow's UI; None where the provider's default applies."""
    config, candidate = ready.config, ready.candidate
    return {
        "model_name": config.model,
        "supplier": config.provider,
        "task": candidate.task,
        **asdict(config.sampling),
        "system_prompt": config.system,
        **ready.prompt_record,
        "candidate": candidate.name,
        "registered_name": candidate.registered_name,
        "timeout_s": config.timeout_s,
        **{f"option.{k}": v for k, v in _portable(ready)["options"].items()},
        **{f"identity.{k}": v for k, v in config.identity.items()},
    }


def model_tags(ready: Ready) -> dict[str, str]:
    return {
        "fingerprint": ready.fingerprint,
        "settings": ready.settings_hash,
        "price_hash": ready.price_hash,
        "candidate": ready.candidate.name,
        "registered_name": ready.candidate.registered_name,
        "supplier": ready.config.provider,
        **ready.prompt_record,
    }
