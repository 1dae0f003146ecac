"""Below the floor no mean is told, and nothing that was made from it."""

import pytest

from steps.core.scores.coverage import lacking, shown, told

FALLS = ("mean", "ci_low", "ci_high", "spread", "pass_at_3", "pass_hat_3")
STAYS = ("coverage", "worst_case", "best_case", "n_scored", "human_alpha", "mean/task:math")


def metrics(coverage: float | None, **more: float) -> dict[str, float | None]:
    both = {f"judge/{name}": 0.5 for name in (*FALLS, *STAYS)}
    return both | {"judge/coverage": coverage, "error_rate": 0.1} | more


def test_below_the_floor_results_fall_and_counts_stay() -> None:
    kept = shown(metrics(0.79), 0.8)
    assert {f"judge/{name}" for name in STAYS} | {"error_rate"} == kept.keys()
    assert lacking(metrics(0.79), 0.8) == {"judge": 0.79}


@pytest.mark.parametrize("coverage", [0.8, 1.0, None])
def test_at_the_floor_everything_stays(coverage: float | None) -> None:
    assert shown(metrics(coverage), 0.8) == metrics(coverage)
    assert lacking(metrics(coverage), 0.8) == {}


def test_one_scorer_falls_alone() -> None:
    both = metrics(0.1) | {"exact/mean": 1.0, "exact/coverage": 1.0}
    assert "exact/mean" in shown(both, 0.8)


def test_rows_that_were_not_scored_every_time_carry_no_pass_rate() -> None:
    kept = shown(metrics(1.0) | {"judge/repeats_coverage": 0.5}, 0.8)
    assert {name for name in FALLS if f"judge/{name}" in kept} == {"mean", "ci_low", "ci_high"}


def test_what_is_below_the_floor_never_reads_as_if_it_were_not() -> None:
    assert told(0.7999, 0.8) == "coverage 0.79 < 0.8"
    assert told(0.625, 0.8) == "coverage 0.62 < 0.8"
