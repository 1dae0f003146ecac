"""One at a time on a registered model, through nothing but tags that everybody can see."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from steps.core.releases.claims import DEAD_AFTER_S, BusyError, turn

ROOT = Path(__file__).parents[4]
LOWEST, HIGHEST = "0" * 32, "g" * 32  # below and above every id that is drawn


@pytest.fixture
def model(client: MlflowClient, registered_name: str) -> str:
    client.create_registered_model(registered_name)
    return registered_name


def claim(client: MlflowClient, model: str, what: str, key: str, age_s: float = 0) -> str:
    """What another process would have hung up."""
    tag = f"claim.{what}.{key}"
    made = datetime.now(UTC) - timedelta(seconds=age_s)
    client.set_registered_model_tag(model, tag, made.isoformat())
    return tag


def claims(client: MlflowClient, model: str) -> set[str]:
    return set(client.get_registered_model(model).tags)


def test_a_turn_can_be_seen_and_leaves_nothing(client: MlflowClient, model: str) -> None:
    with turn(client, model, "staging"):
        (mine,) = claims(client, model)
        assert mine.startswith("claim.staging.")
    assert claims(client, model) == set()


def test_a_turn_that_fails_leaves_nothing(client: MlflowClient, model: str) -> None:
    with pytest.raises(ZeroDivisionError), turn(client, model, "staging"):
        raise ZeroDivisionError
    assert claims(client, model) == set()


def test_turns_of_many_never_overlap(client: MlflowClient, model: str) -> None:
    inside, most, done = 0, 0, 0

    def contend() -> None:
        nonlocal inside, most, done
        mine = MlflowClient()
        for _ in range(3):
            with turn(mine, model, "staging"):
                inside += 1
                most = max(most, inside)
                client.get_registered_model(model)  # time for others to come in
                inside -= 1
                done += 1

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (done, most) == (12, 1)
    assert claims(client, model) == set()


@pytest.mark.parametrize("key", [LOWEST, HIGHEST], ids=["goes first", "comes after"])
def test_who_waits_in_vain_is_told_and_takes_its_claim_down(
    client: MlflowClient, model: str, key: str
) -> None:
    other = claim(client, model, "staging", key)
    told = "another process has been at 'staging' since"
    with pytest.raises(BusyError, match=told), turn(client, model, "staging", patience_s=0.1):
        pytest.fail("there were two at once")
    assert claims(client, model) == {other}


def test_a_claim_on_something_else_is_in_nobodys_way(client: MlflowClient, model: str) -> None:
    other = claim(client, model, "production", LOWEST)
    with turn(client, model, "staging", patience_s=0):
        assert other in claims(client, model)


def test_a_claim_of_a_process_killed_on_this_machine_ends_at_once(
    client: MlflowClient, model: str
) -> None:
    killed = (
        "import os; from mlflow import MlflowClient; from steps.core.releases.claims import turn\n"
        f"with turn(MlflowClient(), {model!r}, 'staging'): os.kill(os.getpid(), 9)"
    )
    given = os.environ | {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    command = [sys.executable, "-c", killed]
    assert subprocess.run(command, env=given, cwd=ROOT, check=False, timeout=60).returncode == -9
    (left,) = claims(client, model)
    with turn(client, model, "staging", patience_s=0):
        assert left not in claims(client, model)
    assert claims(client, model) == set()


def test_who_lives_on_this_machine_is_waited_for(client: MlflowClient, model: str) -> None:
    with turn(client, model, "staging"):
        (held,) = claims(client, model)
        told = r"'staging' since [\d:]{8} UTC.* its claim ends at [\d:]{8} UTC"
        with pytest.raises(BusyError, match=told), turn(client, model, "staging", patience_s=0):
            pytest.fail("there were two at once")
        assert claims(client, model) == {held}


@pytest.mark.parametrize("text", ["", "garbage", "../../etc/passwd"])
def test_a_tag_that_is_no_claim_is_in_nobodys_way(
    client: MlflowClient, model: str, text: str
) -> None:
    client.set_registered_model_tag(model, f"claim.staging.{LOWEST}", text)
    with turn(client, model, "staging", patience_s=0):
        assert len(claims(client, model)) == 1


def test_a_claim_of_a_process_killed_elsewhere_ends_in_time(
    client: MlflowClient, model: str
) -> None:
    claim(client, model, "staging", LOWEST, age_s=DEAD_AFTER_S + 1)
    with turn(client, model, "staging", patience_s=0):
        assert len(claims(client, model)) == 1
    assert claims(client, model) == set()
