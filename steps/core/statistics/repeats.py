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
    """How far results move when nothing changes."""

    run_sd: float | None  # of the runs' means over rows scored in all; None where there is but one
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
    return Repeats(
        run_sd=float(runs.std(ddof=1)) if runs.size > 1 else None,
        changing_rows=tuple(
            place for place in np.flatnonzero(asked >= 2).tolist() if _differ(table[place])
        ),
    )


def _differ(row: Floats) -> bool:
    return bool(np.nanmax(row) > np.nanmin(row))


def _table(scores: npt.ArrayLike) -> Floats:
    try:
        table = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("scores must be a table of numbers, all rows of one length") from None
    if table.ndim != 2 or np.isinf(table).any():
        raise InputError("scores must be a finite table (rows, repeats), NaN where not scored")
    return table
