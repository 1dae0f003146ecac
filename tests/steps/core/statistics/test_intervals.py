import numpy as np
import pytest
from scipy import stats

from llm_models.errors import InputError
from steps.core.statistics.intervals import mean_interval

REPEATED = np.array([0.1, 0.4, 0.9, 0.3, 0.3, 0.8, 0.5, 0.2, 1.0, 0.6, 0.7, 0.6])
ROWS = ["x", "y", "z"] * 4


def yes_no(right: int, n: int) -> np.ndarray:
    return np.arange(n) < right


@pytest.mark.parametrize(  # Newcombe 1998, Stat Med 17:857, table I, method 3
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_yes_no_means_have_the_published_wilson_interval(right, n, low, high):
    interval = mean_interval(yes_no(right, n))
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert (interval.mean, interval.n, interval.method) == (right / n, n, "Wilson")


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("right", [0, 1, 17, 30])
def test_wilson_is_that_of_scipy_at_every_level(right, level):
    scipy = stats.binomtest(right, 30).proportion_ci(level, method="wilson")
    interval = mean_interval(yes_no(right, 30), level=level)
    assert (interval.low, interval.high) == pytest.approx((scipy.low, scipy.high))


def test_scores_without_bounds_have_the_t_interval_of_scipy():
    low, high = stats.ttest_1samp(REPEATED, 0).confidence_interval(0.9)
    interval = mean_interval(REPEATED, level=0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_equal_numbers_of_repeats_count_as_their_row_means():
    means = [REPEATED[place::3].mean() for place in range(3)]
    interval = mean_interval(REPEATED, ROWS)
    low, high = stats.ttest_1samp(means, 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert (interval.n, interval.n_clusters) == (12, 3)


def test_unequal_repeats_keep_the_mean_of_all_values_and_the_ratio_standard_error():
    interval = mean_interval([1.0, 2.0, 6.0], ["x", "x", "y"])
    # row totals less size × mean: -3 and 3; variance 2 / (2 - 1) × 18 / 3²
    half = stats.t.ppf(0.975, 1) * 2
    assert (interval.mean, interval.low, interval.high) == pytest.approx((3, 3 - half, 3 + half))


@pytest.mark.parametrize("right", [15, 24, 29, 30])
def test_asking_again_what_never_changes_adds_no_certainty(right):
    once = mean_interval(yes_no(right, 30))
    five_times = mean_interval(np.tile(yes_no(right, 30), 5), list(range(30)) * 5)
    ratio = (five_times.high - five_times.low) / (once.high - once.low)
    assert 1 - 1e-9 <= ratio <= 1.08  # t in place of the normal quantile, and the farthest row


def test_asking_again_what_changes_freely_adds_certainty():
    answers = np.random.default_rng(1).random(150) < 0.5
    repeated = mean_interval(answers, list(range(30)) * 5)
    assert repeated.high - repeated.low < 0.75 * 0.34  # of one yes/no answer to each of 30 rows


@pytest.mark.parametrize(
    "values",
    [
        [0.99, 1.0, 1.0],
        [0.0, 0.0, 0.01],
        [0.0, 1.0, 0.5],
        [1.0] * 40 + [0.2],
        [0.5, 0.6],
        [0.7],
        [0.7] * 9,
        [1.0],
    ],
)
def test_an_interval_never_leaves_the_bounds_and_always_holds_the_mean(values):
    interval = mean_interval(values, bounds=(0, 1))
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.low < interval.high


def test_scores_on_another_scale_have_the_same_interval_there():
    grades = np.array([1, 5, 5, 4, 5, 5, 3, 5])
    ours, unit = (
        mean_interval(grades, bounds=(1, 5)),
        mean_interval((grades - 1) / 4, bounds=(0, 1)),
    )
    assert (ours.low, ours.high) == pytest.approx((1 + 4 * unit.low, 1 + 4 * unit.high))


def test_rows_that_all_agree_leave_room_for_those_not_seen():
    right, middling = mean_interval([1.0] * 30), mean_interval([0.6] * 30, bounds=(0, 1))
    unseen = 1 - right.low
    limits = (0.6 - 0.6 * unseen, 0.6 + 0.4 * unseen)
    assert (middling.low, middling.high) == pytest.approx(limits)


@pytest.mark.parametrize("values", [[3.2], [3.2] * 5, [0.1 + 0.2, 0.3]])
def test_without_spread_or_bounds_the_limits_are_unknown(values):
    interval = mean_interval(values)
    assert (interval.low, interval.high) == (None, None)


def test_no_values_have_no_interval():
    assert mean_interval([]) is None


def test_the_order_of_rows_does_not_matter_and_any_key_names_them():
    order = np.random.default_rng(2).permutation(12)
    named = [("file", row) for row in ROWS]
    shuffled = mean_interval(REPEATED[order], [named[place] for place in order], bounds=(0, 1))
    straight = mean_interval(REPEATED, ROWS, bounds=(0, 1))
    assert (shuffled.low, shuffled.high) == pytest.approx((straight.low, straight.high))


def test_noughts_and_ones_on_a_longer_scale_are_not_yes_and_no():
    assert mean_interval([0, 1, 1, 0], bounds=(0, 5)).method == "Wilson, effective rows"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1, float("nan")], {}, "1 missing or infinite"),
        ([1, None, None], {}, "2 missing or infinite"),
        ([1, float("inf")], {}, "1 missing or infinite"),
        (["yes", "no"], {}, "must be numbers"),
        ([[1, 0]], {}, "one dimension"),
        ([1, 0], {"clusters": ["x"]}, "1 clusters for 2 values"),
        ([0.5, 1.5], {"bounds": (0, 1)}, "outside their bounds"),
        ([0.5], {"bounds": (1, 0)}, "lowest, highest"),
        ([0, 1], {"level": 95}, "between 0 and 1"),
    ],
)
def test_bad_input_is_named(values, options, message):
    with pytest.raises(InputError, match=message):
        mean_interval(values, **options)
