"""Results by tag of the rows: a mean over all may hide that one language is lost."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from steps.core.predictions import Predictions
from steps.core.statistics.intervals import mean_interval

MAX_VALUES = 30  # a tag with more values names rows rather than kinds of rows


@dataclass(frozen=True)
class Slice:
    """One model's mean over the scored rows that have a tag, with its 95 % interval."""

    scorer: str
    tag: str
    value: str
    candidate: str
    n: int  # rows
    mean: float
    low: float | None
    high: float | None


def slices(models: Sequence[Predictions], scorers: Iterable[str]) -> list[Slice]:
    """By scorer, tag, value, then in the order of the models."""
    kinds = _kinds(models)
    return [
        one
        for scorer in scorers
        for tag, values in kinds.items()
        for value in sorted(values)
        for model in models
        for one in _slice(model, scorer, tag, value)
    ]


def _kinds(models: Iterable[Predictions]) -> dict[str, set[str]]:
    """tag -> its values, where there are at least two and not too many."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for model in models:
        for row in model.rows.values():
            for tag, value in row.tags.items():
                found[tag].add(value)
    return {tag: values for tag, values in sorted(found.items()) if 1 < len(values) <= MAX_VALUES}


def _slice(model: Predictions, scorer: str, tag: str, value: str) -> list[Slice]:
    """One or, where no row was scored, none."""
    kept = [
        (key[0], row.scores[scorer])
        for key, row in model.rows.items()
        if row.tags.get(tag) == value and scorer in row.scores
    ]
    scores = [score for _, score in kept]
    bounds = (0.0, 1.0) if all(0 <= score <= 1 for score in scores) else None
    found = mean_interval(scores, [row_id for row_id, _ in kept], bounds=bounds)
    if found is None:
        return []
    told = (found.n_clusters, found.mean, found.low, found.high)
    return [Slice(scorer, tag, value, model.candidate, *told)]
