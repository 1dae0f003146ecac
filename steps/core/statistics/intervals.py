"""The interval around one mean, where rows are few, scores are bounded or rows repeat.

The methods were chosen by simulation (tests/steps/core/statistics/simulation.py): on bounded
scores of 30 rows, t and the BCa bootstrap miss too often, and nearly always on one side.
"""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy.typing as npt

from llm_models.errors import InputError
from steps.core.statistics.rows import Bounds, Rows, check_bounds, checked, is_yes_no, rows_of

Limits = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its two-sided interval; None where the data cannot say."""

    mean: float
    low: float | None
    high: float | None
    n: int  # values
    n_clusters: int  # rows
    level: float
    method: str


def mean_interval(
    values: npt.ArrayLike,
    clusters: Iterable[Hashable] | None = None,
    level: float = 0.95,
    bounds: Bounds | None = None,
) -> Interval | None:
    """The mean of `values` (n,) and its interval; None without any value.

    `clusters` (n,) names the row of each value; without it each value is a row. `bounds` default
    to (0, 1) where all values are 0 or 1. Yes/no without repeats: Wilson (1927). Bounded: the
    same with `_effective_rows`. Otherwise: Student's t over rows. Raises InputError.
    """
    numbers = checked(values, "values")
    if not numbers.size:
        return None
    check_bounds(numbers, bounds)
    yes_no = is_yes_no(numbers, bounds)
    rows = rows_of(numbers, clusters)
    limits, method = _limits(rows, yes_no, level, (0.0, 1.0) if yes_no else bounds)
    return Interval(rows.mean, *limits, numbers.size, rows.n, level, method)


def _limits(rows: Rows, yes_no: bool, level: float, bounds: Bounds | None) -> tuple[Limits, str]:
    if yes_no and not rows.repeated:
        return _wilson(rows.mean, rows.n, normal_quantile(level), (0.0, 1.0)), "Wilson"
    if rows.no_spread:
        return unseen_limits(rows, level, bounds), "no spread seen"
    quantile = t_quantile(level, rows.n - 1)
    if bounds:
        effective = _effective_rows(rows, bounds)
        return _wilson(rows.mean, effective, quantile, bounds), "Wilson, effective rows"
    half = quantile * rows.standard_error
    return (rows.mean - half, rows.mean + half), "t over rows"


def unseen_limits(rows: Rows, level: float, bounds: Bounds | None) -> Limits:
    """Where all rows agree: how far rows not seen, lying at a bound, could move the mean.

    Their share is Wilson's upper limit for what none of the rows has shown.
    """
    if bounds is None:
        return None, None
    z2 = normal_quantile(level) ** 2
    share = z2 / (rows.n + z2)
    return rows.mean - share * (rows.mean - bounds[0]), rows.mean + share * (bounds[1] - rows.mean)


def _effective_rows(rows: Rows, bounds: Bounds) -> float:
    """How many yes/no rows would know the mean as well (Korn and Graubard 1998).

    The row farthest from the mean counts twice, which is our own: few rows seldom show the rare
    value that matters. At 30 rows it lifts the lowest coverage from 89 % to 93 %.
    """
    farthest = float((rows.deviations**2).max())
    greatest = (rows.mean - bounds[0]) * (bounds[1] - rows.mean)  # variance of a yes/no row
    return rows.n * ((rows.n - 1) * greatest + farthest) / (rows.squares + farthest)


def _wilson(mean: float, n: float, quantile: float, bounds: Bounds) -> Limits:
    """Wilson's score interval (1927); its proportion is the place of the mean in `bounds`."""
    low, width = bounds[0], bounds[1] - bounds[0]
    share, z2 = (mean - low) / width, quantile**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = quantile * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return low + width * max(centre - half, 0.0), low + width * min(centre + half, 1.0)


def normal_quantile(level: float) -> float:
    """The two-sided quantile: 1.96 for 0.95. Raises InputError."""
    from scipy.special import ndtri  # scipy takes a second to import

    return float(ndtri((1 + _checked_level(level)) / 2))


def t_quantile(level: float, freedom: int) -> float:
    """The two-sided quantile of Student's t. Raises InputError."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + _checked_level(level)) / 2))


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, such as 0.95, not {level}")
    return level
