"""One scorer over rows that were asked several times: what asking again would change."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from steps.core.scores import coverage
from steps.core.scores.scorer_total import ScorerTotal
from steps.core.statistics.intervals import Interval
from steps.core.statistics.repeats import pass_at_k, pass_hat_k, repeat_spread
from steps.core.statistics.rows import is_yes_no

ONCE = "Each row was asked once, so run-to-run spread is not measured; repeats=3 measures it."


@dataclass(frozen=True)
class Repeated:
    """k answers a row. pass@k and pass^k: statistics/repeats.py; None for scores between 0 and 1.

    `spread` is the standard deviation of the run's mean from one repeat to the next, over the
    rows scored in all of them (Blackwell et al. 2024, arXiv 2410.03492, repeat whole runs alike).
    """

    k: int
    rows: int  # scored in every repeat: all that counts here
    coverage: float  # their share of the rows attempted
    pass_at_k: Interval | None  # at least one of k answers is right
    pass_hat_k: Interval | None  # all k are
    spread: float | None
    changing: int  # rows whose score is not the same in every repeat

    def metrics(self, name: str) -> dict[str, float | None]:
        """`<scorer>/pass_at_3` for pass@3, `<scorer>/pass_hat_3` for pass^3: names MLflow takes.

        They carry k, so that no chart lays pass@3 beside pass@5.
        """
        return {
            f"{name}/pass_at_{self.k}": self.pass_at_k.mean if self.pass_at_k else None,
            f"{name}/pass_hat_{self.k}": self.pass_hat_k.mean if self.pass_hat_k else None,
            f"{name}/spread": self.spread,
            f"{name}/repeats_coverage": self.coverage,
        }


def repeated(total: ScorerTotal, k: int) -> Repeated | None:
    """None where rows were asked once, or the scorer scored nothing."""
    if k < 2 or not total.values:
        return None
    table = total.table(k)
    complete = table[~np.isnan(table).any(axis=1)]
    moved = repeat_spread(complete)
    yes_no = is_yes_no(total.numbers())
    return Repeated(
        k=k,
        rows=len(complete),
        coverage=len(complete) / len(table),
        pass_at_k=pass_at_k(complete, k) if yes_no else None,
        pass_hat_k=pass_hat_k(complete, k) if yes_no else None,
        spread=moved.run_sd,
        changing=len(moved.changing_rows),
    )


@dataclass(frozen=True)
class RepeatedBy:
    """The same of one model by one scorer; `lacking` says where too few rows stand behind it."""

    scorer: str
    candidate: str
    found: Repeated | None
    lacking: str | None


def repeated_by(
    candidate: str, totals: Iterable[tuple[str, ScorerTotal]], k: int, floor: float
) -> list[RepeatedBy]:
    """One for each scorer that scored anything; none where rows were asked once."""
    told = []
    for scorer, total in totals:
        if found := repeated(total, k):
            share = min(total.coverage or 0.0, found.coverage)
            lacking = coverage.told(share, floor) if share < floor else None
            told.append(RepeatedBy(scorer, candidate, None if lacking else found, lacking))
    return told
