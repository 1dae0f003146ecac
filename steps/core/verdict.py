"""What a step decides: the exit code of the step, a tag of its run, the last line it prints."""

from collections.abc import Iterable
from enum import StrEnum

TAG = "verdict"  # of the run; `mlflow run` turns each exit code but 0 into 1


class Verdict(StrEnum):
    """From best to worst; an error, exit code 1, decides nothing."""

    PASS = "pass"  # noqa: S105, no password
    NOT_ENOUGH_EVIDENCE = "not enough evidence"
    FAIL = "fail"

    @property
    def exit_code(self) -> int:
        return {Verdict.PASS: 0, Verdict.FAIL: 2, Verdict.NOT_ENOUGH_EVIDENCE: 3}[self]

    @property
    def line(self) -> str:
        return f"{TAG}: {self}"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict over several; where nothing was decided there is no evidence."""
    return max(verdicts, key=list(Verdict).index, default=Verdict.NOT_ENOUGH_EVIDENCE)


def best(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict where one of several is enough."""
    return min(verdicts, key=list(Verdict).index, default=Verdict.NOT_ENOUGH_EVIDENCE)
