"""What models are ranked and compared by: a scorer's mean, or pass@k or pass^k of its answers."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from llm_models.errors import InputError
from steps.core.comparing.flips import is_yes_no
from steps.core.config import MEAN
from steps.core.predictions import Prediction, Predictions

_PASS = re.compile(r"(.+)/(pass_at|pass_hat)_(\d+)")


def scorer_of(metric: str) -> str | None:
    """The scorer that a metric is known by row of; None for any other metric."""
    if found := _PASS.fullmatch(metric):
        return found[1]
    return metric.removesuffix(MEAN) if metric.endswith(MEAN) else None


def refuse_unpaired(rank_by: str) -> None:
    """Raises InputError for a metric by which nothing can be decided against a baseline."""
    if scorer_of(rank_by) is None:
        raise InputError(
            f"rank_by: {rank_by} cannot decide between a model and the baseline, row by row: set "
            "it to a scorer's /mean, /pass_at_k or /pass_hat_k, or leave the baseline out"
        )


def passes(models: Sequence[Predictions], metric: str) -> list[Predictions] | None:
    """pass@k or pass^k as a score of each row, which has the metric's name; None for a mean.

    Raises InputError where rows were not asked k times, or scores are not 0 or 1.
    """
    found = _PASS.fullmatch(metric)
    if not found:
        return None
    scorer, way, k = found[1], max if found[2] == "pass_at" else min, int(found[3])
    for model in models:
        if model.repeats != k:
            raise InputError(
                f"rank_by: {metric} is of rows with {k} answers each, and {model.candidate} gave "
                f"{model.repeats}: run evaluate with repeats={k}, or rank by another metric"
            )
    if not is_yes_no(models, scorer):
        raise InputError(f"rank_by: {metric} needs scores of 0 or 1; take {scorer}{MEAN}")
    return [_by_row(model, scorer, metric, way) for model in models]


def _by_row(model: Predictions, scorer: str, metric: str, way: Callable[..., float]) -> Predictions:
    """One outcome for each row: of all its answers, or why there is none."""
    rows = defaultdict[str, list[Prediction]](list)
    for (row_id, _), answer in model.rows.items():
        rows[row_id].append(answer)
    found = {}
    for row_id, answers in rows.items():
        scores = [one.scores[scorer] for one in answers if scorer in one.scores]
        whole = {metric: way(scores)} if len(scores) == model.repeats else {}
        # The first that was not answered, or that the scorer failed on, tells why.
        ordered = sorted(answers, key=lambda one: (one.answered, scorer not in one.failures))
        why = ordered[0].failures.get(scorer)
        failures = {} if why is None else {metric: why}
        found[row_id, 0] = replace(ordered[0], scores=whole, failures=failures)
    return Predictions(model.candidate, found)
