"""What is not scored counts: as coverage, and at either end of what the score could have been."""

import math

import numpy as np
import pytest

from steps.core.scores.scorer_total import ScorerTotal
from steps.core.statistics.rows import Bounds


def total(*scores: float | None, bounds: Bounds | None = (0.0, 1.0)) -> ScorerTotal:
    """One row each; None is a row that was not answered."""
    made = ScorerTotal(bounds)
    for i, score in enumerate(scores):
        if score is None:
            made.unanswered.append((f"r{i}", 0))
        else:
            made.add((f"r{i}", 0), score)
    return made


def test_missing_rows_lie_between_the_worst_and_the_best_case() -> None:
    made = total(1, 1, 0, None)
    made.failed.append(("r4", 0))
    made.abstained = 7
    told = made.metrics("s")
    assert told["s/n_attempted"] == 5
    assert told["s/coverage"] == 3 / 5
    assert told["s/worst_case"] == pytest.approx(2 / 5)
    assert told["s/best_case"] == pytest.approx(4 / 5)
    assert told["s/mean"] == pytest.approx(2 / 3)


def test_where_nothing_is_missing_both_cases_are_the_mean() -> None:
    told = total(0.25, 0.5).metrics("s")
    assert told["s/worst_case"] == told["s/best_case"] == told["s/mean"] == 0.375


def test_a_dead_scorer_could_be_anything() -> None:
    told = total(None, None).metrics("s")
    assert (told["s/worst_case"], told["s/best_case"]) == (0, 1)
    assert (told["s/mean"], told["s/coverage"]) == (None, 0)


def test_the_ends_of_another_scale_are_its_own() -> None:
    told = total(4, 2, None, bounds=(1, 5)).metrics("s")
    assert (told["s/worst_case"], told["s/best_case"]) == (7 / 3, 11 / 3)


@pytest.mark.parametrize("made", [total(120, 80, None, bounds=None), total()])
def test_without_a_known_range_or_any_row_there_is_no_worst_case(made: ScorerTotal) -> None:
    told = made.metrics("s")
    assert (told["s/worst_case"], told["s/best_case"]) == (None, None)


def test_by_tag_each_part_has_its_own_missing_rows() -> None:
    made = total(1, None, 0, 1)
    tags = {"r0": {"t": "a"}, "r1": {"t": "a"}, "r2": {"t": "b"}, "r3": {}}
    parts = made.by_tag("t", tags)
    assert {value: part.coverage for value, part in parts.items()} == {"a": 0.5, "b": 1}
    assert {value: part.attempted for value, part in parts.items()} == {"a": 2, "b": 1}


def test_the_table_of_repeats_has_a_hole_where_a_repeat_was_not_scored() -> None:
    made = ScorerTotal()
    made.add(("a", 0), 1)
    made.add(("b", 1), 0.5)
    made.failed.append(("a", 1))
    made.unanswered.append(("c", 0))
    nan = math.nan
    np.testing.assert_equal(made.table(2), [[1, nan], [nan, 0.5], [nan, nan]])


def test_what_a_yes_no_scorer_refused_is_counted_and_what_another_graded_is_not() -> None:
    assert total(1, 0, 0, None).metrics("s")["s/n_false"] == 2
    assert total(1, 1).metrics("s")["s/n_false"] == 0
    assert total(1, 0, 0.5).metrics("s")["s/n_false"] is None
    assert total(None).metrics("s")["s/n_false"] is None
