"""What an endpoint answers now against what the evaluation of its version holds."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from steps.core.comparing.comparison_text import HEADERS, difference_cells
from steps.core.comparing.differences import Difference, differences
from steps.core.comparing.flips import cut
from steps.core.comparing.rulings import Ruling, ruling
from steps.core.dataset import Row
from steps.core.predictions import Prediction, Predictions
from steps.core.scores import scorers
from steps.core.scores.scorer import Score
from steps.core.serve_check.serve_asking import ServedAnswer
from steps.core.tabular import plain_table
from steps.core.verdict import Verdict, worst

EVALUATED, SERVED = "evaluated", "served"
COLUMNS = ("row", "evaluated", "served", "text")
QUOTED = 40  # characters of an answer
Reason = tuple[Verdict, str]


@dataclass(frozen=True)
class Compared:
    """One row: the answer that was evaluated, and the one that is served."""

    row: Row
    before: Prediction
    now: ServedAnswer

    @property
    def text(self) -> str:
        return str(self.now.output.get("text"))

    @property
    def same(self) -> bool:
        return self.now.answered and self.text == self.before.text

    def cells(self) -> list[str]:
        came = "same" if self.same else "differs" if self.now.answered else "no answer"
        said = self.text if self.now.answered else f"{self.now.http}: {self.now.told}"
        return [self.row.id, _quoted(self.before.text or ""), _quoted(said), came]


@dataclass(frozen=True)
class ServeComparison:
    """`identity` is why another model answers, if it does.

    `exact`: a text must be the one evaluated, because nothing is left to chance.
    """

    rows: Sequence[Compared]
    identity: Sequence[str]
    exact: bool
    scorers: Collection[str]  # deterministic ones

    @cached_property
    def differences(self) -> list[Difference]:
        """served - evaluated, by scorer."""
        before = {(one.row.id, 0): one.before for one in self.rows}
        now = {(one.row.id, 0): self._scored(one) for one in self.rows}
        sides = [Predictions(EVALUATED, before), Predictions(SERVED, now)]
        known = [name for name in self.scorers if any(name in side.scorers for side in sides)]
        return differences(sides, known, EVALUATED, named=True)

    @property
    def verdict(self) -> Verdict:
        return worst(verdict for verdict, _ in self.reasons)

    @cached_property
    def reasons(self) -> list[Reason]:
        return list(self._reasons())

    def text(self) -> str:
        """For a terminal."""
        lines = [plain_table(COLUMNS, [one.cells() for one in self.rows])]
        if not all(one.same for one in self.rows) and self.differences:
            lines.append(plain_table(HEADERS, [difference_cells(d) for d in self.differences]))
        return "\n".join([*lines, *(why for _, why in self.reasons)])

    def _reasons(self) -> Iterator[Reason]:
        yield from ((Verdict.FAIL, why) for why in self.identity)
        lost = [one for one in self.rows if not one.now.answered]
        yield from (_lost(one) for one in sorted(lost, key=lambda one: one.now.temporary))
        answered = [one for one in self.rows if one.now.answered]
        other = sum(not one.same for one in answered)
        if answered and not other:
            yield Verdict.PASS, f"all {len(answered)} answers are those evaluated, word by word"
        elif self.exact and other:
            told = f"{other} of {len(answered)} answers differ, though nothing is left to chance"
            yield Verdict.FAIL, f"{told} (-P exact=no compares the scores alone)"
        elif answered:
            yield self._by_scores()

    def _by_scores(self) -> Reason:
        """Worse by any scorer fails; else one that has rows enough decides."""
        told = [ruling(one, None) for one in self.differences]
        for wanted in (Verdict.FAIL, Verdict.PASS):
            found = [one for one in told if one.verdict is wanted]
            if found:
                return wanted, "; ".join(map(_words, found))
        why = "; ".join(map(_words, told)) or "no scorer applies to these rows"
        return Verdict.NOT_ENOUGH_EVIDENCE, f"{why}: raise limit"

    def _scored(self, one: Compared) -> Prediction:
        given = _scores(self.scorers, one) if one.now.answered else {}
        return Prediction(
            status=str(one.now.output.get("status", "error")),
            text=one.text if one.now.answered else None,
            prompt=one.before.prompt,
            tags=one.before.tags,
            error=None if one.now.answered else one.now.told,
            latency_s=one.now.output.get("latency_s"),
            cost_usd=one.now.output.get("cost_usd"),
            scores=given,
            rationales={},
            failures=dict.fromkeys(
                set(one.before.scores) & set(self.scorers) - set(given), "no score"
            ),
        )


def _scores(names: Collection[str], one: Compared) -> Mapping[str, float]:
    found = scorers.score_row(names, one.row.inputs, one.text, one.row.expectations)
    return {name: float(s.value) for name, s in found.items() if isinstance(s, Score)}


def _lost(one: Compared) -> Reason:
    verdict = Verdict.NOT_ENOUGH_EVIDENCE if one.now.temporary else Verdict.FAIL
    return verdict, f"{one.row.id} was not answered: {one.now.http}, {one.now.told}"


def _words(one: Ruling) -> str:
    return f"{one.scorer}: {one.reason}"


def _quoted(text: str) -> str:
    return cut(" ".join(text.split()), QUOTED)
