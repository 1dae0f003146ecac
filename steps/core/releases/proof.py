"""Whether a version is what its evidence speaks of, and still answers as it did."""

from contextlib import closing
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from llm_models.errors import CallError, InputError
from llm_models.schema import ModelConfig
from steps.core.answering.candidates import resolve
from steps.core.answering.journal import Journal
from steps.core.config import Config
from steps.core.dataset import Dataset
from steps.core.judges.judging import Judging, models_of, unavailable
from steps.core.providers import provider_class
from steps.core.registry import EVIDENCE, Evidence

GONE = "RESOURCE_DOES_NOT_EXIST"
AGAIN = "Run `mlflow run . -e evaluate` and `-e register` for it first."


class GoneError(InputError):
    """What a version was made from was deleted."""


def own_evidence(
    client: MlflowClient, version: ModelVersion, min_coverage: float = 0.0
) -> Evidence:
    """The evaluation that a version was made from.

    Raises InputError where it is not its own, and GoneError where run or logged model was deleted.
    """
    told, run_id = f"{version.name} version {version.version}", version.tags.get("run_id")
    if not run_id:
        raise InputError(
            f"{told} was not made by `register`, so nothing proves what it can do. {AGAIN}"
        )
    try:
        evidence = Evidence(client.get_run(run_id), min_coverage)
        packed = client.get_logged_model(evidence.tags["model_id"]).tags.get("fingerprint")
    except MlflowException as error:
        if error.error_code != GONE:
            raise
        why = f"what it was made from is gone ({error.message})"
        raise GoneError(f"{told}: {why}. {AGAIN}") from error
    if evidence.run.info.lifecycle_stage == "deleted":
        raise GoneError(f"{told}: its evaluation, run {run_id}, was deleted. {AGAIN}")
    proven = {tag: evidence.tags.get(tag, "none") for tag in EVIDENCE} | {"evidence": evidence.key}
    others = [tag for tag in proven if version.tags.get(tag) != proven[tag]]
    if version.source != f"models:/{evidence.tags['model_id']}" or packed != proven["fingerprint"]:
        others.append("logged model")
    if others:
        raise InputError(f"{told} and its evaluation, run {run_id}, differ in: {', '.join(others)}")
    return evidence


def find_version(client: MlflowClient, name: str, evidence: Evidence) -> ModelVersion | None:
    """The version made from this evidence, or None; one that nothing proves any more is none."""
    found = client.search_model_versions(f"name = '{name}' AND tags.evidence = '{evidence.key}'")
    return next((version for version in found if not _gone(client, version)), None)


def _gone(client: MlflowClient, version: ModelVersion) -> bool:
    try:
        own_evidence(client, version)
    except GoneError:
        return True
    except InputError:  # promote tells what is wrong with it
        return False
    return False


def refuse_other_dataset(evidence: Evidence, dataset: Dataset) -> None:
    """Raises InputError where a version was evaluated on other rows than are asked for."""
    if evidence.tags["dataset_sha256"] != dataset.sha256:
        raise InputError(
            f"{evidence.candidate} was evaluated on {evidence.tags['dataset']} "
            f"({evidence.metrics['rows']:.0f} rows, {evidence.tags['dataset_sha256'][:8]}), not on "
            f"{dataset.name} ({len(dataset.rows)} rows, {dataset.sha256[:8]}): give the same data "
            f"and limit. {AGAIN}"
        )


def changed(evidence: Evidence, config: Config) -> bool:
    """Whether the config's candidate is known to have changed since it was evaluated."""
    (candidate,) = (one for one in config.candidates if one.name == evidence.candidate)
    try:
        return resolve(candidate, config).fingerprint != evidence.tags["fingerprint"]
    except CallError:  # nobody tells who would answer
        return False
    except InputError:  # its prompt or file is not there any more
        return True


def refuse_other_candidate(evidence: Evidence, config: Config) -> None:
    """Raises InputError where the config's candidate has changed since it was evaluated."""
    if changed(evidence, config):
        raise InputError(
            f"{evidence.candidate} has changed since it was evaluated: its prompt, options or code "
            f"in this project are others now. {AGAIN} Or give the version, to take it as it was."
        )


def refuse_other_judge(evidence: Evidence, config: Config, now: str | None) -> None:
    """Raises InputError where other judges than the config's gave the scores.

    `now` is the hash of the config's judges, None where they cannot be asked.
    """
    model = models_of(config.judge)
    judged_by, judge_hash = evidence.tags.get("judge_model"), evidence.tags.get("judge_hash")
    if judge_hash == "none":  # not judged: no gate on a judge's metric can hold
        return
    if judged_by != model or now not in (None, judge_hash):
        raise InputError(
            f"{evidence.candidate} was judged by {judged_by} ({str(judge_hash)[:8]}), and the "
            f"config has {model} ({now[:8] if now else 'not to be asked now'}): model, prompt or "
            f"options differ. {AGAIN}"
        )


def judge_now(config: Config) -> str | None:
    """The hash of the config's judges; None where there is none or one cannot be asked."""
    if not config.judge or any(unavailable(judge) for judge in config.judge):
        return None
    with closing(Journal(config.journal)) as journal:
        return Judging(config.judge, journal, config.own_prices()).hash


def absence(version: ModelVersion) -> str | None:
    """Why it cannot be told now whether the same model still answers; None where it does.

    Raises InputError where another one does, such as an Ollama tag pulled anew.
    """
    config = _packed(version)
    kind = provider_class(config.provider)
    if kind.files:  # what answers is packed into the version
        return None
    try:
        now = kind(config).identity()
    except CallError as error:
        return f"{error} ({error.hint})" if error.hint else str(error)
    if now != config.identity:
        raise InputError(
            f"{version.name} version {version.version}: {config.model} is no longer the one that "
            f"was evaluated; {_differing(config.identity, now)}. {AGAIN}"
        )
    return None


def _packed(version: ModelVersion) -> ModelConfig:
    try:
        model = Model.load(version.source)
    except (MlflowException, OSError) as error:
        told = f"{version.name} version {version.version}: its model cannot be read"
        raise InputError(f"{told} ({error}): restore the artifacts of the store") from error
    return ModelConfig.from_dict(model.flavors["python_function"]["config"])


def _differing(then: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return "; ".join(f"{name} was {then.get(name)}, is {now.get(name)}" for name in names)
