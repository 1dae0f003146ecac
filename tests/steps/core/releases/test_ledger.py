"""What the tags of a registered model tell of an alias, and which way leads back."""

import json
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from steps.core.releases import ledger
from steps.core.releases.ledger import Ledger, LedgerError, Move

Step = tuple[str, int | None]


def made(*steps: Step, first: int | None = None, holder: int | None = -1) -> Ledger:
    """A ledger of (action, version)s; the holder is the last of them unless told."""
    moves, before = [], first
    for action, after in steps:
        moves.append(Move(action, before, after, ledger.now(), "me", "why", None))
        before = after
    return Ledger("m", "production", tuple(moves), before if holder == -1 else holder)


@pytest.mark.parametrize(
    ("one", "way"),
    [
        (made(), []),
        (made(("promote", 1)), []),
        (made(("promote", 1), ("promote", 2)), [1]),
        (made(("promote", 1), ("promote", 2), ("promote", 3)), [2, 1]),
        (made(("promote", 1), ("promote", 2), ("promote", 3), ("rollback", 2)), [1]),
        (made(("promote", 1), ("promote", 2), ("promote", 3), ("rollback", 1)), []),
        (made(("promote", 1), ("promote", 2), ("rollback", 1), ("promote", 3)), [1]),
        (made(("promote", 1), ("promote", 2), ("promote", 1), ("promote", 3)), [1, 2, 1]),
        (
            made(("promote", 1), ("promote", 2), ("promote", 1), ("promote", 3), ("rollback", 1)),
            [2, 1],
        ),
        (made(("promote", 2), first=5), [5]),
        (made(("promote", 1), ("promote", 2), ("found", 7)), [2, 1]),
        (made(("promote", 1), ("promote", 2), holder=7), [2, 1]),
        (made(("promote", 1), ("promote", 2), ("promote", 3), holder=2), [1]),
        (made(("promote", 1), ("promote", 2), ("found", None)), [2, 1]),
        (made(("promote", 1), ("promote", 2), holder=None), [2, 1]),
        (made(("promote", 1), ("promote", 2), ("found", None), ("rollback", 2)), [1]),
        (made(holder=4), []),
    ],
)
def test_the_way_back_never_leads_forward(one: Ledger, way: list[int]) -> None:
    assert one.way_back() == way


def test_who_held_an_alias_is_known_from_the_ends_of_every_move() -> None:
    assert made(("promote", 2), ("found", None), ("promote", 4), first=1, holder=9).held() == [
        1,
        2,
        4,
        9,
    ]
    assert made().held() == []


def test_an_alias_is_astray_where_the_ledger_did_not_leave_it() -> None:
    assert not made(("promote", 1)).astray
    assert made(("promote", 1), holder=2).astray
    assert made(("promote", 1), holder=None).astray
    assert not made(holder=2).astray  # there is no ledger yet


@pytest.fixture
def model(client: MlflowClient, registered_name: str) -> str:
    client.create_registered_model(registered_name)
    return registered_name


def written(client: MlflowClient, model: str, count: int) -> Ledger:
    one = ledger.read(client, model, "staging")
    for number in range(1, count + 1):
        facts = {"verdict": "pass", "gate_sha256": "ab" * 32}
        at, before = f"2026-01-0{number}T00:00:00+00:00", number - 1 or None
        move = Move(
            "promote", before, number, at, "me@here", f"why {number}: ñ, 日本", "run", facts
        )
        one = ledger.append(client, one, move)
    return one


def test_what_is_written_is_read_back(client: MlflowClient, model: str) -> None:
    kept = written(client, model, 3)
    assert ledger.read(client, model, "staging") == kept
    assert [move.number for move in kept.moves] == [1, 2, 3]
    assert kept.edited() == []
    assert ledger.read(client, model, "production").moves == ()


def test_an_entry_is_one_tag_that_an_auditor_can_read(client: MlflowClient, model: str) -> None:
    written(client, model, 1)
    told = json.loads(client.get_registered_model(model).tags["promotion.staging.000001"])
    names = {"action", "from", "to", "when", "who", "reason", "run", "verdict", "gate_sha256"}
    assert names <= told.keys()
    assert (told["from"], told["to"], told["reason"]) == (None, 1, "why 1: ñ, 日本")


def test_an_entry_that_was_changed_or_taken_away_shows(client: MlflowClient, model: str) -> None:
    kept = written(client, model, 4)
    forged = replace(kept.moves[1], who="somebody else")
    client.set_registered_model_tag(model, ledger.key_of("staging", 2), forged.text())
    assert ledger.read(client, model, "staging").edited() == [3]
    client.delete_registered_model_tag(model, ledger.key_of("staging", 2))
    assert ledger.read(client, model, "staging").edited() == [3]


def test_after_a_gap_the_numbers_go_on(client: MlflowClient, model: str) -> None:
    written(client, model, 3)
    client.delete_registered_model_tag(model, ledger.key_of("staging", 2))
    one = ledger.read(client, model, "staging")
    assert ledger.append(client, one, replace(one.moves[0], reason="new")).moves[-1].number == 4


def test_an_entry_that_the_database_would_cut_is_refused(client: MlflowClient, model: str) -> None:
    with pytest.raises(LedgerError, match="does not fit: shorten the reason"):
        ledger.append(client, ledger.read(client, model, "staging"), _long("x" * 5000))
    assert client.get_registered_model(model).tags == {}


def _long(reason: str) -> Move:
    return Move("promote", None, 1, ledger.now(), "me", reason, None)


@pytest.mark.parametrize("text", ["", "moved", "[]", "5", '{"action": "promote"}'])
def test_a_tag_that_is_no_entry_is_named(client: MlflowClient, model: str, text: str) -> None:
    client.set_registered_model_tag(model, "promotion.staging.000001", text)
    with pytest.raises(LedgerError, match=r"promotion\.staging\.000001 is no entry"):
        ledger.read(client, model, "staging")


def test_a_model_that_is_not_there_has_an_empty_ledger(client: MlflowClient) -> None:
    assert ledger.read(client, "llm_nobody", "staging") == Ledger("llm_nobody", "staging", (), None)
