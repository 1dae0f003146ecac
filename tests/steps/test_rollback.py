"""`rollback` and `history` as commands: back one holder at a time, and all of it told."""

import json

import pytest
from mlflow import MlflowClient

from steps.core.registry import Evidence
from steps.core.releases.ledger import Move, now
from steps.core.releases.moves import move
from steps.core.releases.versions import ensure_registered
from tests.steps.conftest import CopyRun
from tests.steps.releases import Desk

WHY = {"alias": "staging", "reason": "worse answers"}


@pytest.fixture
def three(client: MlflowClient, copy_run: CopyRun, desk: Desk) -> Desk:
    """Versions 1, 2 and 3, given staging one after the other, as `promote` does it."""
    for number in (1, 2, 3):
        run = copy_run("good", {"price_hash": f"{number}"}, recall=0.6)
        ensure_registered(client, Evidence(run))
        facts = {"verdict": "pass", "candidate": "good"}
        seen, why = desk.ledger(), f"release {number}"
        wanted = Move("promote", seen.holder, number, now(), "me", why, run.info.run_id, facts)
        move(client, seen, wanted)
    return desk


def test_each_rollback_goes_one_holder_further_back(three: Desk) -> None:
    first = three.done("rollback", **WHY)
    assert f"models:/{three.name}@staging is version 2 (was version 3): worse answers" in first
    three.done("rollback", **WHY)
    assert three.holder() == 1
    end = three.run("rollback", **WHY)
    assert end.exit_code == 1
    assert "no version had it before version 1" in end.output
    assert [(m.action, m.after) for m in three.ledger().moves[3:]] == [
        ("rollback", 2),
        ("rollback", 1),
    ]


def test_a_release_after_a_rollback_is_rolled_back_to_what_it_replaced(
    copy_run: CopyRun, three: Desk
) -> None:
    three.done("rollback", **WHY)
    copy_run("good", {"price_hash": "4"}, recall=0.9)
    three.promoted()
    assert three.holder() == 4
    three.done("rollback", **WHY)
    assert three.holder() == 2


def test_back_to_a_version_by_number_if_it_ever_had_the_alias(
    copy_run: CopyRun, three: Desk
) -> None:
    three.done("rollback", version=1, **WHY)
    assert three.holder() == 1
    copy_run("poor", recall=0.5)
    three.done("register")
    refused = three.run("rollback", version=4, **WHY)
    assert refused.exit_code == 1
    assert "4 cannot have" in refused.output
    assert "these had: 2, 3" in refused.output


def test_a_move_by_hand_is_told_written_down_and_undone(client: MlflowClient, three: Desk) -> None:
    client.set_registered_model_alias(three.name, "staging", "1")
    told = three.done("history", alias="staging")
    assert "is held by version 1" in told
    assert "careful: the ledger left it at version 3: moved outside of this ledger" in told
    client.set_registered_model_alias(three.name, "staging", "2")
    three.done("rollback", **WHY)
    assert three.holder() == 1
    actions = [(m.action, m.before, m.after) for m in three.ledger().moves[3:]]
    assert actions == [("found", 3, 2), ("rollback", 2, 1)]


def test_an_alias_deleted_by_hand_comes_back(client: MlflowClient, three: Desk) -> None:
    client.delete_registered_model_alias(three.name, "staging")
    assert "is held by nobody" in three.done("history")
    assert "(had no version)" in three.done("rollback", **WHY)
    assert three.holder() == 3


def test_a_deleted_version_is_passed_over_and_its_tenure_still_told(
    client: MlflowClient, three: Desk
) -> None:
    client.delete_model_version(three.name, "2")
    assert "2 of" in three.run("rollback", version=2, **WHY).output
    three.done("rollback", **WHY)
    assert three.holder() == 1
    assert "1 → 2" in three.done("history")


def test_a_rollback_needs_a_reason_and_a_model_to_roll_back(three: Desk) -> None:
    silent = three.run("rollback", alias="staging")
    assert (silent.exit_code, "reason: tell why" in silent.output) == (1, True)
    assert three.run("rollback", alias="champion", reason="x").exit_code == 1
    assert three.holder() == 3


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"alias": "production"}, "name: no model of these candidates ever had production"),
        ({"alias": ""}, "alias: tell which, staging or production"),
        ({"alias": "staging", "name": "llm_nobody"}, "there is no registered model 'llm_nobody'"),
    ],
)
def test_a_rollback_of_what_there_is_not_is_refused(
    three: Desk, asked: dict[str, str], told: str
) -> None:
    done = three.run("rollback", reason="x", **asked)
    assert (done.exit_code, three.holder()) == (1, 3)
    assert told in done.output


def test_a_rollback_with_every_other_version_deleted_tells_so(
    client: MlflowClient, three: Desk
) -> None:
    for version in "123":
        client.delete_model_version(three.name, version)
    done = three.run("rollback", **WHY)
    assert done.exit_code == 1
    assert f"models:/{three.name}@staging: no version had it but 3, 2, 1, which was" in done.output


def test_a_rollback_is_a_run_of_its_own_and_takes_the_stage_along(
    client: MlflowClient, three: Desk
) -> None:
    three.done("rollback", **WHY)
    move = three.ledger().moves[-1]
    run = client.get_run(move.run)
    assert run.data.params["reason"] == move.reason == "worse answers"
    assert [f.path for f in client.list_artifacts(move.run)] == ["rollback.json"]
    stages = [client.get_model_version(three.name, n).current_stage for n in "123"]
    assert stages == ["Archived", "Staging", "Archived"]


def test_history_tells_who_from_when_until_when_and_why(three: Desk) -> None:
    three.done("rollback", **WHY)
    told = three.done("history")
    rows = [line for line in told.splitlines() if " → " in line]
    assert [row.split("│")[4].strip() for row in rows] == ["– → 1", "1 → 2", "2 → 3", "3 → 2"]
    for row, part in zip(
        rows, ("release 1", "release 2", "release 3", "worse answers"), strict=True
    ):
        assert part in row
    assert [" now " in row for row in rows] == [False, False, False, True]
    assert "careful" not in told


def test_history_does_not_tell_of_a_holder_that_it_holds_it_now_where_it_does_not(
    client: MlflowClient, three: Desk
) -> None:
    client.set_registered_model_alias(three.name, "staging", "1")
    told = three.done("history")
    assert "is held by version 1" in told
    assert " now " not in told
    assert " unknown " in next(line for line in told.splitlines() if "2 → 3" in line)


def test_history_of_a_name_that_is_not_registered_is_refused(desk: Desk) -> None:
    done = desk.run("history", name="llm_nobody")
    assert (done.exit_code, done.output) == (
        1,
        "Error: name: there is no registered model 'llm_nobody'; `info -P models=all` lists them\n",
    )


def test_history_as_json_holds_every_entry(three: Desk) -> None:
    (one,) = json.loads(three.done("history", format="json"))
    assert (one["name"], one["alias"], one["holder"]) == (three.name, "staging", 3)
    assert [(m["from"], m["to"], m["verdict"]) for m in one["moves"]] == [
        (None, 1, "pass"),
        (1, 2, "pass"),
        (2, 3, "pass"),
    ]
    assert [m["until"] for m in one["moves"]] == [m["when"] for m in one["moves"][1:]] + [None]
    assert one["warnings"] == []


def test_history_warns_of_an_entry_that_was_changed(client: MlflowClient, three: Desk) -> None:
    client.delete_registered_model_tag(three.name, "promotion.staging.000002")
    assert "careful: before entry 3 an entry was changed or taken away" in three.done("history")


def test_history_of_what_was_only_ever_moved_by_hand(
    client: MlflowClient, copy_run: CopyRun, desk: Desk
) -> None:
    assert desk.run("history").stdout == "No alias was ever moved.\n"
    copy_run("good", recall=0.9)
    desk.done("register")
    client.set_registered_model_alias(desk.name, "production", "1")
    told = desk.done("history")
    assert f"models:/{desk.name}@production is held by version 1" in told
    assert "careful: it was given by hand" in told
