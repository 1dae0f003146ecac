"""What a difference from the baseline means for the exit code of compare."""

from dataclasses import dataclass

from steps.core.comparing.differences import Difference, rounded
from steps.core.statistics.paired import Paired, noninferior
from steps.core.statistics.power import minimum_rows
from steps.core.verdict import Verdict


@dataclass(frozen=True)
class Ruling:
    """On one model by one scorer."""

    candidate: str
    scorer: str
    verdict: Verdict
    reason: str

    @property
    def line(self) -> str:
        return f"{self.candidate}: {self.verdict}, by {self.scorer}: {self.reason}"


def ruling(one: Difference, max_loss: float | None) -> Ruling:
    """Fail where the model is shown to be worse; pass where it is not and there are rows enough.

    With `max_loss`, in units of the scorer, the rows must also show that no more than that is lost.
    """
    return Ruling(one.candidate, one.scorer, *_ruled(one, max_loss))


def _ruled(one: Difference, max_loss: float | None) -> tuple[Verdict, str]:
    if one.paired is None or one.verdict == "not enough rows":
        return Verdict.NOT_ENOUGH_EVIDENCE, one.words
    if one.verdict == "worse":
        return Verdict.FAIL, f"worse by {-one.paired.difference:.2f}"
    if max_loss is None:
        return Verdict.PASS, one.words
    if noninferior(one.paired, max_loss) == "pass":
        return Verdict.PASS, f"a loss of more than {max_loss:g} is ruled out"
    return Verdict.NOT_ENOUGH_EVIDENCE, _not_ruled_out(one.paired, max_loss)


def _not_ruled_out(paired: Paired, max_loss: float) -> str:
    told = f"a loss of more than {max_loss:g} is not ruled out"
    if not paired.sd:
        return told
    return f"{told}; about {rounded(minimum_rows(max_loss, paired.sd)):,} rows would tell"
