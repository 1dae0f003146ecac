"""An alias moves together with its ledger and its stage, or not at all."""

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from steps.core.releases import ledger
from steps.core.releases.ledger import FOUND, Ledger, Move
from steps.core.releases.moves import MovedError, move

VERSIONS = 5
Mover = Callable[..., Ledger]


@pytest.fixture
def model(client: MlflowClient, registered_name: str, tmp_path: object) -> str:
    client.create_registered_model(registered_name)
    for _ in range(VERSIONS):
        client.create_model_version(registered_name, f"{tmp_path}")
    return registered_name


def wanted(seen: Ledger, after: int, who: str = "me") -> Move:
    return Move("promote", seen.holder, after, ledger.now(), who, "why", f"run of {who}")


@pytest.fixture
def mover(client: MlflowClient, model: str) -> Mover:
    """Moves an alias from where it is now, or from where it was `seen`."""

    def go(after: int, alias: str = "staging", seen: Ledger | None = None) -> Ledger:
        seen = seen or ledger.read(client, model, alias)
        return move(client, seen, wanted(seen, after))

    return go


def stages(client: MlflowClient, model: str) -> dict[int, str]:
    found = client.search_model_versions(f"name = '{model}'")
    staged = {int(v.version): v.current_stage for v in found}
    return {version: stage for version, stage in sorted(staged.items()) if stage != "None"}


def test_alias_ledger_and_stage_move_together(
    client: MlflowClient, model: str, mover: Mover
) -> None:
    mover(1)
    done = mover(2)
    assert (done.holder, done.last, done.astray) == (2, 2, False)
    assert [(m.before, m.after) for m in done.moves] == [(None, 1), (1, 2)]
    assert stages(client, model) == {1: "Archived", 2: "Staging"}
    assert set(client.get_registered_model(model).tags) == {
        "promotion.staging.000001",
        "promotion.staging.000002",
    }


def test_stages_are_as_the_aliases_are_whichever_moved_last(
    client: MlflowClient, model: str, mover: Mover
) -> None:
    mover(1)
    mover(1, "production")
    assert stages(client, model) == {1: "Production"}  # a version has one stage
    mover(2)
    assert stages(client, model) == {1: "Production", 2: "Staging"}
    mover(2, "production")
    assert stages(client, model) == {1: "Archived", 2: "Production"}
    mover(1, "production")  # back, while 2 still has staging
    assert stages(client, model) == {1: "Production", 2: "Staging"}
    mover(1)
    assert stages(client, model) == {1: "Production", 2: "Archived"}


def test_who_looked_before_another_moved_is_told_and_moves_nothing(
    client: MlflowClient, model: str, mover: Mover
) -> None:
    seen = mover(1)
    after = mover(2)
    with pytest.raises(MovedError, match=r"in the meantime by me in run run of me .* version 2"):
        mover(3, seen=seen)
    assert ledger.read(client, model, "staging") == after


def test_who_looked_before_a_hand_moved_it_is_told(
    client: MlflowClient, model: str, mover: Mover
) -> None:
    seen = mover(1)
    client.set_registered_model_alias(model, "staging", "4")
    with pytest.raises(MovedError, match=r"by hand; it is version 4 now"):
        mover(3, seen=seen)


@pytest.mark.parametrize("by_hand", [4, None])
def test_a_move_by_hand_is_written_down_before_the_next(
    client: MlflowClient, model: str, mover: Mover, by_hand: int | None
) -> None:
    mover(1)
    client.delete_registered_model_alias(model, "staging")
    if by_hand:
        client.set_registered_model_alias(model, "staging", str(by_hand))
    done = mover(2)
    assert [(m.action, m.before, m.after) for m in done.moves] == [
        ("promote", None, 1),
        ("found", 1, by_hand),
        ("promote", by_hand, 2),
    ]
    assert (done.moves[1].who, done.moves[1].reason) == ("unknown", FOUND)
    assert done.edited() == []


def test_an_entry_tells_when_the_alias_moved_not_when_that_was_decided(
    client: MlflowClient, model: str, mover: Mover
) -> None:
    seen, decided = mover(1), "2026-01-01T00:00:00+00:00"
    done = move(client, seen, replace(wanted(seen, 2), at=decided))
    assert done.moves[0].at <= done.moves[1].at


def test_a_mover_killed_before_the_alias_moved_is_found_out(
    client: MlflowClient, model: str, mover: Mover
) -> None:
    seen = mover(1)
    ledger.append(client, seen, wanted(seen, 2))  # and no further
    assert ledger.read(client, model, "staging").way_back() == []
    done = mover(3)
    assert [(m.action, m.before, m.after) for m in done.moves[1:]] == [
        ("promote", 1, 2),
        ("found", 2, 1),
        ("promote", 1, 3),
    ]
    assert done.way_back() == [1]


def test_a_version_that_is_gone_leaves_no_trace_in_the_ledger(
    client: MlflowClient, model: str, mover: Mover
) -> None:
    before = mover(1)
    with pytest.raises(MlflowException, match="not found"):
        mover(VERSIONS + 1)
    assert ledger.read(client, model, "staging") == before


def test_the_stage_of_a_deleted_version_is_in_nobodys_way(
    client: MlflowClient, model: str, mover: Mover
) -> None:
    mover(1)
    client.delete_model_version(model, "1")
    assert mover(2).holder == 2
    assert stages(client, model) == {2: "Staging"}


def test_of_movers_that_saw_the_same_one_wins_and_the_others_are_told(
    client: MlflowClient, model: str
) -> None:
    seen = ledger.read(client, model, "staging")
    together, told = threading.Barrier(4), []

    def contend(after: int) -> None:
        mine = MlflowClient()
        together.wait(20)
        try:
            move(mine, seen, wanted(seen, after, f"mover {after}"))
        except MovedError as error:
            told.append(str(error))

    threads = [threading.Thread(target=contend, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = ledger.read(client, model, "staging")
    assert len(done.moves) == 1
    assert done.holder == done.moves[0].after
    assert len(told) == 3
    assert all(f"by mover {done.holder}" in each for each in told)


def test_every_entry_begins_where_the_one_before_ended(mover: Mover) -> None:
    for version in (1, 2, 3, 2, 1):
        done = mover(version)
    assert all(one.after == after.before for one, after in pairwise(done.moves))
