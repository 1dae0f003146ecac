"""The evidence of evaluated candidates, the version made from it, and who has an alias."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llm_models.errors import InputError
from steps.core.dataset import Dataset
from steps.core.hashing import sha256_of
from steps.core.scores import coverage

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


def holder(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that has the alias now; None when no version has it."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
