"""Do judges, and other yes/no scorers, say what people say of the same answers?"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steps.core.human import HUMAN, SOMEBODY, People
from steps.core.scores.scorer_total import Place, ScorerTotal
from steps.core.statistics.agreement import cohen_kappa, krippendorff_alpha
from steps.core.statistics.intervals import Interval, mean_interval
from steps.core.statistics.rows import is_yes_no

Totals = Mapping[str, ScorerTotal]  # by scorer


@dataclass(frozen=True)
class HumanAgreement:
    """One scorer against people; chance is removed from kappa and alpha, not from the share."""

    scorer: str
    n: int  # answers both have judged
    share: Interval  # of them judged alike
    kappa: float | None  # Cohen's (1960); None where chance alone would make them agree
    alpha: float | None  # Krippendorff's (2011), likewise

    def metrics(self) -> dict[str, float | None]:
        return {
            f"{self.scorer}/human_n": self.n,
            f"{self.scorer}/human_agreement": self.share.mean,
            f"{self.scorer}/human_kappa": self.kappa,
            f"{self.scorer}/human_alpha": self.alpha,
        }


def human_agreement(models: Sequence[Totals]) -> list[HumanAgreement]:
    """Each yes/no scorer over the answers of all models; none where people gave other numbers.

    Where several people judged an answer, their majority counts, and a tie does not.
    """
    people = [_verdicts(totals.get(HUMAN)) for totals in models]
    names = dict.fromkeys(name for totals in models for name in totals if name != HUMAN)
    return [one for name in names for one in _one(name, models, people)]


def _one(
    name: str, models: Iterable[Totals], people: Iterable[Mapping[Place, bool]]
) -> list[HumanAgreement]:
    pairs = [
        (place[0], value, verdicts[place])
        for totals, verdicts in zip(models, people, strict=True)
        if name in totals
        for place, value in zip(totals[name].scored, totals[name].values, strict=True)
        if place in verdicts
    ]
    rows, ours, theirs = zip(*pairs, strict=True) if pairs else ((), (), ())
    share = mean_interval([a == b for a, b in zip(ours, theirs, strict=True)], rows)
    if share is None or not is_yes_no(np.array(ours)):
        return []
    alpha = krippendorff_alpha([pair[1:] for pair in pairs])
    return [HumanAgreement(name, len(pairs), share, cohen_kappa(ours, theirs), alpha)]


def _verdicts(total: ScorerTotal | None) -> dict[Place, bool]:
    """What most people said of each answer; nothing where their scores are no yes or no."""
    if total is None or total.bounds is None:
        return {}
    pairs = zip(total.scored, total.values, strict=True)
    return {place: value > 0.5 for place, value in pairs if value != 0.5}


def file_metrics(people: People) -> dict[str, float | None]:
    """What a file of scores says of itself.

    `human_raters_alpha` is Krippendorff's alpha between the people: no judge can be expected to
    agree with them better than they do with each other.
    """
    given = len(people.given)
    return {
        "human_scores": given,
        "human_scores_left_out": given - len(people.counted),
        "human_raters_alpha": _between(people),
    }


def _between(people: People) -> float | None:
    said: defaultdict[tuple[object, ...], dict[str, float]] = defaultdict(dict)
    for one in people.given:
        bound = (one.id, one.answer_sha256)
        what = bound if one.answer_sha256 else (one.id, one.candidate, one.repeat)
        said[what][one.rater or SOMEBODY] = float(one.score or 0)
    raters = list(dict.fromkeys(rater for scores in said.values() for rater in scores))
    table = [[scores.get(rater) for rater in raters] for scores in said.values()]
    labels = all(one.score in (0, 1) for one in people.given)
    return krippendorff_alpha(table, "nominal" if labels else "interval")
