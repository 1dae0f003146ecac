"""Rows add up to metrics; what is unknown in one row is absent from the sum, never 0."""

from dataclasses import replace
from typing import Any

import pytest

from llm_models.schema import Completion, Status, Timing, Usage
from steps.core.answering.runner import Answer
from steps.core.dataset import Row
from steps.core.scores.scorers import Failure, Score
from steps.core.summary import Summary

TOKENS = ("input_tokens", "output_tokens", "thinking_tokens", "total_tokens")


def answer(status: Status = "ok", *, reused: bool = False, **fields: Any) -> Answer:
    known = {"cost_usd": 0.5, "latency_s": 1.0} | fields
    return Answer(Row("r", {"prompt": "p"}, {}, {}), Completion(status, **known), 0.0, reused)


def metrics(*answers: Answer) -> dict[str, float | None]:
    summary = Summary()
    for one in answers:
        summary.add(one, {})
    return summary.metrics()


def test_without_a_row_no_rate_time_cost_or_count_of_tokens_is_known() -> None:
    told = metrics()
    unknown = (*TOKENS, "error_rate", "total_cost_estimate", "cost_of_this_run")
    assert {told[name] for name in (*unknown, "avg_inference_time", "tokens_per_second")} == {None}
    assert told["rows"] == 0


def test_tokens_and_cost_are_summed() -> None:
    used = Usage(10, 2, 3, None, 15)
    told = metrics(answer(usage=used), answer(usage=used, cost_usd=0.25))
    assert [told[name] for name in TOKENS] == [20, 4, 6, 30]
    assert told["total_cost_estimate"] == told["cost_of_this_run"] == 0.75


@pytest.mark.parametrize("name", TOKENS)
def test_one_unknown_count_makes_its_total_unknown(name: str) -> None:
    whole = dict.fromkeys(TOKENS, 1)
    told = metrics(answer(usage=Usage(**whole)), answer(usage=Usage(**(whole | {name: None}))))
    assert told[name] is None
    assert {told[other] for other in TOKENS if other != name} == {2}


def test_one_unknown_cost_makes_the_total_unknown_and_is_counted() -> None:
    told = metrics(answer(), answer(cost_usd=None))
    assert told["total_cost_estimate"] is None
    assert told["cost_of_this_run"] is None
    assert told["rows_of_unknown_cost"] == 1


def test_a_reused_row_costs_this_run_nothing() -> None:
    told = metrics(answer(), answer(cost_usd=4.0, reused=True))
    assert (told["total_cost_estimate"], told["cost_of_this_run"]) == (4.5, 0.5)
    assert told["rows_reused"] == 1
    unknown = metrics(answer(), answer(cost_usd=None, reused=True))
    assert (unknown["total_cost_estimate"], unknown["cost_of_this_run"]) == (None, 0.5)


def test_a_failed_row_is_a_row_with_its_cost_and_without_its_time() -> None:
    told = metrics(
        answer(latency_s=1.0),
        answer("truncated", latency_s=3.0),
        answer("error", latency_s=60.0, cost_usd=0.0),
        answer("blocked", latency_s=60.0, cost_usd=1.0),
    )
    assert (told["rows"], told["error_rate"]) == (4, 0.5)
    assert told["avg_inference_time"] == 2.0
    assert told["total_cost_estimate"] == 2.0
    statuses = {k: v for k, v in told.items() if k.startswith("status/")}
    counted = dict.fromkeys(("ok", "truncated", "error", "blocked"), 1)
    counted |= {"empty": 0, "incomplete": 0}  # known to be none, so that a gate can hold it
    assert statuses == {f"status/{name}": n for name, n in counted.items()}


def test_a_run_without_an_answer_knows_no_time_and_no_tokens() -> None:
    told = metrics(answer("error", cost_usd=0.0), answer("error", cost_usd=0.0))
    assert told["error_rate"] == 1
    assert told["total_cost_estimate"] == 0
    unknown = (*TOKENS, "avg_inference_time", "tokens_per_second")
    assert {told[name] for name in unknown} == {None}
    assert not any(name.startswith("language/") for name in told)


def test_percentiles_are_of_the_answered_rows_in_any_order() -> None:
    times = [0.1 * n for n in range(101)]
    told = metrics(*(answer(latency_s=t) for t in reversed(times)), answer("error", latency_s=99))
    assert told["latency_p50"] == pytest.approx(5.0)
    assert told["latency_p95"] == pytest.approx(9.5)
    assert told["avg_inference_time"] == pytest.approx(5.0)


def test_retries_waits_and_hints_are_told_beside_the_time_of_calls() -> None:
    retried = answer(latency_s=1.0, attempts=3, retry_s=4.0, hint="raise num_ctx")
    told = metrics(replace(retried, waited_s=2.0), answer(latency_s=1.0))
    assert told["avg_inference_time"] == 1.0
    names = ("retries", "retry_time", "wait_time", "rows_with_hint")
    assert [told[name] for name in names] == [2, 4.0, 2.0, 1]


def test_speed_is_that_of_generation_where_known_else_of_the_whole_call() -> None:
    used = Usage(output_tokens=30)
    timed = answer(usage=used, latency_s=9.0, timing=Timing(generation_s=1.0))
    untimed = answer(usage=used, latency_s=2.0)
    uncounted = answer(latency_s=50.0)
    assert metrics(timed)["tokens_per_second"] == 30
    assert metrics(timed, untimed, uncounted)["tokens_per_second"] == 20
    assert metrics(answer(usage=Usage(output_tokens=0)))["tokens_per_second"] is None


def test_languages_are_counted_over_answers() -> None:
    summary = Summary()
    for language in ("en", "es", "en", None):
        summary.add(answer(), {}, language=language)
    summary.add(answer("error"), {}, language=None)
    told = {k: v for k, v in summary.metrics().items() if k.startswith("language/")}
    assert told == {"language/en": 2, "language/es": 1, "language/unknown": 1}


def test_coverage_counts_broken_scorers_and_unanswered_rows_but_not_abstentions() -> None:
    summary = Summary()
    summary.add(answer(), {"exact": Score(True), "judge": Score(0.5)})
    summary.add(answer(), {"exact": Score(False), "judge": Failure("no verdict")})
    summary.add(answer(), {"exact": None, "judge": None})
    summary.add(answer("error"), {}, missed=["exact", "judge"])
    told = summary.metrics()
    assert (told["exact/mean"], told["exact/coverage"]) == (0.5, 2 / 3)
    assert (told["judge/mean"], told["judge/coverage"]) == (0.5, 1 / 3)
    counts = [told[f"judge/n_{n}"] for n in ("scored", "failed", "unanswered", "abstained")]
    assert counts == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("score", "coverage"), [(Failure("dead"), 0.0), (None, None)], ids=["broken", "abstained"]
)
def test_a_scorer_that_scored_nothing_has_no_mean(
    score: Failure | None, coverage: float | None
) -> None:
    summary = Summary()
    summary.add(answer(), {"judge": score})
    told = summary.metrics()
    assert told["judge/mean"] is None
    assert told["judge/coverage"] == coverage


def test_metrics_may_be_asked_for_on_the_way() -> None:
    summary = Summary()
    summary.add(answer(latency_s=1.0), {})
    assert summary.metrics()["avg_inference_time"] == 1.0
    summary.add(answer(latency_s=3.0), {})
    assert summary.metrics()["avg_inference_time"] == 2.0
