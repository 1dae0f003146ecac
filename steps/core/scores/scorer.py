"""What a scorer is, and the table of those there are."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from llm_models.errors import InputError

Bounds = tuple[float, float]
Fields = Mapping[str, Any]  # the inputs or the expectations of a row
Scorer = Callable[..., "Score | None"]
SCORERS: dict[str, Scorer] = {}
SHARE: Bounds = (0.0, 1.0)  # of a yes/no score too
BOUNDS: dict[str, Bounds | None] = {}  # by scorer: the lowest and the highest score there can be
ARGUMENTS = ("inputs", "outputs", "expectations")


@dataclass(frozen=True, slots=True)
class Score:
    value: bool | float
    rationale: str | None = None
    rater: str | None = None  # the people who gave it, where people did
    details: Mapping[str, Any] | None = field(default=None, compare=False)  # of a judge's call


@dataclass(frozen=True, slots=True)
class Failure:
    """A scorer that applies and gave no score: neither a score nor an abstention."""

    error: str


def scorer(function: Scorer) -> Scorer:
    """Register `function` under its own name; its scores are yes/no, or lie between 0 and 1.

    It takes any of `inputs` (dict), `outputs` (str) and `expectations` (dict), and returns a
    Score, or None to abstain. Registered, it takes all three by keyword and abstains by itself
    where there is no answer.
    """
    return _registered(function, SHARE)


def measure(function: Scorer) -> Scorer:
    """The same for a number of any size, such as a count: it has no best and no worst value."""
    return _registered(function, None)


def _registered(function: Scorer, bounds: Bounds | None) -> Scorer:
    name = function.__name__
    wanted = [known for known in ARGUMENTS if known in inspect.signature(function).parameters]

    @wraps(function)
    def score(
        *, outputs: str | None, inputs: Fields | None = None, expectations: Fields | None = None
    ) -> Score | None:
        if outputs is None or not outputs.strip():
            return None
        given = {"inputs": inputs or {}, "outputs": outputs, "expectations": expectations or {}}
        return _within(name, bounds, function(**{known: given[known] for known in wanted}))

    SCORERS[name], BOUNDS[name] = score, bounds
    return score


def _within(name: str, bounds: Bounds | None, score: Score | None) -> Score | None:
    """A value that cannot be averaged with others must not reach the others."""
    if score is None:
        return None
    if not math.isfinite(score.value):
        raise InputError(f"{name} gave {score.value}, which is no score")
    if bounds and not bounds[0] <= score.value <= bounds[1]:
        raise InputError(
            f"{name} gave {score.value:g}, and a @scorer gives {bounds[0]:g} to {bounds[1]:g}: "
            "make it a @measure"
        )
    return score
