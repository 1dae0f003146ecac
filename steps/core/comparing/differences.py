"""Each model against the baseline, paired by row, with a verdict in words."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from steps.core.predictions import Key, Prediction, Predictions
from steps.core.scores import coverage
from steps.core.statistics.paired import Paired, compare, holm
from steps.core.statistics.power import fewest_rows

LEVEL = 0.95
Verdict = Literal[
    "better", "worse", "no difference shown", "not enough rows", "not enough coverage"
]
Reason = Literal["unanswered", "scorer failed", "abstained", "not asked"]


@dataclass(frozen=True)
class Difference:
    """A model against the baseline by one scorer; differences are model - baseline."""

    scorer: str
    candidate: str
    baseline: str
    left_out: Mapping[str, int]  # rows one side has no score for, by reason
    paired: Paired | None  # over the rows both sides have a score for; None below the floor
    lacking: str | None = None  # whose coverage is below the floor
    p_adjusted: float | None = None  # Holm, over the pairs of models, scorer by scorer

    @property
    def verdict(self) -> Verdict:
        if self.lacking:
            return "not enough coverage"
        if self.paired is None or self.paired.n < fewest_rows(LEVEL):
            return "not enough rows"
        if self.p_adjusted is None or self.p_adjusted > 1 - LEVEL:
            return "no difference shown"
        return "better" if self.paired.difference > 0 else "worse"

    @property
    def words(self) -> str:
        """The verdict, and what it would take to reach one."""
        if self.lacking:
            return self.lacking
        verdict, needed = self.verdict, self.paired and self.paired.rows_needed
        if verdict == "not enough rows":
            return f"not enough rows: {self.paired.n if self.paired else 0} scored for both"
        if verdict == "no difference shown" and self.paired and needed and needed > self.paired.n:
            return f"{verdict}; about {rounded(needed):,} rows would be needed"
        return verdict


def differences(
    models: Sequence[Predictions],
    scorers: Iterable[str],
    baseline: str,
    *,
    named: bool,
    floor: float = 0.0,
) -> list[Difference]:
    """Every model but the baseline, scorer by scorer; `floor` is the least coverage of a verdict.

    A baseline that was not `named` was chosen by its scores, so that any pair of models could have
    been the one looked at: p-values are then corrected over all pairs.
    """
    found = []
    for scorer in scorers:
        pairs = _pairs(models, baseline, everyone=not named)
        told = [_difference(a, b, scorer, _asked(models, scorer), floor) for a, b in pairs]
        found += [one for one in _corrected(told) if one.baseline == baseline]
    return found


def both_scored(
    a: Predictions, b: Predictions, scorer: str
) -> Iterator[tuple[Key, Prediction, Prediction]]:
    """The rows that count: those with a score of either side."""
    for key, left in a.rows.items():
        right = b.rows.get(key)
        if right is not None and scorer in left.scores and scorer in right.scores:
            yield key, left, right


def _pairs(
    models: Sequence[Predictions], baseline: str, *, everyone: bool
) -> list[tuple[Predictions, Predictions]]:
    """(a, b), the baseline always as a."""
    ordered = sorted(models, key=lambda model: model.candidate != baseline)
    return [(a, b) for a, b in combinations(ordered, 2) if everyone or a.candidate == baseline]


def _asked(models: Iterable[Predictions], scorer: str) -> set[Key]:
    """The rows the scorer applies to, as far as any model's answer shows it."""
    return {
        key
        for model in models
        for key, row in model.rows.items()
        if scorer in row.scores or scorer in row.failures
    }


def _difference(
    a: Predictions, b: Predictions, scorer: str, asked: set[Key], floor: float
) -> Difference:
    kept = list(both_scored(a, b, scorer))
    out = asked - {key for key, _, _ in kept}
    reasons = Counter[str](_reason(a.rows.get(key), b.rows.get(key), scorer) for key in out)
    lacking = _lacking(a, b, scorer, floor) or pair_lacks(len(kept), reasons, floor)
    paired = None if lacking else _compare(kept, scorer)
    return Difference(scorer, b.candidate, a.candidate, dict(reasons), paired, lacking)


def _compare(kept: Sequence[tuple[Key, Prediction, Prediction]], scorer: str) -> Paired | None:
    left, right = ([side.scores[scorer] for side in sides] for sides in _columns(kept))
    inside = all(0 <= value <= 1 for value in (*left, *right))
    return compare(
        left,
        right,
        clusters=[row_id for (row_id, _), _, _ in kept],
        level=LEVEL,
        bounds=(0.0, 1.0) if inside else None,
    )


def _lacking(a: Predictions, b: Predictions, scorer: str, floor: float) -> str | None:
    """Which side's mean is no result."""
    for model in (a, b):
        share = model.totals[scorer].coverage if scorer in model.totals else None
        if share is not None and share < floor:
            return f"{model.candidate}: {coverage.told(share, floor)}"
    return None


def pair_lacks(kept: int, reasons: Mapping[str, int], floor: float) -> str | None:
    """Two sides that lack different rows may have few in common."""
    missing = reasons.get("unanswered", 0) + reasons.get("scorer failed", 0)
    share = kept / (kept + missing) if kept + missing else 1.0
    return f"of both: {coverage.told(share, floor)}" if share < floor else None


def _columns(
    kept: Sequence[tuple[Key, Prediction, Prediction]],
) -> tuple[list[Prediction], list[Prediction]]:
    return [left for _, left, _ in kept], [right for _, _, right in kept]


def _reason(a: Prediction | None, b: Prediction | None, scorer: str) -> Reason:
    if a is None or b is None:
        return "not asked"
    if not (a.answered and b.answered):
        return "unanswered"
    return "scorer failed" if scorer in a.failures or scorer in b.failures else "abstained"


def _corrected(told: Sequence[Difference]) -> list[Difference]:
    p_values = {i: one.paired.p_value for i, one in enumerate(told) if one.paired}
    adjusted = dict(zip(p_values, holm(p_values.values()), strict=True))
    return [replace(one, p_adjusted=adjusted.get(i)) for i, one in enumerate(told)]


def rounded(rows: int) -> int:
    """To two digits: the estimate is no better than that."""
    unit = 10 ** max(len(str(rows)) - 2, 0)
    return -(-rows // unit) * unit
