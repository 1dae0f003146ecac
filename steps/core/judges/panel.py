"""Several judges on one answer: a majority for yes/no and labels, the median of numbers.

A judge that failed has no vote, and a tie is no verdict: both lower the coverage, never the mean.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from steps.core.judges.scale import Scale, Value, number
from steps.core.scores.scorer import Failure, Score
from steps.core.statistics.agreement import Metric, krippendorff_alpha
from steps.core.sums import sum_known

Votes = Mapping[str, Score | Failure | None]  # by the judge's name
Panels = Mapping[str, tuple[Sequence[str], Scale]]  # scorer -> the names of its judges' scores
USED = {
    "cost_usd": "judge_cost_estimate",
    "input_tokens": "judge_input_tokens",
    "output_tokens": "judge_output_tokens",
}


def tally(votes: Votes, scale: Scale) -> Score | Failure | None:
    """The verdict of a panel; None where all abstain, as they do on the same rows.

    A judge alone is simply followed.
    """
    if len(votes) == 1:
        return next(iter(votes.values()))
    given = {name: vote for name, vote in votes.items() if isinstance(vote, Score)}
    failed = {name: vote.error for name, vote in votes.items() if isinstance(vote, Failure)}
    if not given and not failed:
        return None
    if len(given) * 2 <= len(votes):
        told = "; ".join(f"{name}: {error}" for name, error in failed.items())
        return Failure(f"only {len(given)} of {len(votes)} judges gave a verdict: {told}")
    values = [vote.value for vote in given.values()]
    return _middle(given) if scale.numeric else _majority(given, values)


def _middle(given: Mapping[str, Score]) -> Score:
    told = ", ".join(f"{name}: {number(vote.value)}" for name, vote in given.items())
    return Score(float(median(float(vote.value) for vote in given.values())), told)


def _majority(given: Mapping[str, Score], values: Sequence[Value]) -> Score | Failure:
    winner, count = Counter(values).most_common(1)[0]
    if count * 2 <= len(values):
        told = ", ".join(f"{name}: {number(vote.value)}" for name, vote in given.items())
        return Failure(f"no majority ({told})")
    first = next(vote for vote in given.values() if vote.value == winner)
    return Score(winner, f"{count} of {len(values)} judges: {first.rationale or ''}".strip())


@dataclass
class Verdicts:
    """What the judges of a run have said, row by row, and what that has taken."""

    panels: Panels = field(default_factory=dict)
    rows: defaultdict[str, list[list[float | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    used: dict[str, float | None] = field(default_factory=dict)  # sums; None once one is unknown

    def add(self, scores: Votes) -> None:
        given = {name: score for name, score in scores.items() if isinstance(score, Score)}
        for score in given.values():
            self._add_use(score.details)
        for scorer, (names, _) in self.panels.items():
            votes = [given.get(name) for name in names]
            self.rows[scorer].append([None if v is None else float(v.value) for v in votes])

    def metrics(self) -> dict[str, float | None]:
        """Krippendorff's alpha of each panel, and the verdicts' tokens and USD, whenever paid."""
        told: dict[str, float | None] = {}
        for scorer, (_, scale) in self.panels.items():
            kind: Metric = "interval" if scale.numeric else "nominal"
            told[f"{scorer}/judge_alpha"] = krippendorff_alpha(self.rows[scorer], kind)
        return told | {metric: self.used[key] for key, metric in USED.items() if key in self.used}

    def _add_use(self, details: Mapping[str, Any] | None) -> None:
        for key in USED if details is not None else ():
            self.used[key] = sum_known((self.used.get(key, 0), (details or {}).get(key)))
