"""Kinds of evaluations to simulate: what is drawn, what is true, what is asked of the interval."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from steps.core.statistics.intervals import mean_interval
from steps.core.statistics.paired import compare

REPEATS = 5
FEW_CHANGE = "few rows change: errs on the safe side"
FEW_FAIL = "few rows fail: errs on the safe side"
RARE = "rare rows decide, and 30 rows hold few of them"
Draw = Callable[[np.random.Generator, int], Any]
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """`least` and `most` are the coverage asked at every size: 93 % to 97 %, or `why` not."""

    name: str
    draw: Draw  # one evaluation of n rows: what `measure` takes
    measure: Callable[[Any], Any]  # to an Interval or a Paired
    truth: float
    least: float = 0.93
    most: float = 0.97
    why: str = ""

    @property
    def equal_models(self) -> bool:
        return self.name.startswith("difference") and self.truth == 0


def scores(zeros: float, ones: float, a: float, b: float) -> tuple[Draw, float]:
    """Like token F1: many exactly 0, many exactly 1, the others Beta(a, b); and their mean."""

    def draw(generator: np.random.Generator, n: int) -> np.ndarray:
        place, between = generator.random(n), generator.beta(a, b, n)
        return np.where(place < zeros, 0.0, np.where(place < zeros + ones, 1.0, between))

    return draw, ones + (1 - zeros - ones) * a / (a + b)


def grades(generator: np.random.Generator, n: int) -> np.ndarray:
    """A judge's five grades, mostly the best; their mean is 0.915."""
    return generator.choice([1, 0.75, 0.5, 0.25, 0], p=[0.8, 0.12, 0.04, 0.02, 0.02], size=n)


def chances(generator: np.random.Generator, n: int, p: float, alike: float) -> np.ndarray:
    """Each row's own chance of a right answer; `alike` is the correlation of its repeats."""
    if alike == 1:
        return (generator.random(n) < p).astype(float)
    return generator.beta(p * (1 / alike - 1), (1 - p) * (1 / alike - 1), n)


def repeated(p: float, alike: float) -> Draw:
    def draw(generator: np.random.Generator, n: int) -> np.ndarray:
        chance = chances(generator, n, p, alike)
        return (generator.random((REPEATS, n)) < chance).astype(float).ravel()

    return draw


def unsteady(source: Draw) -> Draw:
    """Scores that a third of the time change from one repeat to another."""

    def draw(generator: np.random.Generator, n: int) -> np.ndarray:
        kept = generator.random((REPEATS, n)) > 1 / 3
        fresh = source(generator, REPEATS * n).reshape(REPEATS, n)
        return np.where(kept, source(generator, n), fresh).ravel()

    return draw


def changed(worse: float, better: float) -> Draw:
    """Yes/no: rows in all, turned wrong, turned right."""

    def draw(generator: np.random.Generator, n: int) -> tuple[int, int, int]:
        lost, won, _ = generator.multinomial(n, [worse, better, 1 - worse - better])
        return n, int(lost), int(won)

    return draw


def redrawn(source: Draw, share: float) -> Draw:
    """Two models of equal quality whose scores differ on a share of the rows."""

    def draw(generator: np.random.Generator, n: int) -> Pair:
        a = source(generator, n)
        return a, np.where(generator.random(n) < share, source(generator, n), a)

    return draw


def lopsided(generator: np.random.Generator, n: int) -> Pair:
    """b is a little better on half of the rows and far worse on one in ten: equal on average."""
    gain, loss = 0.8 * generator.beta(2, 10, n), generator.beta(4, 2, n)
    place = generator.random(n)
    difference = np.where(place < 0.1, -loss, np.where(place < 0.6, gain, 0))
    a = np.where(difference < 0, 1.0, 0.2)
    return a, a + difference


def paired_repeats(p: float, alike: float) -> Draw:
    """Yes/no repeats of two equal models that find half of the rows equally hard."""

    def draw(generator: np.random.Generator, n: int) -> Pair:
        mine, theirs = chances(generator, n, p, alike), chances(generator, n, p, alike)
        theirs = np.where(generator.random(n) < 0.5, mine, theirs)
        ask = generator.random((2, REPEATS, n))
        return (ask[0] < mine).astype(float).ravel(), (ask[1] < theirs).astype(float).ravel()

    return draw


def rows_of_repeats(values: np.ndarray) -> list[int]:
    return list(range(values.size // REPEATS)) * REPEATS


def bounded(values: np.ndarray) -> Any:
    return mean_interval(values, bounds=(0, 1))


def bounded_repeats(values: np.ndarray) -> Any:
    return mean_interval(values, rows_of_repeats(values), bounds=(0, 1))


@cache
def paired_yes_no(counts: tuple[int, int, int]) -> Any:
    n, lost, won = counts
    place = np.arange(n)
    return compare(place < lost, (place >= lost) & (place < lost + won))


def paired_scores(pair: Pair) -> Any:
    return compare(*pair, bounds=(0, 1))


def paired_clusters(pair: Pair) -> Any:
    return compare(*pair, clusters=rows_of_repeats(pair[0]), bounds=(0, 1))


TYPICAL, GOOD, POOR = (0.3, 0.2, 2, 2), (0.05, 0.75, 4, 2), (0.7, 0.05, 2, 3)


def means() -> Iterator[Scenario]:
    shapes = {
        "30 % zeros, 20 % ones": TYPICAL,
        "5 % zeros, 75 % ones": GOOD,
        "70 % zeros, 5 % ones": POOR,
        "4 % zeros, 92 % ones": (0.04, 0.92, 2, 2),
        "1 % zeros, 96 % ones": (0.01, 0.96, 2, 2),
        "smooth, skewed": (0, 0, 8, 1),
        "smooth, narrow": (0, 0, 80, 20),
    }
    for name, shape in shapes.items():
        draw, mean = scores(*shape)
        yield Scenario(f"scores: {name}", draw, bounded, mean)
    yield Scenario("scores: five grades, 80 % the best", grades, bounded, 0.915)
    yield Scenario(
        "no bounds: lognormal, like latency",
        lambda generator, n: generator.lognormal(0, 0.5, n),
        mean_interval,
        math.exp(0.125),
        least=0.92,
        why="long tail",
    )


def repeats() -> Iterator[Scenario]:
    for p in (0.5, 0.8, 0.95):
        limits = {"most": 0.99, "why": FEW_FAIL} if p == 0.95 else {}
        for alike in (0.2, 0.6, 1):
            name = f"yes/no, {REPEATS} repeats: p {p}, alike {alike}"
            yield Scenario(name, repeated(p, alike), bounded_repeats, p, **limits)
    draw, mean = scores(*GOOD)
    yield Scenario(f"scores, {REPEATS} repeats", unsteady(draw), bounded_repeats, mean)


def differences() -> Iterator[Scenario]:
    few = {"most": 1.0, "why": FEW_CHANGE}
    for p, change in ((0.5, 0.5), (0.5, 0.2), (0.8, 0.32), (0.8, 0.1), (0.95, 0.08), (0.95, 0.04)):
        name = f"difference, yes/no: p {p}, {100 * change:.0f} % change"
        yield Scenario(name, changed(change / 2, change / 2), paired_yes_no, 0, **few)
    for before, worse, better in ((0.8, 0.05, 0.15), (0.85, 0.02, 0.12)):
        name = f"difference, yes/no: p {before:.2f} to {before + 0.1:.2f}"
        yield Scenario(name, changed(worse, better), paired_yes_no, 0.1, **few)
    for share in (1, 0.3, 0.1):
        name, draw = (
            f"difference, scores: {100 * share:.0f} % change",
            redrawn(scores(*TYPICAL)[0], share),
        )
        yield Scenario(name, draw, paired_scores, 0, **(few if share == 0.1 else {}))
    yield Scenario("difference, high scores", redrawn(scores(*GOOD)[0], 1), paired_scores, 0)
    name = "difference, scores: rare losses, common gains"
    yield Scenario(name, lopsided, paired_scores, 0, least=0.89, why=RARE)
    for p in (0.5, 0.8, 0.95):
        for alike in (0.3, 1):
            name = f"difference, {REPEATS} repeats: p {p}, alike {alike}"
            limits = few if p == 0.95 else {}
            yield Scenario(name, paired_repeats(p, alike), paired_clusters, 0, **limits)


SCENARIOS = [*means(), *repeats(), *differences()]
