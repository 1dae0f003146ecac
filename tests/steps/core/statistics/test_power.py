import numpy as np
import pytest
from scipy import stats

from llm_models.errors import InputError
from steps.core.statistics.paired import compare
from steps.core.statistics.power import (
    fewest_rows,
    minimum_rows,
    rows_for_mcnemar,
    rows_for_t,
    rows_to_clear,
)


def t_power(effect: float, n: int) -> float:
    """Exact power of the two-sided 5 % t test."""
    limit = stats.t.ppf(0.975, n - 1)
    shift = effect * np.sqrt(n)
    return stats.nct.sf(limit, n - 1, shift) + stats.nct.cdf(-limit, n - 1, shift)


def mcnemar_power(changed: float, difference: float, n: int) -> float:
    """Exact power of the exact test: the sum over all outcomes."""
    rows = np.arange(n + 1)
    limit = stats.binom.ppf(0.025, rows, 0.5)
    limit -= stats.binom.cdf(limit, rows, 0.5) > 0.025
    won = (changed + difference) / (2 * changed)
    significant = stats.binom.cdf(limit, rows, won) + stats.binom.cdf(limit, rows, 1 - won)
    return float(stats.binom.pmf(rows, n, changed) @ significant)


def test_a_medium_effect_needs_the_rows_g_power_says():
    assert rows_for_t(0.5) == 34


@pytest.mark.parametrize("effect", [0.1, -0.3, 0.5, 0.8, 1.0])
def test_the_rows_for_scores_have_80_percent_power_and_no_fewer_do(effect):
    n = rows_for_t(effect)
    assert t_power(effect, n - 1) < 0.8 <= t_power(effect, n) + 0.001


@pytest.mark.parametrize(
    ("changed", "difference"), [(0.3, 0.1), (0.2, 0.1), (0.1, 0.05), (0.5, -0.1), (0.05, 0.02)]
)
def test_the_rows_for_yes_no_have_80_percent_power_in_the_exact_test(changed, difference):
    n = rows_for_mcnemar(changed, difference)
    assert 0.8 <= mcnemar_power(changed, difference, n) <= 0.83


def test_one_sided_change_errs_on_the_safe_side():
    n = rows_for_mcnemar(0.2, 0.2)
    assert 0.8 <= mcnemar_power(0.2, 0.2, n) <= 0.95


def test_no_effect_needs_no_number_of_rows():
    assert rows_for_t(0.0) is None
    assert rows_for_mcnemar(0.3, 0.0) is None


@pytest.mark.parametrize("huge", [rows_for_t(9.0), rows_for_mcnemar(1.0, 1.0)])
def test_even_the_greatest_effect_needs_rows_enough_for_a_sign_test(huge):
    assert huge == fewest_rows() == 6


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_fewest_rows_are_those_where_winning_all_is_significant(level):
    n = fewest_rows(level)
    assert stats.binomtest(n, n).pvalue <= 1 - level < stats.binomtest(n - 1, n - 1).pvalue


def test_a_comparison_says_how_many_rows_it_would_have_needed():
    a, b = [0] * 8 + [1] * 2 + [0] * 5 + [1] * 15, [0] * 8 + [0] * 2 + [1] * 5 + [1] * 15
    assert compare(a, b).rows_needed == rows_for_mcnemar(7 / 30, 3 / 30)
    scores = np.random.default_rng(4).random((2, 30))
    paired = compare(*scores)
    assert paired.rows_needed == rows_for_t(paired.effect_size)


def test_minimum_rows_show_an_equal_model_within_the_margin():
    sd, margin = 0.4, 0.1
    n = minimum_rows(margin, sd)
    # two-sided: it passes where the estimate lies above -margin by the half-width
    reach = stats.t.ppf(0.975, n - 1)
    assert stats.nct.sf(reach, n - 1, margin / sd * np.sqrt(n)) == pytest.approx(0.8, abs=0.01)
    assert minimum_rows(margin, sd, power=0.9) > n > minimum_rows(2 * margin, sd)


@pytest.mark.parametrize("wrong", [{"margin": 0}, {"sd": 0}, {"sd": -1}, {"power": 1}])
def test_a_question_without_answer_is_refused(wrong):
    asked = {"margin": 0.1, "sd": 0.3} | wrong
    with pytest.raises(InputError):
        minimum_rows(**asked)


def test_rows_that_clear_a_bound_follow_from_the_interval_alone():
    sd, n = 0.3, 50
    half = stats.norm.ppf(0.975) * sd / np.sqrt(n)
    assert rows_to_clear(0.05, half, n) == rows_for_t(0.05 / sd)
    assert rows_to_clear(0.05, 2 * half, n) > rows_to_clear(0.05, half, n)


@pytest.mark.parametrize(("distance", "half", "n"), [(0.0, 0.1, 9), (0.1, 0.0, 9), (0.1, 0.1, 0)])
def test_on_the_bound_or_without_an_interval_no_number_of_rows_is_told(distance, half, n):
    assert rows_to_clear(distance, half, n) is None
