"""A gate holds only for a metric that was measured and lies within its bounds."""

import math

import pytest

from steps.core.config import Gate
from steps.core.gates import check


@pytest.mark.parametrize(
    ("bounds", "value", "passed"),
    [
        ({"min": 0.5}, 0.5, True),
        ({"min": 0.5}, 0.49, False),
        ({"max": 0.05}, 0.05, True),
        ({"max": 0.05}, 0.051, False),
        ({"min": 1, "max": 2}, 1.5, True),
        ({"min": 1, "max": 2}, 0.5, False),
        ({"min": 1, "max": 2}, 2.5, False),
        ({"max": 0}, 0.0, True),
        ({"min": 0}, 0.0, True),
        ({"min": 0}, math.nan, False),
        ({"max": 0}, math.nan, False),
    ],
)
def test_bounds_are_inclusive(bounds: dict[str, float], value: float, passed: bool) -> None:
    (held,) = check([Gate(metric="m", **bounds)], {"m": value})
    assert held.passed is passed
    assert held.cells()[-1] == ("pass" if passed else "FAIL")


@pytest.mark.parametrize("bounds", [{"min": 0}, {"max": 1}])
def test_a_metric_that_is_missing_fails_and_says_so(bounds: dict[str, float]) -> None:
    (held,) = check([Gate(metric="m", **bounds)], {"other": 1.0})
    assert not held.passed
    assert held.cells()[1] == "not measured"


def test_every_gate_is_checked_in_order_and_told_with_its_bounds() -> None:
    gates = [Gate(metric="error_rate", max=0.05), Gate(metric="rouge", min=0.2, max=0.75)]
    told = [held.cells() for held in check(gates, {"error_rate": 1 / 3, "rouge": 0.5})]
    assert told == [
        ["error_rate", "0.3333", "at most 0.05", "FAIL"],
        ["rouge", "0.5", "at least 0.2 and at most 0.75", "pass"],
    ]
