"""A score counts for the answer it was given for, and for no other."""

from typing import Any

import pytest

from steps.core.human import ANOTHER, People
from steps.core.scores.scorer import Score
from tests.steps.core.human_scores import answer, rating


def test_a_bound_score_counts_for_that_answer_whoever_gives_it() -> None:
    people = People([rating(text="Paris", candidate="good", rationale="right")])
    for candidate in ("good", "poor"):
        assert people.score(candidate, answer("Paris\n")) == Score(True, "right", "people")
    assert people.score("poor", answer("Lyon")) is None


def test_an_answer_that_has_changed_since_is_missing_and_not_passed_over() -> None:
    people = People([rating(text="Lyon", candidate="good")])
    assert people.score("good", answer("Paris")) == ANOTHER
    assert people.told(["good"], ["r"]) == (
        "human: 0 of 1 scores count; 1 left out, of answers that no candidate gave this time"
    )


def test_a_score_that_names_no_answer_counts_for_the_candidate_and_repeat_it_names() -> None:
    people = People([rating(candidate="good", repeat=1)])
    assert people.score("good", answer(repeat=1)) == Score(True, None, "people")
    assert people.score("good", answer(repeat=0)) is None
    assert people.score("poor", answer(repeat=1)) is None


def test_rows_that_nobody_judged_are_no_rows_of_people() -> None:
    people = People([rating(score=None, text="Paris", candidate="good")])
    assert people.score("good", answer()) is None
    assert people.score("good", answer(row="other")) is None


def test_a_row_that_people_were_to_judge_is_missing_where_it_was_not_answered() -> None:
    people = People([rating(score=None, candidate="good", repeat=0)])
    assert people.lists("good", "r", 0)
    assert not people.lists("good", "r", 1)
    assert not people.lists("poor", "r", 0)
    assert not people.lists("good", "other", 0)
    assert not People([rating(text="Lyon")]).lists("good", "r", 0)


@pytest.mark.parametrize(
    ("scores", "value"),
    [
        ((True, True), True),
        ((True, False), 0.5),
        ((True, True, False), pytest.approx(2 / 3)),
        ((4.0, 5.0), 4.5),
    ],
)
def test_several_people_are_one_score(scores: tuple[Any, ...], value: object) -> None:
    ratings = [rating(s, rater=f"p{i}", rationale=f"n{i}") for i, s in enumerate(scores)]
    found = People(ratings).score("good", answer())
    assert isinstance(found, Score)
    assert found.value == value
    assert found.rater == ", ".join(f"p{i}" for i in range(len(scores)))
    assert found.rationale == "; ".join(f"p{i}: n{i}" for i in range(len(scores)))


def test_what_did_not_count_is_told_by_reason() -> None:
    people = People(
        [
            rating(text="Paris"),
            rating(text="Lyon"),
            rating(candidate="gone"),
            rating(id="beyond"),
            rating(score=None, id="unread"),
        ]
    )
    people.score("good", answer())
    told = people.told(["good"], ["r", "unread"])
    assert told.startswith("human: 1 of 4 scores count; ")
    assert "1 left out, of answers that no candidate gave this time" in told
    assert "1 left out, of candidates that were not asked" in told
    assert "1 left out, of rows that were not asked" in told


@pytest.mark.parametrize(("scores", "bounds"), [((True, False), (0, 1)), ((1.0, 5.0), None)])
def test_a_scale_is_known_where_it_is_yes_and_no(scores: tuple[Any, ...], bounds: object) -> None:
    assert People([rating(s, id=f"r{i}") for i, s in enumerate(scores)]).bounds == bounds
