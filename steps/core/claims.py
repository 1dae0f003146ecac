"""Taking turns on a registered model, from any machine that reaches the tracking server.

MLflow has no lock and no compare-and-swap, but tags of different keys never overwrite each other.
So each contender hangs up a tag of its own, then looks: alone, it goes ahead; beside one of lower
id it takes its tag down and tries again; else it waits for the others to go. This is the one-bit
algorithm of Burns and Lynch (1993, Information and Computation 107:171), with ids drawn anew.
"""

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from mlflow import MlflowClient

from llm_models.errors import LabError

PREFIX = "claim."
PATIENCE_S = 30.0  # how long to wait for one's turn; a turn takes well under a second
DEAD_AFTER_S = 120.0  # a claim this old was left behind by a process that was killed
PAUSE_S = 0.02  # at least, between two looks


class BusyError(LabError):
    """Others kept at it for longer than one is ready to wait."""


@contextmanager
def turn(
    client: MlflowClient, name: str, what: str, patience_s: float = PATIENCE_S
) -> Iterator[None]:
    """Be the only one to change `what` of the registered model `name`. Raises BusyError.

    Holds where a reader sees every write the store has acknowledged, as it does on one database.
    """
    mine = _wait(client, name, f"{PREFIX}{what}.", time.monotonic() + patience_s)
    try:
        yield
    finally:
        client.delete_registered_model_tag(name, mine)


def _wait(client: MlflowClient, name: str, prefix: str, deadline: float) -> str:
    """Returns the key of one's own claim, once there is no other."""
    while True:
        mine = f"{prefix}{uuid.uuid4().hex}"
        client.set_registered_model_tag(name, mine, _now().isoformat())
        try:
            if _others_gone(client, name, mine, prefix, deadline):
                return mine
        except BaseException:
            with suppress(Exception):  # what is raised here matters more
                client.delete_registered_model_tag(name, mine)
            raise
        client.delete_registered_model_tag(name, mine)
        _pause()


def _others_gone(client: MlflowClient, name: str, mine: str, prefix: str, deadline: float) -> bool:
    """Wait behind claims of higher id; False beside a lower one, which goes first."""
    while others := _others(client, name, mine, prefix):
        if time.monotonic() > deadline:
            since = next(iter(others.values()))
            raise BusyError(
                f"{name}: another process has been at '{prefix[len(PREFIX) : -1]}' since {since}. "
                f"Try again; a claim that was left behind ends after {DEAD_AFTER_S:.0f} s."
            )
        if min(others) < mine:
            return False
        _pause()
    return True


def _others(client: MlflowClient, name: str, mine: str, prefix: str) -> dict[str, str]:
    """The other claims, key to time of its making; dead ones are taken down on the way."""
    tags = client.get_registered_model(name).tags
    found = {k: v for k, v in tags.items() if k.startswith(prefix) and k != mine}
    for key in [k for k, made in found.items() if _dead(made)]:
        client.delete_registered_model_tag(name, key)
        del found[key]
    return found


def _dead(made: str) -> bool:
    return (_now() - datetime.fromisoformat(made)).total_seconds() > DEAD_AFTER_S


def _now() -> datetime:
    return datetime.now(UTC)


def _pause() -> None:
    time.sleep(random.uniform(PAUSE_S, 5 * PAUSE_S))
