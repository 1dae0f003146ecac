from itertools import combinations

import numpy as np
import pytest

from llm_models.errors import InputError
from steps.core.statistics.repeats import pass_at_k, pass_hat_k, repeat_spread

NAN = float("nan")
ANSWERS = [[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, NAN, 0, 1]]


def every_choice(k: int, met) -> float:
    """By definition: over rows, the share of all choices of k repeats that meet it."""
    rows = [[score for score in row if score == score] for row in ANSWERS]
    return np.mean(
        [np.mean([met(choice) for choice in combinations(row, k)]) for row in rows if len(row) >= k]
    )


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_pass_at_k_and_pass_hat_k_are_the_shares_of_all_choices_of_k(k):
    assert pass_at_k(ANSWERS, k).mean == pytest.approx(every_choice(k, any))
    assert pass_hat_k(ANSWERS, k).mean == pytest.approx(every_choice(k, all))


def test_pass_at_k_is_that_of_the_published_formula():
    # Chen et al. 2021: 1 - C(n - c, k) / C(n, k), here n = 200, c = 10, k = 100
    scores = [[1] * 10 + [0] * 190]
    assert pass_at_k(scores, 100).mean == pytest.approx(
        1 - np.prod(np.arange(91, 101) / np.arange(191, 201))
    )


def test_rows_scored_fewer_than_k_times_are_left_out_and_counted():
    assert pass_at_k(ANSWERS, 4).n == 4
    assert pass_at_k(ANSWERS, 5).n == 3
    assert pass_at_k(ANSWERS, 6) is None


def test_the_interval_of_pass_at_k_is_over_rows():
    interval = pass_at_k(ANSWERS * 10, 2)
    assert (interval.n, interval.n_clusters) == (40, 40)
    assert 0 < interval.low < interval.mean < interval.high < 1


@pytest.mark.parametrize("measure", [pass_at_k, pass_hat_k])
@pytest.mark.parametrize(
    ("scores", "k", "message"),
    [
        ([[0.5, 1]], 1, "yes/no"),
        ([[0, 1]], 0, "1 or more"),
        ([0, 1], 1, "rows, repeats"),
        ([[0, 1], [1]], 1, "one length"),
    ],
)
def test_bad_input_is_named(measure, scores, k, message):
    with pytest.raises(InputError, match=message):
        measure(scores, k)


def test_runs_are_compared_on_rows_scored_in_all_of_them():
    spread = repeat_spread([[1, 0], [1, 1], [0, NAN]])
    assert spread.run_sd == pytest.approx(np.std([1, 0.5], ddof=1))


def test_rows_change_whose_scores_differ_from_one_repeat_to_another():
    assert repeat_spread(ANSWERS).changing_rows == (0, 3)


def test_a_model_that_always_answers_alike_has_no_spread():
    spread = repeat_spread([[1, 1], [0, 0], [0.3, 0.3]])
    assert (spread.run_sd, spread.changing_rows) == (0, ())


@pytest.mark.parametrize("scores", [[[1], [0]], np.empty((0, 3)), [[NAN, 1], [NAN, NAN]]])
def test_rows_scored_once_say_nothing_about_spread(scores):
    spread = repeat_spread(scores)
    assert (spread.run_sd, spread.changing_rows) == (None, ())
