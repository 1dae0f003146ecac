"""Do 95 % intervals hold the truth 95 % of the time, and do equal models differ 5 % of the time?

`python -m tests.steps.core.statistics.simulation` prints the tables, in some two minutes.
"""

import math
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np

from steps.core.statistics.intervals import mean_interval
from tests.steps.core.statistics.scenarios import (
    GOOD,
    POOR,
    SCENARIOS,
    TYPICAL,
    Draw,
    Scenario,
    bounded,
    grades,
    lopsided,
    paired_scores,
    redrawn,
    scores,
)

SIZES = (30, 100, 300)  # rows


@dataclass(frozen=True)
class Cell:
    """Shares of `runs` simulated evaluations of n rows."""

    scenario: Scenario
    n: int
    runs: int
    below: float  # intervals that lie wholly below the truth
    above: float
    positives: float | None  # p-values of at most 5 % between equal models

    @property
    def coverage(self) -> float:
        return 1 - self.below - self.above

    @property
    def noise(self) -> float:
        """The standard error that chance gives a share of 5 % or 95 %."""
        return math.sqrt(0.05 * 0.95 / self.runs)

    def line(self) -> str:
        positives = "" if self.positives is None else f"{self.positives:.1%}"
        why = "" if 0.93 <= self.coverage <= 0.97 else self.scenario.why
        return (
            f"{self.scenario.name:46} {self.n:4} {self.coverage:9.1%} {self.below:6.1%} "
            f"{self.above:6.1%} {positives:>8}  {why}"
        ).rstrip()


def simulate(scenario: Scenario, n: int, runs: int) -> Cell:
    generator = np.random.default_rng([20, n])
    below = above = positives = 0
    for _ in range(runs):
        result = scenario.measure(scenario.draw(generator, n))
        below += result.high < scenario.truth - 1e-12
        above += result.low > scenario.truth + 1e-12
        positives += scenario.equal_models and result.p_value <= 0.05
    rate = positives / runs if scenario.equal_models else None
    return Cell(scenario, n, runs, below / runs, above / runs, rate)


def yes_no_coverage(n: int, p: float) -> float:
    """Of the interval of one yes/no mean: exact, the sum over all outcomes."""
    from scipy.stats import binom

    limits = np.array([_yes_no_limits(n, right) for right in range(n + 1)])
    held = (limits[:, 0] <= p + 1e-12) & (limits[:, 1] >= p - 1e-12)
    return float(binom.pmf(np.arange(n + 1), n, p)[held].sum())


@cache
def _yes_no_limits(n: int, right: int) -> tuple[float, float]:
    interval = mean_interval(np.arange(n) < right)
    return interval.low, interval.high


def around(p: float) -> np.ndarray:
    """Coverage at a single p jumps as p or n moves a little: average over these."""
    return np.linspace(p - 0.04, p + 0.04, 41)


def bootstrap_coverage(draw: Draw, truth: float, method: str, runs: int, n: int = 30) -> float:
    """Of scipy's bootstrap, which we did not choose; an interval of one point may be right."""
    from scipy.stats import bootstrap

    generator = np.random.default_rng(21)
    samples = [draw(generator, n) for _ in range(runs)]
    values = np.array([s[1] - s[0] if isinstance(s, tuple) else s for s in samples])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # samples without spread
        found = bootstrap(
            (values,), np.mean, axis=1, n_resamples=999, batch=50, method=method, rng=generator
        ).confidence_interval
    low = np.where(np.isnan(found.low), values.mean(axis=1), found.low)
    high = np.where(np.isnan(found.high), values.mean(axis=1), found.high)
    return float(np.mean((low <= truth + 1e-12) & (high >= truth - 1e-12)))


def print_exact() -> None:
    print(f"{'yes/no, exact':46}    n      at p  p ± 0.04  least of these")
    for p in (0.5, 0.8, 0.95):
        for n in SIZES:
            near = [yes_no_coverage(n, chance) for chance in around(p)]
            mean, least = float(np.mean(near)), min(near)
            print(f"p {p:<44} {n:4} {yes_no_coverage(n, p):9.1%} {mean:9.1%} {least:9.1%}")


def print_simulated(runs: int) -> None:
    print(f"\nsimulated, ± 0.4 % by chance {'n  coverage  below  above  false +':>55}")
    for scenario in SCENARIOS:
        for n in SIZES:
            print(simulate(scenario, n, runs).line(), flush=True)


def print_alternatives(runs: int) -> None:
    print(f"\ncoverage at 30 rows, ± 1 % by chance {'ours  percentile  BCa':>40}")
    one, two = bounded, paired_scores
    for name, draw, truth, measure in (
        ("scores: 30 % zeros, 20 % ones", *scores(*TYPICAL), one),
        ("scores: 5 % zeros, 75 % ones", *scores(*GOOD), one),
        ("scores: 70 % zeros, 5 % ones", *scores(*POOR), one),
        ("scores: five grades, 80 % the best", grades, 0.915, one),
        ("difference, scores: all change", redrawn(scores(*TYPICAL)[0], 1), 0.0, two),
        ("difference, scores: 30 % change", redrawn(scores(*TYPICAL)[0], 0.3), 0.0, two),
        ("difference, high scores", redrawn(scores(*GOOD)[0], 1), 0.0, two),
        ("difference, scores: rare losses, common gains", lopsided, 0.0, two),
    ):
        ours = simulate(Scenario(name, draw, measure, truth), 30, runs).coverage
        theirs = [bootstrap_coverage(draw, truth, method, runs) for method in ("percentile", "BCa")]
        print(f"{name:54} {ours:6.1%} {theirs[0]:9.1%} {theirs[1]:8.1%}", flush=True)


if __name__ == "__main__":
    print_exact()
    print_simulated(runs=10_000)
    print_alternatives(runs=2_000)
