"""Simulated evaluations, seeded, so that a failure is a change of method.

Shares of 800 runs move by chance: ALLOWANCE standard errors, about 2 %, are granted beyond what
is asked. The figures themselves: `python -m tests.steps.core.statistics.simulation`.
"""

import numpy as np
import pytest

from tests.steps.core.statistics.scenarios import SCENARIOS, Scenario
from tests.steps.core.statistics.simulation import SIZES, around, simulate, yes_no_coverage

RUNS = 800
ALLOWANCE = 2.6


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_interval_holds_the_truth_as_often_as_it_says(scenario: Scenario, n: int):
    cell = simulate(scenario, n, RUNS)
    allowance = ALLOWANCE * cell.noise
    assert scenario.least - allowance <= cell.coverage <= scenario.most + allowance
    if cell.positives is not None:
        allowed = 0.05 if scenario.least == 0.93 else 1 - scenario.least
        assert cell.positives <= allowed + allowance


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("p", [0.5, 0.8, 0.95])
def test_the_exact_coverage_of_yes_no_means_is_near_95_percent_around_each_chance(p, n):
    assert 0.93 <= np.mean([yes_no_coverage(n, near) for near in around(p)]) <= 0.97
    assert 0.93 <= yes_no_coverage(n, p) <= 0.97
