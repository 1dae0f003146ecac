"""What a comparison of models says, as plain data: comparison.json is this, and nothing else."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from llm_models.errors import InputError
from steps.core.comparing.differences import LEVEL, Difference, differences
from steps.core.comparing.flips import TURNS, Flip, flips, is_yes_no
from steps.core.comparing.leaderboard import Board, Line, headlines
from steps.core.comparing.preferences import Duel, Pairwise, fight, preferred
from steps.core.comparing.ranking import passes, scorer_of
from steps.core.comparing.rulings import Ruling, ruling
from steps.core.config import MEAN
from steps.core.dataset import Dataset
from steps.core.human_agreement import HumanAgreement, human_agreement
from steps.core.judges.judging import Judging
from steps.core.predictions import Predictions
from steps.core.scores.repeated import RepeatedBy, repeated_by
from steps.core.scores.slices import Slice, slices
from steps.core.verdict import Verdict, worst

MAX_FLIPS = 1000  # in comparison.json, which holds their texts


@dataclass(frozen=True)
class Comparison:
    """Models on one dataset against one of them, the baseline."""

    dataset: str
    dataset_sha256: str
    rank_by: str
    min_coverage: float  # of a scorer, below which its means are no results
    baseline: str
    named: bool  # whether the user chose the baseline; else it is the best by rank_by
    scorers: Sequence[str]  # the headline scorers, that of rank_by first
    yes_no: Sequence[str]  # those of them that can flip: their scores are 0 or 1
    models: Sequence[Line]  # best first
    differences: Sequence[Difference]
    flips: Sequence[Flip]  # right → wrong first
    slices: Sequence[Slice]
    repeats: Sequence[RepeatedBy]  # none where each row was asked once
    human_agreement: Sequence[HumanAgreement]  # yes/no scorers, over the answers of all models
    max_loss: float  # that the rows must rule out, by rank_by and against a named baseline
    pairwise: Pairwise | None = None  # its differences are among the others

    @cached_property
    def rulings(self) -> Sequence[Ruling]:
        """On each model by each scorer; those by rank_by decide."""
        return [
            ruling(one, self.max_loss if self._decides(one) else None) for one in self.differences
        ]

    @property
    def verdict(self) -> Verdict:
        """The worst by rank_by; where no baseline was named, the comparison only informs."""
        if not self.named:
            return Verdict.PASS
        return worst(one.verdict for one in self.rulings if self._decides(one))

    def verdict_told(self) -> list[str]:
        """Why; nothing where no baseline was named."""
        if not self.named:
            return []
        told = [one.line for one in self.rulings if self._decides(one)]
        return told or [f"no model was compared with {self.baseline} by {self.rank_by}"]

    def _decides(self, one: Difference | Ruling) -> bool:
        return self.named and one.scorer == self.rank_by.removesuffix(MEAN)

    def counts(self, scorer: str, candidate: str) -> tuple[int, int]:
        """Flips (right → wrong, wrong → right)."""
        lost, won = (self._turns[scorer, candidate, turn] for turn in TURNS)
        return lost, won

    @cached_property
    def _turns(self) -> Counter[tuple[str, str, str]]:
        return Counter((flip.scorer, flip.candidate, flip.turn) for flip in self.flips)

    def flips_told(self) -> list[str]:
        """One line for each yes/no scorer."""
        names = {one.candidate for one in self.differences}
        counts = {s: [self.counts(s, name) for name in names] for s in self.yes_no if names}
        sums = {scorer: map(sum, zip(*pairs, strict=True)) for scorer, pairs in counts.items()}
        return [
            f"Flips by {scorer}: {lost} right → wrong, {won} wrong → right."
            for scorer, (lost, won) in sums.items()
        ]

    def method(self) -> str:
        """How to read the differences, in a sentence or two."""
        over = "each model and the baseline" if self.named else "all pairs of models"
        chosen = "" if self.named else f", chosen as the best by {self.rank_by}"
        return (
            f"Differences are model - baseline ({self.baseline}{chosen}), paired by row, with "
            f"{LEVEL:.0%} intervals; rows that either side left unanswered are left out and never "
            f"scored. p-values are Holm-corrected over {over}, scorer by scorer."
        )

    def json(self) -> str:
        """Every number, unknown ones as null; of the flips, the first MAX_FLIPS."""
        told = asdict(replace(self, flips=self.flips[:MAX_FLIPS]))
        told["verdict"], told["rulings"] = self.verdict, [asdict(one) for one in self.rulings]
        told["flips_left_out"] = max(len(self.flips) - MAX_FLIPS, 0)
        for one, plain in zip(self.differences, told["differences"], strict=True):
            lost, won = self.counts(one.scorer, one.candidate)
            plain |= {"verdict": one.verdict, "words": one.words, "lost": lost, "won": won}
        return json.dumps(told, ensure_ascii=False, allow_nan=False, indent=1)


def compared(
    dataset: Dataset,
    board: Board,
    models: Sequence[Predictions],
    rank_by: str,
    name: str,
    *,
    max_loss: float,
) -> Comparison:
    """`name` is the baseline's, or empty for the best of the board.

    Raises InputError for a baseline that is not among the models.
    """
    baseline = _baseline(board, name)
    named, floor = bool(name), max(line.min_coverage for line in board.lines)
    by_row = passes(models, rank_by)  # which differ from the scores of single answers
    found = differences(by_row, [rank_by], baseline, named=named, floor=floor) if by_row else []
    chosen = headline_scorers(models, rank_by)
    yes_no = [scorer for scorer in chosen if is_yes_no(models, scorer)]
    return Comparison(
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        rank_by=rank_by,
        min_coverage=floor,
        baseline=baseline,
        named=named,
        scorers=chosen,
        yes_no=yes_no,
        models=board.lines,
        differences=[
            *found,
            *differences(models, chosen, baseline, named=named, floor=floor),
        ],
        flips=flips(models, yes_no, baseline),
        max_loss=max_loss,
        slices=[
            one for m in models for one in slices(m.candidate, m.chosen(chosen), m.tags, floor)
        ],
        repeats=[
            one
            for m in models
            for one in repeated_by(m.candidate, m.chosen(chosen).items(), m.repeats, floor)
        ],
        human_agreement=human_agreement([model.totals for model in models]),
    )


def with_pairwise(
    comparison: Comparison, dataset: Dataset, models: Sequence[Predictions], judging: Judging
) -> tuple[Comparison, list[Duel]]:
    """The same and what pairwise judges prefer, row by row. Calls cost what they cost."""
    duels = fight(dataset, models, comparison.baseline, judging)
    found, behind = preferred(
        models,
        comparison.baseline,
        duels,
        judging,
        named=comparison.named,
        floor=comparison.min_coverage,
    )
    differences = [*comparison.differences, *found]
    return replace(comparison, differences=differences, pairwise=behind), duels


def headline_scorers(models: Sequence[Predictions], rank_by: str) -> list[str]:
    """Those of the leaderboard that applied to any row, that of rank_by first."""
    known = {name for model in models for name in model.scorers}
    columns = headlines(f"{name}{MEAN}" for name in known)
    means = [metric.removesuffix(MEAN) for metric, *_ in columns if metric.endswith(MEAN)]
    wanted = dict.fromkeys([scorer_of(rank_by), *means])
    return [name for name in wanted if name in known]


def _baseline(board: Board, name: str) -> str:
    names = [line.candidate for line in board.lines]
    if name and name not in names:
        raise InputError(f"baseline: '{name}' is not compared here; choose from {', '.join(names)}")
    return name or names[0]
