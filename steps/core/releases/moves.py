"""Moving an alias: one mover at a time, ledger first, and the classic stages after it."""

import os
import socket
import warnings
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from llm_models.errors import LabError
from steps.core.releases import ledger
from steps.core.releases.claims import turn
from steps.core.releases.ledger import Ledger, Move

STAGES = {"production": "Production", "staging": "Staging"}  # a version has but one: the first


class MovedError(LabError):
    """Somebody else moved the alias in the meantime; nothing was done."""


def move(client: MlflowClient, seen: Ledger, wanted: Move) -> Ledger:
    """Give the alias to `wanted.after` now, if it still is where `seen` says. Raises MovedError.

    The ledger is written first: killed in between, the alias stands still, which `astray` tells
    and the next move writes down. A move is never made that the ledger does not know.
    """
    with turn(client, seen.name, "alias"):  # of any name: stages hang together
        held = ledger.read(client, seen.name, seen.alias)
        _refuse_changed(seen, held)
        if held.astray:
            held = ledger.append(client, held, ledger.found(held))
        written = ledger.append(client, held, replace(wanted, at=ledger.now()))
        try:
            client.set_registered_model_alias(seen.name, seen.alias, str(wanted.after))
        except MlflowException:  # such as: the version has just been deleted
            key = ledger.key_of(seen.alias, written.moves[-1].number)
            client.delete_registered_model_tag(seen.name, key)
            raise
        done = ledger.read(client, seen.name, seen.alias)
        if done.astray:
            raise MovedError(f"{_at(done)} was moved by hand at this very moment; {_now_at(done)}")
        _mirror(client, seen.name, wanted)
    return done


def _refuse_changed(seen: Ledger, held: Ledger) -> None:
    if (held.holder, held.moves) == (seen.holder, seen.moves):
        return
    last = held.moves[-1] if len(held.moves) > len(seen.moves) else None
    by = f" by {last.who} in run {last.run} ({last.reason})" if last else " by hand"
    raise MovedError(
        f"{_at(held)} was moved in the meantime{by}; {_now_at(held)}. Nothing was moved here: "
        "run the same command again to be held against that version."
    )


def _at(one: Ledger) -> str:
    return f"models:/{one.name}@{one.alias}"


def _now_at(one: Ledger) -> str:
    return f"it is version {one.holder} now" if one.holder else "no version has it now"


def who(run: Run) -> str:
    """The user that the tracking server knows, else that of this machine, and the machine."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or run.data.tags.get("mlflow.user", "unknown")
    return f"{user}@{socket.gethostname()}"


def _mirror(client: MlflowClient, name: str, moved: Move) -> None:
    """Classic stages as the aliases are now, where there are stages."""
    transition: Any = getattr(client, "transition_model_version_stage", None)
    if transition is None:
        return
    aliases = {alias: int(v) for alias, v in client.get_registered_model(name).aliases.items()}
    for version in (moved.after, moved.before):
        stages = [s for alias, s in STAGES.items() if aliases.get(alias) == version]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # stages are leaving; aliases stay
                if version is not None:
                    stage = stages[0] if stages else "Archived"
                    transition(name, str(version), stage, bool(stages))
        except MlflowException as error:
            # Backends without stages (Unity Catalog, the next MLflow) say so, and so does a version
            # that was deleted; the alias is what counts.
            print(f"note: version {version} got no classic stage ({error.error_code})")
