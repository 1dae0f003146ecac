"""Do the judges agree with each other, and with people?"""

import math
from collections.abc import Hashable, Sequence
from numbers import Real
from typing import Literal

import numpy as np

from llm_models.errors import InputError
from steps.core.statistics.rows import Floats

Metric = Literal["nominal", "ordinal", "interval"]
Rating = Hashable  # a label or a number; None or NaN where a rater said nothing


def cohen_kappa(judge: Sequence[Rating], people: Sequence[Rating]) -> float | None:
    """Cohen's kappa (1960, Educ Psychol Meas 20:37): agreement with chance removed.

    Rows that either side has not rated are left out. None without any row, and where chance alone
    makes them agree, as with one label. Raises InputError.
    """
    if len(judge) != len(people):
        raise InputError(f"{len(judge)} ratings against {len(people)}: pair them by row first")
    pairs = [
        pair for pair in zip(judge, people, strict=True) if not any(_missing(one) for one in pair)
    ]
    if not pairs:
        return None
    ours, theirs = zip(*pairs, strict=True)
    observed = sum(a == b for a, b in pairs) / len(pairs)
    by_chance = sum(ours.count(label) * theirs.count(label) for label in set(ours))
    expected = by_chance / len(pairs) ** 2
    return (observed - expected) / (1 - expected) if expected < 1 else None


def krippendorff_alpha(
    ratings: Sequence[Sequence[Rating]], metric: Metric = "nominal"
) -> float | None:
    """Krippendorff's alpha of `ratings` (rows, raters): 1 is full agreement, 0 is chance.

    Krippendorff (2011), Computing Krippendorff's Alpha-Reliability. `ordinal` and `interval` need
    numbers. None where no row has two ratings, or all ratings are one value: nothing then tells
    agreement from chance. Raises InputError.
    """
    rated = [[rating for rating in row if not _missing(rating)] for row in ratings]
    rated = [row for row in rated if len(row) > 1]
    values = _distinct(rated, metric)
    if len(values) < 2:
        return None
    counts = np.array([[row.count(value) for value in values] for row in rated], dtype=np.float64)
    weights = 1 / (counts.sum(axis=1) - 1)  # so that each rating counts once
    coincidences = counts.T @ (counts * weights[:, None]) - np.diag(weights @ counts)
    totals = counts.sum(axis=0)
    distances = _distances(values, totals, metric)
    expected = totals @ distances @ totals / (totals.sum() - 1)
    return float(1 - (coincidences * distances).sum() / expected)


def _distances(values: list[Rating], totals: Floats, metric: Metric) -> Floats:
    if metric == "nominal":
        return 1 - np.eye(len(values))
    if metric == "interval":
        places = np.array(values, dtype=np.float64)
    else:  # the mean rank of the ratings that have this value
        places = np.cumsum(totals) - totals / 2
    distances: Floats = np.subtract.outer(places, places) ** 2
    return distances


def _distinct(rated: list[list[Rating]], metric: Metric) -> list[Rating]:
    seen = list(dict.fromkeys(rating for row in rated for rating in row))
    if metric == "nominal":
        return seen
    if not all(isinstance(rating, Real) for rating in seen):
        raise InputError(f"{metric} ratings must be numbers: use metric='nominal' for labels")
    return sorted(seen)  # type: ignore[type-var]


def _missing(rating: Rating) -> bool:
    return rating is None or (isinstance(rating, Real) and math.isnan(rating))
