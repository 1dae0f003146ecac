"""Giving an alias back to a version that had it before."""

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llm_models.errors import InputError
from steps.core.releases import ledger, moves, proof
from steps.core.releases.ledger import Ledger, Move


def target(client: MlflowClient, one: Ledger, number: int | None) -> ModelVersion:
    """The version before the present one, or the one asked for, if it ever had the alias.

    Versions that were deleted are passed over. Raises InputError where there is none.
    """
    uri = f"models:/{one.name}@{one.alias}"
    if number is not None and (number not in one.held() or number == one.holder):
        others = ", ".join(str(held) for held in one.held() if held != one.holder) or "none"
        raise InputError(
            f"version: {number} cannot have {uri} back; before it, these had: {others}"
        )
    for each in [number] if number is not None else one.way_back():
        try:
            return client.get_model_version(one.name, str(each))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            if number is not None:
                raise InputError(f"version: {number} of {one.name} was deleted") from error
    gone = ", ".join(str(each) for each in one.way_back())
    deleted = f" but {gone}, which was deleted" if gone else ""
    before = f" before version {one.holder}" if one.holder else ""
    raise InputError(f"{uri}: no version had it{before}{deleted}")


def give_back(
    client: MlflowClient, run: Run, one: Ledger, version: ModelVersion, reason: str
) -> Ledger:
    """Move the alias and write it down. Raises MovedError and BusyError."""
    tags = version.tags
    facts = {name: tags[name] for name in ("candidate", "dataset", "fingerprint") if name in tags}
    wanted = Move(
        action="rollback",
        before=one.holder,
        after=int(version.version),
        at=ledger.now(),
        who=moves.who(run),
        reason=reason,
        run=run.info.run_id,
        facts={"verdict": "not checked"} | facts,
    )
    return moves.move(client, one, wanted)


def doubts(version: ModelVersion) -> str | None:
    """Why the version may not answer as it did; no reason not to go back to it."""
    try:
        return proof.absence(version)
    except InputError as error:
        return str(error)
