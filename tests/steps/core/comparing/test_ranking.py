"""Models ranked by pass@k or pass^k are compared by it, one outcome for each row."""

from collections.abc import Sequence

import pytest

from llm_models.errors import InputError
from steps.core.comparing.comparison import Comparison, compared
from steps.core.comparing.ranking import refuse_unpaired
from steps.core.predictions import Predictions
from steps.core.verdict import Verdict
from tests.steps.core.compared_models import DATASET, Given, board_of, model

ROWS = 40


def twice(name: str, *rows: tuple[Given, Given]) -> Predictions:
    return model(name, [score for row in rows for score in row], repeats=2)


def ranked(models: Sequence[Predictions], rank_by: str) -> Comparison:
    return compared(DATASET, board_of(models), models, rank_by, "a", max_loss=0.1)


STEADY = twice("a", *[(1, 1)] * ROWS)
MOODY = twice("b", *[(1, 0)] * ROWS)


@pytest.mark.parametrize(
    ("rank_by", "difference", "verdict"),
    [
        ("correctness/pass_hat_2", -1.0, Verdict.FAIL),
        ("correctness/pass_at_2", 0.0, Verdict.PASS),
        ("correctness/mean", -0.5, Verdict.FAIL),
    ],
)
def test_the_verdict_goes_by_what_models_are_ranked_by(
    rank_by: str, difference: float, verdict: Verdict
) -> None:
    found = ranked([STEADY, MOODY], rank_by)
    first = found.differences[0]
    assert first.paired is not None
    assert (first.paired.difference, first.paired.n) == (difference, ROWS)
    assert found.verdict is verdict
    assert found.scorers == ["correctness"]
    assert first.scorer == rank_by.removesuffix("/mean")


def test_a_row_with_an_answer_missing_has_no_outcome_and_is_told() -> None:
    rows: list[tuple[Given, Given]] = [(1, 1)] * 20
    other = twice("b", *rows[:17], (1, None), (1, "broke"), (None, None))
    one = ranked([twice("a", *rows), other], "correctness/pass_hat_2").differences[0]
    assert one.paired is not None
    assert one.paired.n == 17
    assert one.left_out == {"unanswered": 2, "scorer failed": 1}


@pytest.mark.parametrize(
    ("rank_by", "rows", "said"),
    [
        ("correctness/pass_hat_3", [(1, 1)], "run evaluate with repeats=3"),
        ("correctness/pass_hat_2", [(1, 0.5)], "take correctness/mean"),
    ],
)
def test_what_has_no_such_outcome_is_refused_with_the_remedy(
    rank_by: str, rows: list[tuple[Given, Given]], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        ranked([twice("a", *rows), twice("b", *rows)], rank_by)


@pytest.mark.parametrize("rank_by", ["latency_p95", "correctness/ci_low", "correctness"])
def test_a_metric_that_no_row_has_decides_nothing(rank_by: str) -> None:
    with pytest.raises(InputError, match=r"rank_by: .* leave the baseline out"):
        refuse_unpaired(rank_by)
