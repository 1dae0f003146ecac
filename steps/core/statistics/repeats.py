"""Rows asked several times: what a user who may try again, or must never fail, would see.

`scores` is always a table (rows, repeats); NaN stands where an answer was not scored.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_models.errors import InputError
from steps.core.statistics.intervals import Interval, mean_interval
from steps.core.statistics.rows import Floats, is_yes_no


@dataclass(frozen=True, slots=True)
class Repeats:
    """How far results move when nothing changes; None where no row was scored twice."""

    n_rows: int  # rows scored at least twice
    n_complete: int  # rows scored in every repeat: what run_means are made of
    run_means: tuple[float, ...]  # one per repeat
    run_sd: float | None  # of run_means
    row_sd: float | None  # within a row, pooled over rows
    consistency: float | None  # chance that two repeats of one row have the same score
    changing_rows: tuple[int, ...]  # places of the rows whose repeats differ


def pass_at_k(scores: npt.ArrayLike, k: int, level: float = 0.95) -> Interval | None:
    """Chance that at least one of k answers is right: yes/no scores, unbiased.

    Chen et al. (2021, arXiv 2107.03374, eq. 1). The rows with k scores or more count, and are the
    interval's n; None if there is none. Raises InputError.
    """
    right, asked = _counts(scores, k)
    return _over_rows(1 - _all_within(asked - right, asked, k), level)


def pass_hat_k(scores: npt.ArrayLike, k: int, level: float = 0.95) -> Interval | None:
    """Chance that all of k answers are right (pass^k): yes/no scores, unbiased.

    Yao et al. (2024, tau-bench, arXiv 2406.12045, §3). Otherwise as `pass_at_k`.
    """
    right, asked = _counts(scores, k)
    return _over_rows(_all_within(right, asked, k), level)


def _counts(scores: npt.ArrayLike, k: int) -> tuple[Floats, Floats]:
    if k < 1:
        raise InputError(f"k counts answers: it must be 1 or more, not {k}")
    table = _table(scores)
    seen = ~np.isnan(table)
    if not is_yes_no(table[seen]):
        raise InputError("pass@k and pass^k need yes/no scores, 0 or 1: set a threshold first")
    asked = seen.sum(axis=1).astype(np.float64)
    enough = asked >= k
    return np.nansum(table, axis=1)[enough], asked[enough]


def _all_within(chosen: Floats, asked: Floats, k: int) -> Floats:
    """Chance that k draws without return from `asked` all fall among `chosen`."""
    steps = np.arange(k)
    return np.prod(np.maximum(chosen[:, None] - steps, 0) / (asked[:, None] - steps), axis=1)


def _over_rows(chances: Floats, level: float) -> Interval | None:
    return mean_interval(chances, level=level, bounds=(0.0, 1.0))


def repeat_spread(scores: npt.ArrayLike) -> Repeats:
    """How much the same question, asked again, moves its score and the run's mean.

    Raises InputError.
    """
    table = _table(scores)
    asked = (~np.isnan(table)).sum(axis=1)
    complete = table[asked == table.shape[1]]
    runs = complete.mean(axis=0) if len(complete) else np.empty(0)
    places = np.flatnonzero(asked >= 2)
    rows = [row[~np.isnan(row)] for row in table[places]]
    return Repeats(
        n_rows=len(rows),
        n_complete=len(complete),
        run_means=tuple(float(mean) for mean in runs),
        run_sd=float(runs.std(ddof=1)) if runs.size > 1 else None,
        row_sd=_pooled_sd(rows),
        consistency=float(np.mean([_same_score(row) for row in rows])) if rows else None,
        changing_rows=tuple(
            int(place) for place, row in zip(places, rows, strict=True) if np.ptp(row) > 0
        ),
    )


def _pooled_sd(rows: list[Floats]) -> float | None:
    freedom = sum(row.size - 1 for row in rows)
    squares = sum(float(((row - row.mean()) ** 2).sum()) for row in rows)
    return float(np.sqrt(squares / freedom)) if freedom else None


def _same_score(row: Floats) -> float:
    """Chance that two different repeats agree: Simpson's index (1949) of the row's scores."""
    counts = np.unique(row, return_counts=True)[1]
    return float((counts * (counts - 1)).sum() / (row.size * (row.size - 1)))


def _table(scores: npt.ArrayLike) -> Floats:
    try:
        table = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("scores must be a table of numbers, all rows of one length") from None
    if table.ndim != 2 or np.isinf(table).any():
        raise InputError("scores must be a finite table (rows, repeats), NaN where not scored")
    return table
