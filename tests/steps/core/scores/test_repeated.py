"""Asked again: who may try k times, who must never fail, and how far the mean moves."""

import pytest

from steps.core.scores.repeated import repeated, repeated_by
from steps.core.scores.scorer_total import ScorerTotal


def total(*rows: list[float | None]) -> ScorerTotal:
    """A list of the repeats' scores for each row; None where there was no answer."""
    made = ScorerTotal((0.0, 1.0))
    for i, scores in enumerate(rows):
        for repeat, score in enumerate(scores):
            if score is None:
                made.unanswered.append((f"r{i}", repeat))
            else:
                made.add((f"r{i}", repeat), score)
    return made


def test_one_right_answer_is_enough_for_pass_at_k_and_one_wrong_too_many_for_pass_hat_k() -> None:
    found = repeated(total([1, 1, 1], [1, 0, 1], [0, 0, 0], [0, 0, 1]), 3)
    assert found is not None
    assert found.metrics("s") == {
        "s/pass_at_3": pytest.approx(3 / 4),
        "s/pass_hat_3": pytest.approx(1 / 4),
        "s/spread": pytest.approx(0.25),  # of the means 0.5, 0.25 and 0.75
        "s/repeats_coverage": 1.0,
    }
    assert (found.rows, found.changing) == (4, 2)


def test_only_rows_scored_every_time_count_and_their_share_is_told() -> None:
    found = repeated(total([1, 1], [1, None], [None, None]), 2)
    assert found is not None
    assert (found.rows, found.coverage) == (1, pytest.approx(1 / 3))
    (told,) = repeated_by("m", [("s", total([1, 1], [1, None], [1, 1]))], 2, floor=0.8)
    assert (told.found, told.lacking) == (None, "coverage 0.66 < 0.8")


def test_scores_between_right_and_wrong_have_a_spread_and_no_pass_rate() -> None:
    found = repeated(total([0.5, 0.7], [0.1, 0.1]), 2)
    assert found is not None
    assert (found.pass_at_k, found.pass_hat_k) == (None, None)
    assert found.spread == pytest.approx(0.1 / 2**0.5)


@pytest.mark.parametrize(("made", "k"), [(total([1]), 1), (total([None, None]), 2)])
def test_rows_asked_once_or_never_scored_say_nothing_of_repeats(made: ScorerTotal, k: int) -> None:
    assert repeated(made, k) is None
