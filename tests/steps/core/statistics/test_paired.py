import numpy as np
import pytest
from scipy import stats

from llm_models.errors import InputError
from steps.core.statistics.paired import compare, holm, noninferior

A = np.array([0.2, 0.9, 0.4, 1.0, 0.7, 0.3, 0.8, 0.5])
B = np.array([0.4, 0.9, 0.6, 0.9, 1.0, 0.7, 0.8, 0.9])


def table(both_wrong: int, a_only: int, b_only: int, both_right: int) -> tuple[list, list]:
    a = [0] * both_wrong + [1] * a_only + [0] * b_only + [1] * both_right
    b = [0] * both_wrong + [0] * a_only + [1] * b_only + [1] * both_right
    return a, b


def test_the_p_value_is_that_of_the_published_exact_mcnemar_example():
    # Fay 2010, R Journal 2:53 (exact2x2): 21, 9, 2, 12 has p = 0.06543
    paired = compare(*table(21, 9, 2, 12))
    assert round(paired.p_value, 5) == 0.06543
    assert (paired.n, paired.wins, paired.ties, paired.losses) == (44, 2, 33, 9)
    assert paired.effect_size == pytest.approx(2 / 11 - 0.5)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (0, 1), (3, 3), (4, 9), (80, 41)])
def test_the_p_value_is_that_of_scipys_binomial_test(lost, won):
    expected = stats.binomtest(won, won + lost).pvalue if won + lost else 1
    assert compare(*table(5, lost, won, 7)).p_value == pytest.approx(expected)


def test_the_interval_is_that_of_the_published_bonett_price_example():
    # statpsych 1.7, ci.prop.ps(.05, 12, 4, 26, 6): 0.2548067 to 0.6251933
    paired = compare(*table(12, 4, 26, 6))
    assert (round(paired.low, 7), round(paired.high, 7)) == (0.2548067, 0.6251933)
    assert paired.difference == pytest.approx(22 / 48)
    assert (paired.mean_a, paired.mean_b) == pytest.approx((10 / 48, 32 / 48))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_scores_are_compared_by_scipys_paired_t_test(level):
    scipy = stats.ttest_rel(B, A)
    low, high = scipy.confidence_interval(level)
    paired = compare(A, B, level=level)
    assert (paired.low, paired.high) == pytest.approx((low, high))
    assert paired.p_value == pytest.approx(scipy.pvalue)
    assert paired.effect_size == pytest.approx((B - A).mean() / (B - A).std(ddof=1))
    assert (paired.wins, paired.ties, paired.losses) == (5, 2, 1)


def test_repeats_are_compared_by_row():
    generator = np.random.default_rng(3)
    a, b = (generator.random((2, 4, 10)) < [[[0.4]], [[0.7]]]).astype(float)
    paired = compare(a.ravel(), b.ravel(), clusters=list(range(10)) * 4)
    scipy = stats.ttest_rel(b.mean(axis=0), a.mean(axis=0))
    assert paired.p_value == pytest.approx(scipy.pvalue)
    assert (paired.low, paired.high) == pytest.approx(tuple(scipy.confidence_interval()))
    assert paired.n == paired.wins + paired.ties + paired.losses == 10
    assert paired.wins == (b.sum(axis=0) > a.sum(axis=0)).sum()


def test_repeats_that_never_change_do_not_make_a_difference_real():
    a, b = table(10, 1, 5, 14)
    clusters = list(range(30)) * 10
    once, ten_times = compare(a, b), compare(a * 10, b * 10, clusters=clusters)
    assert once.p_value > 0.05 and ten_times.p_value > 0.05
    assert ten_times.difference == pytest.approx(once.difference)


@pytest.mark.parametrize("scores", [(A, B), table(5, 2, 9, 8)])
def test_swapping_the_models_turns_the_result_round(scores):
    there, back = compare(*scores), compare(*scores[::-1])
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert (there.difference, there.effect_size) == pytest.approx(
        (-back.difference, -back.effect_size)
    )
    assert (there.wins, there.p_value) == (back.losses, pytest.approx(back.p_value))
    assert there.rows_needed == back.rows_needed


def test_three_rows_that_happen_to_move_alike_are_not_significant():
    a, b = np.array([0.5, 0.6, 0.7]), np.array([0.6, 0.7, 0.8001])
    assert stats.ttest_rel(b, a).pvalue < 0.001
    assert compare(a, b).p_value == 0.25  # a sign-flip test can give no less


@pytest.mark.parametrize("n", [1, 30])
def test_identical_scores_leave_room_for_rows_not_seen(n):
    scores = np.full(n, 0.5)
    scores[0] = 0.4
    paired = compare(scores, scores, bounds=(0, 1))
    assert paired.low < -0.1 < 0.1 < paired.high
    assert (paired.difference, paired.p_value, paired.ties) == (0, 1, n)
    assert (paired.effect_size, paired.rows_needed) == (None, None)


def test_identical_scores_without_bounds_have_no_limits_and_decide_nothing():
    paired = compare([3.0, 9.0, 4.0] * 9, [3.0, 9.0, 4.0] * 9)
    assert (paired.low, paired.high) == (None, None)
    assert noninferior(paired, margin=1) == "not_enough_evidence"


def test_rows_that_all_move_by_the_same_are_judged_by_sign():
    assert compare(A[:4], A[:4] + 1).p_value == 2 / 2**4


@pytest.mark.parametrize("n", [1, 6, 30, 100])
@pytest.mark.parametrize("gain", [0.004, 0.06, 0.13, 0.33, 1.0])
def test_rows_that_all_move_a_little_are_significant_only_where_the_interval_says_so(n, gain):
    paired = compare(np.zeros(n), np.full(n, gain), binary=False, bounds=(0, 1))
    assert (paired.p_value <= 0.05) == (paired.low > 0)


def test_what_does_not_change_tells_nothing_about_who_is_better():
    few, many = compare(*table(2, 3, 9, 2)), compare(*table(200, 3, 9, 200))
    assert few.p_value == many.p_value
    assert many.high - many.low < few.high - few.low


def test_binary_is_found_out_and_can_be_overruled():
    a, b = table(5, 2, 9, 8)
    assert compare(a, b).method == compare(a, b, binary=True).method
    assert compare(a, b, binary=False).method == "paired t over rows"
    assert compare(a, b, binary=False).low >= -1


def test_no_rows_have_no_comparison():
    assert compare([], []) is None
    assert noninferior(None, margin=0.1) == "not_enough_evidence"


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1, 0], [1], {}, "2 scores and b 1"),
        ([1, None], [1, 0], {}, "a holds 1 missing"),
        ([1, 0], [1, float("nan")], {}, "b holds 1 missing"),
        ([0.5, 1], [1, 0], {"binary": True}, "must be 0 or 1"),
        ([0.5, 1], [1, 2], {"bounds": (0, 1)}, "outside their bounds"),
        ([0.5, 1], [1, 2], {"clusters": [1, 2, 3]}, "3 clusters for 2"),
    ],
)
def test_bad_input_is_named(a, b, options, message):
    with pytest.raises(InputError, match=message):
        compare(a, b, **options)


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [(0.2, "pass"), (0.06, "not_enough_evidence"), (0.0, "not_enough_evidence")],
)
def test_a_small_loss_passes_only_where_the_interval_shows_it_small(margin, verdict):
    paired = compare(*table(20, 12, 8, 60))  # 4 % lost, -13 % to 5 %
    assert noninferior(paired, margin) == verdict


@pytest.mark.parametrize(("margin", "verdict"), [(0.05, "fail"), (0.3, "not_enough_evidence")])
def test_a_loss_beyond_the_margin_fails(margin, verdict):
    assert noninferior(compare(*table(20, 30, 2, 48)), margin) == verdict


def test_a_clear_gain_passes_without_any_margin():
    assert noninferior(compare(*table(20, 2, 30, 48)), 0) == "pass"


def test_five_rows_decide_nothing_however_clear_they_look():
    worse = compare([1.0, 1.1, 1.2, 1.3, 1.4], [0.0, 0.101, 0.2, 0.301, 0.4])
    assert worse.high < -0.9
    assert noninferior(worse, margin=0.1) == "not_enough_evidence"


def test_a_margin_below_nought_is_refused():
    with pytest.raises(InputError, match="largest allowed loss"):
        noninferior(compare(A, B), -0.1)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.6, 0.9], [1.0, 1.0]),
        ([0.03], [0.03]),
        ([], []),
    ],
)
def test_p_values_are_adjusted_after_holm(p_values, adjusted):
    assert holm(p_values) == pytest.approx(adjusted)


@pytest.mark.parametrize("p_values", [[0.1, float("nan")], [1.2], [-0.1]])
def test_what_is_no_p_value_is_refused(p_values):
    with pytest.raises(InputError):
        holm(p_values)
