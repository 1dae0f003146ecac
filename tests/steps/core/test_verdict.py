"""One table of exit codes, for people and for CI."""

import pytest

from steps.core.verdict import Verdict, worst

PASS, FAIL, UNSURE = Verdict.PASS, Verdict.FAIL, Verdict.NOT_ENOUGH_EVIDENCE


def test_exit_codes_tell_verdicts_apart_and_from_errors() -> None:
    assert {v.line: v.exit_code for v in Verdict} == {
        "verdict: pass": 0,
        "verdict: fail": 2,
        "verdict: not enough evidence": 3,
    }


@pytest.mark.parametrize(
    ("verdicts", "over_all"),
    [
        ([PASS, PASS], PASS),
        ([PASS, UNSURE], UNSURE),
        ([UNSURE, FAIL, PASS], FAIL),
        ([], UNSURE),
    ],
)
def test_the_worst_decides_and_nothing_is_no_evidence(
    verdicts: list[Verdict], over_all: Verdict
) -> None:
    assert worst(verdicts) is over_all
