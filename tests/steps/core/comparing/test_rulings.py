"""Worse fails, too few rows decide nothing, and what is shown not to lose much passes."""

import json
from dataclasses import replace

import pytest

from steps.core.comparing import comparison_text, report
from steps.core.verdict import Verdict
from tests.steps.core.compared_models import board_of, compare, model

PASS, FAIL, UNSURE = Verdict.PASS, Verdict.FAIL, Verdict.NOT_ENOUGH_EVIDENCE


@pytest.mark.parametrize(
    ("base", "other", "verdict", "reason"),
    [
        ([1] * 40, [0] * 20 + [1] * 20, FAIL, "worse by 0.50"),
        ([0] * 40, [1] * 40, PASS, "a loss of more than 0.1 is ruled out"),
        ([1] * 40, [1] * 40, PASS, "a loss of more than 0.1 is ruled out"),
        ([1] * 12, [1] * 12, UNSURE, "a loss of more than 0.1 is not ruled out"),
        ([1] * 5, [0] * 5, UNSURE, "not enough rows: 5 scored for both"),
        ([1] * 5, [None] * 5, UNSURE, "not enough rows: 0 scored for both"),
        (
            [1] * 30,
            [1] * 28 + [0] * 2,
            UNSURE,
            "a loss of more than 0.1 is not ruled out; about 53 rows would tell",
        ),
    ],
    ids=["worse", "better", "same", "same on few", "few", "unanswered", "perhaps worse"],
)
def test_a_model_is_ruled_on_by_what_its_rows_can_show(
    base: list[int], other: list[int | None], verdict: Verdict, reason: str
) -> None:
    found = compare([model("a", base), model("b", other)], "a")
    assert found.verdict is verdict
    assert found.verdict_told() == [f"b: {verdict}, by correctness: {reason}"]


def test_as_many_rows_as_it_asks_for_do_tell() -> None:
    few, told = [1] * 28 + [0] * 2, 53
    assert compare([model("a", [1] * 30), model("b", few)], "a").verdict is UNSURE
    many = [1] * (told - 1) + [0]
    assert compare([model("a", [1] * told), model("b", many)], "a").verdict is PASS


def test_below_the_floor_of_coverage_there_is_no_evidence() -> None:
    models = [model("a", [1] * 80), model("b", [1] * 50 + ["broke"] * 30)]
    board = board_of(models)
    strict = replace(board, lines=[replace(line, min_coverage=0.8) for line in board.lines])
    assert compare(models, "a", board).verdict is PASS
    told = compare(models, "a", strict).verdict_told()
    assert len(told) == 1
    assert told[0].startswith("b: not enough evidence, by correctness: ")
    assert "coverage 0.62 < 0.8" in told[0]


def test_how_much_may_be_lost_is_for_the_user_to_say() -> None:
    models = [model("a", [1] * 30), model("b", [1] * 28 + [0] * 2)]
    assert compare(models, "a", max_loss=0.3).verdict is PASS
    assert compare(models, "a", max_loss=0.05).verdict is UNSURE


def test_the_worst_model_decides() -> None:
    models = [model("a", [1] * 40), model("good", [1] * 40), model("bad", [0] * 40)]
    assert compare(models, "a").verdict is FAIL
    assert compare(models[:2], "a").verdict is PASS


def test_without_a_named_baseline_nothing_is_decided() -> None:
    models = [model("a", [1] * 40), model("bad", [0] * 40)]
    assert compare(models).verdict is PASS
    assert compare(models).verdict_told() == []
    assert "verdict" not in comparison_text.markdown(compare(models), board_of(models), {})[:50]


def test_a_named_baseline_alone_is_no_evidence() -> None:
    found = compare([model("a", [1] * 40)], "a")
    assert found.verdict is UNSURE
    assert found.verdict_told() == ["no model was compared with a by correctness/mean"]


def test_another_scorer_than_that_of_rank_by_decides_nothing() -> None:
    found = compare([model("a", [1] * 40, "safety"), model("b", [0] * 40, "safety")], "a")
    assert [one.verdict for one in found.rulings] == [FAIL]
    assert found.verdict is UNSURE


def test_verdict_and_reason_stand_in_every_output() -> None:
    models = [model("a", [1] * 40), model("b", [0] * 40)]
    found, board = compare(models, "a"), board_of(models)
    reason = "b: fail, by correctness: worse by 1.00"
    assert reason in comparison_text.text(found, board)
    assert comparison_text.markdown(found, board, {}).startswith(f"**verdict: fail**\n\n- {reason}")
    page = report.html(found, board, models, {})
    assert ">verdict: fail<" in page
    assert f"<li>{reason}</li>" in page
    told = json.loads(found.json())
    assert (told["verdict"], told["max_loss"], told["rulings"][0]["verdict"]) == (
        "fail",
        0.1,
        "fail",
    )
