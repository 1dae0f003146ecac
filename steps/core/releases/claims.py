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
from datetime import UTC, datetime, timedelta

from mlflow import MlflowClient

from llm_models.errors import LabError
from steps.core.releases.signs_of_life import killed, sign_of_life

PREFIX = "claim."
PATIENCE_S = 30.0  # how long to wait for one's turn; a turn takes well under a second
DEAD_AFTER_S = 120.0  # a claim this old was left behind by a process killed on another machine
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
    with sign_of_life() as sign:
        mine = _wait(client, name, f"{PREFIX}{what}.", sign, time.monotonic() + patience_s)
        try:
            yield
        finally:
            client.delete_registered_model_tag(name, mine)


def _wait(client: MlflowClient, name: str, prefix: str, sign: str, deadline: float) -> str:
    """Returns the key of one's own claim, once there is no other."""
    while True:
        mine = f"{prefix}{uuid.uuid4().hex}"
        client.set_registered_model_tag(name, mine, f"{_now().isoformat()} {sign}")
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
            raise BusyError(_busy(name, prefix.split(".")[1], min(map(_made, others.values()))))
        if min(others) < mine:
            return False
        _pause()
    return True


def _others(client: MlflowClient, name: str, mine: str, prefix: str) -> dict[str, str]:
    """The other claims, key to text; dead ones are taken down on the way."""
    tags = client.get_registered_model(name).tags
    found = {k: v for k, v in tags.items() if k.startswith(prefix) and k != mine}
    for key in [k for k, text in found.items() if _dead(text)]:
        client.delete_registered_model_tag(name, key)
        del found[key]
    return found


def _dead(text: str) -> bool:
    try:
        made = _made(text)
    except ValueError:  # nobody's: no claim is written so
        return True
    return (_now() - made).total_seconds() > DEAD_AFTER_S or killed(text.partition(" ")[2])


def _made(text: str) -> datetime:
    """When a claim was hung up."""
    return datetime.fromisoformat(text.partition(" ")[0]).astimezone(UTC)


def _busy(name: str, what: str, since: datetime) -> str:
    end = since + timedelta(seconds=DEAD_AFTER_S)
    return (
        f"{name}: another process has been at '{what}' since {since:%H:%M:%S} UTC. Try again; if "
        f"it was killed on another machine, its claim ends at {end:%H:%M:%S} UTC."
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _pause() -> None:
    time.sleep(random.uniform(PAUSE_S, 5 * PAUSE_S))
