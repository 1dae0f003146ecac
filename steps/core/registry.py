"""Evaluated candidates as model versions, and the aliases that move between them."""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llm_models.errors import InputError
from steps.core import coverage, tracking
from steps.core.dataset import Dataset
from steps.core.hashing import sha256_of

EVIDENCE = (  # tags of a run; equal ones prove the same
    "fingerprint",
    "settings",
    "dataset_sha256",
    "judge_hash",
    "human_hash",
    "scorers_hash",
    "price_hash",
    "answers_sha256",
)
PROMPT = ("prompt_name", "prompt_version")
VERSIONS_TAG = "mlflow.modelVersions"
STAGES = {"staging": "Staging", "production": "Production"}


@dataclass(frozen=True)
class Evidence:
    """A finished evaluation run of one candidate on one dataset."""

    run: Run
    min_coverage: float = 0.0  # the config's now; the run has been held to its own

    @property
    def tags(self) -> Mapping[str, str]:
        return self.run.data.tags

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """Without means that rest on too few rows."""
        kept = coverage.shown(self.run.data.metrics, self.floor)
        return {name: value for name, value in kept.items() if value is not None}

    @property
    def floor(self) -> float:
        """The least coverage of a mean: what the run or the config asks for, whichever is more."""
        return max(self.min_coverage, float(self.tags.get("min_coverage", 0)))

    @property
    def candidate(self) -> str:
        return self.tags["candidate"]

    @property
    def key(self) -> str:
        """Hex sha256: equal for runs that prove the same of the same model."""
        return sha256_of([self.tags.get(name) for name in EVIDENCE])


def latest_evidence(
    client: MlflowClient,
    experiment_id: str,
    dataset: Dataset,
    candidates: Iterable[str],
    min_coverage: float = 0.0,
) -> list[Evidence]:
    """The newest finished evaluation of each candidate on exactly this dataset, if it has one."""
    found = []
    for name in candidates:
        wanted = (
            f"tags.kind = 'evaluation' AND tags.candidate = '{name}' AND "
            f"tags.dataset_sha256 = '{dataset.sha256}' AND attributes.status = 'FINISHED'"
        )
        order = ["attributes.start_time DESC"]
        runs = client.search_runs([experiment_id], wanted, max_results=1, order_by=order)
        found += [Evidence(run, min_coverage) for run in runs]
    return found


def require_evidence(
    client: MlflowClient,
    experiment_id: str,
    dataset: Dataset,
    candidates: list[str],
    spec: str,
    *,
    min_coverage: float = 0.0,
) -> list[Evidence]:
    """The same. Raises InputError where there is none, or, unless `spec` is "available", one is
    missing.
    """
    found = latest_evidence(client, experiment_id, dataset, candidates, min_coverage)
    missing = set(candidates) - {one.candidate for one in found}
    if not found or (missing and spec.strip() != "available"):
        raise InputError(
            f"not evaluated on {dataset.name}: {', '.join(sorted(missing))}. "
            "Run `mlflow run . -e evaluate` with the same data and limit first."
        )
    return found


def ensure_registered(client: MlflowClient, evidence: Evidence) -> tuple[ModelVersion, bool]:
    """The version made from this evidence, and whether it was made just now."""
    name = evidence.tags["registered_name"]
    with tracking.exclusive("register"):
        held = find_version(client, name, evidence)
        if held is not None:
            return held, False
        kept = (*EVIDENCE, "candidate", "dataset")
        tags = {key: evidence.tags.get(key, "none") for key in kept}
        tags |= {key: evidence.tags[key] for key in PROMPT if key in evidence.tags}
        tags |= {"evidence": evidence.key, "run_id": evidence.run.info.run_id}
        return _create(client, name, evidence, tags), True


def _create(
    client: MlflowClient, name: str, evidence: Evidence, tags: Mapping[str, str]
) -> ModelVersion:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Candidates of LLMFlowLab; see its tags.")
    model_id, run_id = evidence.tags["model_id"], evidence.run.info.run_id
    made = client.create_model_version(
        name,
        source=f"models:/{model_id}",
        run_id=run_id,
        tags=dict(tags),
        description=describe(evidence),
        model_id=model_id,
    )
    _link(client, model_id, made)
    return made


def _link(client: MlflowClient, model_id: str, version: ModelVersion) -> None:
    """Let the logged model's page lead to its versions; on SQLite MLflow leaves that out."""
    held = json.loads(client.get_logged_model(model_id).tags.get(VERSIONS_TAG, "[]"))
    link = {"name": version.name, "version": version.version}
    if link not in held:
        client.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps([*held, link])})


def find_version(client: MlflowClient, name: str, evidence: Evidence) -> ModelVersion | None:
    """The version made from this evidence, or None."""
    found = client.search_model_versions(f"name = '{name}' AND tags.evidence = '{evidence.key}'")
    return found[0] if found else None


def describe(evidence: Evidence) -> str:
    """What a person reads on the version's page."""
    params, metrics = evidence.run.data.params, evidence.metrics
    told = [f"{k} {metrics[k]:.3g}" for k in sorted(metrics) if k.endswith("/mean")]
    return (
        f"**{params['model_name']}** by {params['supplier']} as candidate "
        f"`{evidence.candidate}`, evaluated on `{evidence.tags['dataset']}` "
        f"({metrics['rows']:.0f} rows) in run `{evidence.run.info.run_id}`"
        f"{_prompt_link(evidence)}.\n\n"
        f"{'; '.join(told)}; error rate {metrics['error_rate']:.3g}."
    )


def _prompt_link(evidence: Evidence) -> str:
    """A link in the UI: MLflow itself shows the prompt on run and logged model alone."""
    name, version = (evidence.tags.get(key) for key in PROMPT)
    page = f"#/experiments/{evidence.run.info.experiment_id}/prompts/{name}"
    link = f"[{name} version {version}]({page}?promptVersion={version})"
    return f", with the system prompt {link}" if name else ""


def holder(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that has the alias now; None when no version has it."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def move_alias(client: MlflowClient, version: ModelVersion, alias: str) -> None:
    """Give the alias to a version, and mirror it as a classic stage where there are stages."""
    client.set_registered_model_alias(version.name, alias, str(version.version))
    stage: Any = getattr(client, "transition_model_version_stage", None)
    if stage is None:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # stages are leaving; aliases stay
            stage(version.name, str(version.version), STAGES[alias], True)
    except MlflowException as error:
        # Backends without stages (Unity Catalog, the next MLflow) say so; the alias is what counts.
        print(f"note: the classic stage was not set ({error.error_code})")
