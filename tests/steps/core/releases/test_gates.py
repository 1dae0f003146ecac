"""Each bound passes, fails, or says how many rows it would take to know."""

import math
import re
from collections.abc import Sequence

import pytest

from steps.core.config import Gate
from steps.core.predictions import Predictions
from steps.core.releases.gates import Check, Holder, Measured, check
from steps.core.verdict import Verdict
from tests.steps.core.compared_models import Given, model, row

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.NOT_ENOUGH_EVIDENCE
MEAN = "correctness/mean"


def never() -> Predictions:
    raise AssertionError("no gate asks for the rows")


def bounds(metrics: dict[str, float], **gate: object) -> list[Check]:
    return check([Gate(metric="m", **gate)], Measured(metrics, never), None)


def against(
    ours: Sequence[dict[str, object] | Given],
    theirs: Sequence[dict[str, object] | Given],
    metric: str = MEAN,
    repeats: int = 1,
    **gate: object,
) -> Check:
    """The candidate's rows held against those of version 3, which has the alias."""
    sides = [
        Measured({metric: 0.5}, lambda rows=rows: model("x", rows, repeats=repeats))
        for rows in (ours, theirs)
    ]
    (one,) = check([Gate(metric=metric, **gate)], sides[0], Holder(3, sides[1]))
    return one


@pytest.mark.parametrize(
    ("gate", "value", "verdict"),
    [
        ({"min": 0.5}, 0.5, PASS),
        ({"min": 0.5}, 0.49, FAIL),
        ({"max": 0.05}, 0.05, PASS),
        ({"max": 0.05}, 0.051, FAIL),
        ({"max": 0}, 0.0, PASS),
        ({"min": 0}, 0.0, PASS),
        ({"max": 0}, 1.0, FAIL),
        ({"min": 0}, math.nan, UNKNOWN),
        ({"max": 0}, math.nan, UNKNOWN),
    ],
)
def test_bounds_are_inclusive(gate: dict[str, float], value: float, verdict: Verdict) -> None:
    (held,) = bounds({"m": value}, **gate)
    assert held.verdict is verdict


@pytest.mark.parametrize("gate", [{"min": 0}, {"max": 1}])
def test_a_metric_that_was_not_measured_is_no_evidence(gate: dict[str, float]) -> None:
    (held,) = bounds({"other": 1.0}, **gate)
    assert (held.value, held.verdict) == ("not measured", UNKNOWN)


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("correctness/mean", "its coverage of 0.799 is below min_coverage"),
        ("corectness/mean", "nothing was scored by 'corectness' (did you mean 'correctness'?)"),
        ("safety/n_false", "nothing was scored by 'safety'"),
        ("exact_match/mean", "it fits no row"),
        ("total_cost_estimate", "the cost of 3 rows is unknown"),
        ("eror_rate", "no such metric (did you mean 'error_rate'?)"),
        ("correctness/n_flase", "no such metric (did you mean 'correctness/n_false'?)"),
    ],
)
def test_why_a_metric_was_not_measured_is_told(metric: str, why: str) -> None:
    metrics = {"correctness/coverage": 0.799, "correctness/n_false": 2, "error_rate": 0.1}
    metrics |= {"rows_of_unknown_cost": 3, "exact_match/n_scored": 0}
    (held,) = check([Gate(metric=metric, max=1)], Measured(metrics, never), None)
    assert (held.verdict, held.note) == (UNKNOWN, why)


def test_every_bound_is_told_in_order() -> None:
    told = bounds({"m": 1 / 3}, min=0.2, max=0.25)
    assert [one.cells() for one in told] == [
        ["m", "0.3333", "at least 0.2", "pass"],
        ["m", "0.3333", "at most 0.25", "FAIL"],
    ]


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [
        ({"min": 0.5}, PASS),
        ({"min": 0.6}, UNKNOWN),
        ({"min": 0.8}, FAIL),
        ({"max": 0.8}, PASS),
        ({"max": 0.7}, UNKNOWN),
        ({"max": 0.4}, FAIL),
    ],
)
def test_a_confident_bound_asks_the_whole_interval(
    gate: dict[str, float], verdict: Verdict
) -> None:
    parts = {"mean": 0.65, "ci_low": 0.5, "ci_high": 0.75, "n_scored": 80}
    measured = Measured({f"correctness/{part}": value for part, value in parts.items()}, never)
    (held,) = check([Gate(metric=MEAN, confident=True, **gate)], measured, None)
    assert held.verdict is verdict
    assert held.value == "0.65 [0.5, 0.75]"
    needed = re.match(r"about ([\d,]+) rows would tell", held.note)
    assert bool(needed) is (verdict is UNKNOWN)
    assert needed is None or int(needed[1].replace(",", "")) > 80


def test_a_confident_bound_without_an_interval_is_not_known() -> None:
    (held,) = check([Gate(metric=MEAN, min=0, confident=True)], Measured({MEAN: 1.0}, never), None)
    assert (held.verdict, held.note) == (UNKNOWN, "no interval")


@pytest.mark.parametrize(
    ("metric", "rows"), [(MEAN, 4), ("correctness/coverage", 4), ("error_rate", 5)]
)
def test_rows_are_counted_where_the_metric_rests_on_them_and_repeats_are_none(
    metric: str, rows: int
) -> None:
    scores = [1, 1, 0, 1, None, 1, 1, 1, None, None]  # two of each row; one row without a score
    measured = Measured({}, lambda: model("x", scores, repeats=2))
    for least, verdict in ((rows, PASS), (rows + 1, UNKNOWN)):
        (held,) = check([Gate(metric=metric, min_rows=least)], measured, None)
        assert (held.value, held.verdict) == (f"{rows} rows", verdict)
    assert held.note == "1 more needed"


@pytest.mark.parametrize(
    ("wins", "losses", "verdict"), [(10, 0, PASS), (2, 2, PASS), (4, 10, UNKNOWN), (0, 40, FAIL)]
)
def test_the_interval_of_the_paired_difference_decides(
    wins: int, losses: int, verdict: Verdict
) -> None:
    same = 200 - wins - losses
    ours = [1] * wins + [0] * losses + [1] * same
    theirs = [0] * wins + [1] * losses + [1] * same
    held = against(ours, theirs, max_regression=0.05)
    assert held.verdict is verdict
    assert held.bound == "loses at most 0.05 to version 3"
    assert held.value.startswith(f"{(wins - losses) / 200:+.3g} [")
    assert held.value.endswith("over 200 rows")
    assert held.note.endswith("rows would tell") is (verdict is UNKNOWN)


def test_a_few_rows_show_nothing_even_where_all_is_alike() -> None:
    assert against([1] * 5, [1] * 5, max_regression=0.5).verdict is UNKNOWN


def test_rows_that_one_side_did_not_answer_are_left_out() -> None:
    held = against([1] * 50 + [None] * 50, [1] * 100, max_regression=0.1)
    assert held.value.endswith("over 50 rows")


def test_without_a_row_in_common_nothing_is_shown() -> None:
    held = against([None] * 9, [1] * 9, max_regression=0.1)
    assert (held.value, held.verdict) == ("no rows in common", UNKNOWN)


def test_repeats_pair_with_repeats_and_count_as_one_row() -> None:
    held = against([1, 0] * 30, [1, 0] * 30, repeats=2, max_regression=0.5)
    assert held.value.endswith("over 30 rows")


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [
        ("error_rate", row(1), row(None)),
        ("avg_inference_time", row(1, latency_s=0.5), row(1, latency_s=2.5)),
    ],
)
def test_where_lower_is_better_a_gain_is_less(
    metric: str, better: dict[str, object], worse: dict[str, object]
) -> None:
    slow, quick = [better] * 10 + [worse] * 50, [better] * 60
    assert against(quick, slow, metric, max_regression=0.1).verdict is PASS
    assert against(slow, quick, metric, max_regression=0.1).verdict is FAIL


@pytest.mark.parametrize(("ours", "theirs", "verdict"), [(0.1, 0.9, PASS), (0.9, 0.1, FAIL)])
def test_a_score_with_only_a_maximum_is_better_when_lower(
    ours: float, theirs: float, verdict: Verdict
) -> None:
    rows = [[score] * 59 + [score + 0.1] for score in (ours, theirs)]
    sides = [Measured({MEAN: 0.5}, lambda rows=rows: model("x", rows)) for rows in rows]
    gates = [Gate(metric=MEAN, max=1, max_regression=0.1)]
    _, regression = check(gates, sides[0], Holder(3, sides[1]))
    assert regression.verdict is verdict


@pytest.mark.parametrize(
    ("holder", "value", "verdict"),
    [
        (None, "nobody has the alias", PASS),
        (Holder(3), "the same model", PASS),
        (Holder(3, obstacle="the judge differs"), "cannot be compared", UNKNOWN),
    ],
)
def test_where_there_is_nothing_to_compare_that_is_told(
    holder: Holder | None, value: str, verdict: Verdict
) -> None:
    (held,) = check([Gate(metric=MEAN, max_regression=0)], Measured({}, never), holder)
    assert (held.value, held.verdict) == (value, verdict)
    assert held.note == ("the judge differs" if verdict is UNKNOWN else "")


def test_a_mean_that_was_not_measured_is_compared_with_nothing() -> None:
    known, unknown = Measured({MEAN: 1.0}, never), Measured({}, never)
    gates = [Gate(metric=MEAN, max_regression=0)]
    (ours,) = check(gates, unknown, Holder(3, known))
    (theirs,) = check(gates, known, Holder(3, unknown))
    assert (ours.value, theirs.value) == ("not measured", "not measured of the holder")
    assert ours.verdict is theirs.verdict is UNKNOWN
