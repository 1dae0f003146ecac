"""Results by tag of the rows: a mean over all may hide that one language is lost."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from steps.core.scores.scorer_total import ScorerTotal

SLICES = "slices.json"
MAX_VALUES = 30  # a tag with more values names rows rather than kinds of rows
MAX_CHARTED = 10  # values of a tag that is logged as metrics too: MLflow draws a chart for each
COLUMNS = ("scorer", "slice", "mean", "ci_low", "ci_high", "n", "coverage", "n_attempted")
_NAMEABLE = re.compile(r"[\w.\- ]{1,60}")  # what MLflow takes in the name of a metric, but : and /
Tags = Mapping[str, Mapping[str, str]]  # by id of the row


@dataclass(frozen=True)
class Slice:
    """One model's mean over the scored rows that have a tag, with its 95 % interval."""

    scorer: str
    tag: str
    value: str
    candidate: str
    n: int  # rows
    coverage: float
    n_attempted: int  # repeats counted apart, as in coverage
    mean: float | None  # None where coverage is below the floor
    low: float | None
    high: float | None


def slices(
    candidate: str, totals: Mapping[str, ScorerTotal], tags: Tags, floor: float
) -> list[Slice]:
    """By scorer, tag and value; rows that no scorer attempted make no slice."""
    kinds = _kinds(tags.values())
    return [
        Slice(scorer, tag, value, candidate, *_figures(part, floor))
        for scorer, total in totals.items()
        for tag in kinds
        for value, part in sorted(total.by_tag(tag, tags).items())
    ]


def table(found: Iterable[Slice]) -> str:
    """The artifact slices.json: a table that MLflow shows and `mlflow.load_table` reads.

    `slice` is "tag=value" in one, because load_table would turn a value such as "007" into 7.
    """
    rows = [
        [s.scorer, f"{s.tag}={s.value}", s.mean, s.low, s.high, s.n, s.coverage, s.n_attempted]
        for s in found
    ]
    return json.dumps({"columns": COLUMNS, "data": rows}, ensure_ascii=False, allow_nan=False)


def metrics(found: Sequence[Slice], scorer: str) -> dict[str, float | None]:
    """`<scorer>/mean/<tag>:<value>` of one scorer; the table has all.

    Each metric is a chart in MLflow's UI, and a row in its store: the headline alone is worth it.
    """
    own = [one for one in found if one.scorer == scorer]
    sizes = defaultdict[str, int](int)
    for one in own:
        sizes[one.tag] += 1
    return {
        f"{scorer}/mean/{one.tag}:{one.value}": one.mean
        for one in own
        if sizes[one.tag] <= MAX_CHARTED and _nameable(one)
    }


def _nameable(one: Slice) -> bool:
    return all(_NAMEABLE.fullmatch(part) for part in (one.tag, one.value))


def _kinds(tags: Iterable[Mapping[str, str]]) -> list[str]:
    """The tags with at least two values and not too many."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for own in tags:
        for tag, value in own.items():
            found[tag].add(value)
    return [tag for tag, values in sorted(found.items()) if 1 < len(values) <= MAX_VALUES]


def _figures(
    total: ScorerTotal, floor: float
) -> tuple[int, float, int, float | None, float | None, float | None]:
    rows, coverage = len({row for row, _ in total.scored}), total.coverage or 0.0
    found = total.interval() if coverage >= floor else None
    told = (found.mean, found.low, found.high) if found else (None, None, None)
    return rows, coverage, total.attempted, *told
