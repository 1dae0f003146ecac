import pytest

from llm_models.errors import InputError
from steps.core.statistics.agreement import cohen_kappa, krippendorff_alpha

# Krippendorff 2011, section C: four observers, twelve units, some missing
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = list(zip(*OBSERVERS, strict=True))


@pytest.mark.parametrize(
    ("metric", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_that_of_krippendorffs_example(metric, alpha):
    assert round(krippendorff_alpha(UNITS, metric), 3) == alpha


def test_alpha_of_two_observers_of_yes_and_no_is_that_of_krippendorffs_example():
    # Krippendorff 2011, section A: alpha = 0.095
    first = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    second = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert round(krippendorff_alpha(list(zip(first, second, strict=True))), 3) == 0.095


def test_labels_and_missing_numbers_serve_as_well():
    labels = [[None if one is None else f"grade {one}" for one in unit] for unit in UNITS]
    numbers = [[float("nan") if one is None else float(one) for one in unit] for unit in UNITS]
    assert krippendorff_alpha(labels) == pytest.approx(krippendorff_alpha(UNITS))
    assert krippendorff_alpha(numbers, "interval") == pytest.approx(
        krippendorff_alpha(UNITS, "interval")
    )


def test_ordinal_alpha_depends_on_order_alone():
    stretched = [[None if one is None else 10.0**one for one in unit] for unit in UNITS]
    assert krippendorff_alpha(stretched, "ordinal") == pytest.approx(
        krippendorff_alpha(UNITS, "ordinal")
    )


@pytest.mark.parametrize(
    ("ratings", "alpha"),
    [([["a", "a"], ["b", "b"], ["c", "c"]], 1), ([["a", "b"], ["b", "a"]], -0.5)],
)
def test_alpha_reaches_from_full_agreement_to_below_chance(ratings, alpha):
    assert krippendorff_alpha(ratings) == pytest.approx(alpha)


@pytest.mark.parametrize("ratings", [[], [["a"], [None, "b"]], [["a", "a"], ["a", "a"]]])
def test_alpha_is_unknown_without_two_ratings_of_a_row_or_two_values(ratings):
    assert krippendorff_alpha(ratings) is None


def test_labels_have_no_order():
    with pytest.raises(InputError, match="must be numbers"):
        krippendorff_alpha([["good", "bad"]], "ordinal")


def test_kappa_is_that_of_the_textbook_example():
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: agreement 0.7, by chance 0.5, kappa 0.4
    judge = ["yes"] * 25 + ["no"] * 25
    people = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(judge, people) == pytest.approx(0.4)


def test_only_rows_rated_by_both_count():
    some = cohen_kappa([1, 0, None, 1, 0], [1, 0, 1, float("nan"), 1])
    assert some == pytest.approx(cohen_kappa([1, 0, 0], [1, 0, 1]))


@pytest.mark.parametrize(("judge", "people"), [([], []), ([None], [1]), ([1, 1], [1, 1])])
def test_kappa_is_unknown_without_rows_or_with_one_label(judge, people):
    assert cohen_kappa(judge, people) is None


def test_ratings_must_be_paired():
    with pytest.raises(InputError, match="pair them by row"):
        cohen_kappa([1, 0], [1])
