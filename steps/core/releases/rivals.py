"""The holder of an alias as an opponent: measured on the candidate's rows, by its judge."""

from functools import partial

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from llm_models.errors import InputError
from steps.core import predictions
from steps.core.comparing.comparable import ALIKE
from steps.core.registry import Evidence
from steps.core.releases.gates import Holder, Measured
from steps.core.releases.proof import GoneError, own_evidence


def rival(client: MlflowClient, candidate: Evidence, version: ModelVersion | None) -> Holder | None:
    """The version that has the alias, ready to be compared with; None where none has it."""
    if version is None:
        return None
    number = int(version.version)
    try:
        return Holder(number, _opponent(client, candidate, version))
    except InputError as error:
        return Holder(number, obstacle=str(error))


def _opponent(client: MlflowClient, candidate: Evidence, version: ModelVersion) -> Measured | None:
    """None where the two are one model. Raises InputError where they cannot be compared."""
    held, obstacle = _own(client, candidate, version)
    if version.tags.get("fingerprint") == candidate.tags["fingerprint"]:
        return None
    found = _elsewhere(client, candidate, version, held) if obstacle else held
    if found is None:
        raise InputError(obstacle)
    rows = predictions.read(client, found)
    return Measured(found.metrics, lambda: rows)


def _own(
    client: MlflowClient, candidate: Evidence, version: ModelVersion
) -> tuple[Evidence | None, str]:
    """The holder's own evaluation, if it is still there, and what forbids to compare with it."""
    try:
        held = own_evidence(client, version, candidate.min_coverage)
    except GoneError as error:
        return None, str(error)
    return held, _obstacle(candidate, held) if _differing(candidate, held) else ""


def measured(client: MlflowClient, evidence: Evidence) -> Measured:
    return Measured(evidence.metrics, partial(predictions.read, client, evidence))


def _elsewhere(
    client: MlflowClient, candidate: Evidence, version: ModelVersion, held: Evidence | None
) -> Evidence | None:
    """Another evaluation of the holder's model, on the candidate's rows and by its judge."""
    wanted = {"kind": "evaluation", "fingerprint": version.tags.get("fingerprint", "none")}
    wanted |= {tag: candidate.tags.get(tag, "none") for tag in ALIKE}
    told = [f"tags.{tag} = '{value}'" for tag, value in wanted.items()]
    experiments = list({one.run.info.experiment_id for one in (candidate, held) if one})
    runs = client.search_runs(
        experiments,
        " AND ".join([*told, "attributes.status = 'FINISHED'"]),
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return Evidence(runs[0], candidate.min_coverage) if runs else None


def _differing(a: Evidence, b: Evidence) -> list[str]:
    """What is not alike, in words."""
    pairs = {what: [one.tags.get(tag, "none") for one in (a, b)] for tag, what in ALIKE.items()}
    return [what for what, (ours, theirs) in pairs.items() if ours != theirs]


def _obstacle(candidate: Evidence, held: Evidence) -> str:
    unlike = " and ".join(_differing(candidate, held))
    return (
        f"{unlike} differ: evaluate it as well, `mlflow run . -e evaluate "
        f"-P data={candidate.tags['dataset']} -P models={held.candidate}` "
        f"({candidate.metrics['rows']:.0f} rows, same config)"
    )
