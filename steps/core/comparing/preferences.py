"""Every model's answers against the baseline's, row by row, as pairwise judges prefer them."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient

from steps.core import tracking
from steps.core.comparing.differences import LEVEL, Difference, pair_lacks
from steps.core.dataset import Dataset
from steps.core.judges.judging import Judging, side_by_side
from steps.core.judges.pairwise import NAME, Preference, prefer, together
from steps.core.predictions import Key, Predictions
from steps.core.scores.scorer import Failure
from steps.core.statistics.paired import Paired, compare, holm

CONCURRENCY = 4  # rows judged side by side, for each judge
PARQUET = "pairwise.parquet"
MAX_REASONS = 3


@dataclass(frozen=True)
class Duel:
    """One row of one model against the baseline, as each judge sees it."""

    candidate: str
    key: Key
    seen: Mapping[str, Preference | Failure]  # by the judge's name

    @property
    def preferred(self) -> Preference | Failure:
        return together(list(self.seen.values()))


@dataclass(frozen=True)
class Bias:
    """How often the place of an answer decided, by one judge over all models."""

    judge: str
    rows: int  # with a verdict in both orders
    first: int  # the answer shown first won in both
    second: int
    failed: int


@dataclass(frozen=True)
class Pairwise:
    """What stands behind the differences that pairwise judges have found."""

    biases: Sequence[Bias]
    failures: Mapping[str, int]  # why rows have no verdict, and how many
    used: Mapping[str, float | None]  # calls, tokens and USD of this command


def fight(
    dataset: Dataset, models: Sequence[Predictions], baseline: str, judging: Judging
) -> list[Duel]:
    """Ask about every row that a model and the baseline have answered; what is journalled is not
    asked again.
    """
    (base,) = (model for model in models if model.candidate == baseline)
    rows = {row.id: row for row in dataset.rows}

    def duel(job: tuple[Predictions, Key]) -> Duel:
        other, key = job
        row, texts = rows[key[0]], [side.rows[key].text or "" for side in (base, other)]
        seen = {
            judge.name: prefer(judge, row.inputs, row.expectations, *texts)
            for judge in judging.judges
        }
        return Duel(other.candidate, key, seen)

    jobs = [(m, key) for m in models if m is not base for key in _both_answered(base, m)]
    return side_by_side(judging.judges, duel, jobs, CONCURRENCY * len(judging.judges))


def preferred(
    models: Sequence[Predictions],
    baseline: str,
    duels: Sequence[Duel],
    judging: Judging,
    *,
    named: bool,
    floor: float,
) -> tuple[list[Difference], Pairwise]:
    """What duels add up to: each model's share of rows won less that of rows lost.

    p-values are corrected as those of scorers are (see differences).
    """
    (base,) = (model for model in models if model.candidate == baseline)
    others = [model for model in models if model is not base]
    told = [_difference(base, other, duels, floor) for other in others]
    pairs = len(others) if named else len(models) * len(others) // 2
    reasons = Counter(d.preferred.error for d in duels if isinstance(d.preferred, Failure))
    biases = [_bias(judge.name, duels) for judge in judging.judges]
    behind = Pairwise(biases, dict(reasons.most_common(MAX_REASONS)), judging.spent())
    return _corrected(told, pairs), behind


def log(client: MlflowClient, run_id: str, duels: Sequence[Duel], behind: Pairwise | None) -> None:
    """Every judge's preference on every row, as a table of the run, and what it took."""
    tracking.log_metrics(client, run_id, behind.used if behind else {})
    rows = [row for duel in duels for row in _rows(duel)]
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), Path(folder) / PARQUET)
        tracking.log_tables(client, run_id, Path(folder), [PARQUET])


_SCHEMA = pa.schema(
    [pa.field("id", pa.string()), pa.field("repeat", pa.int64())]
    + [
        pa.field(name, pa.string())
        for name in ("candidate", "judge", "outcome", "place", "rationale", "error")
    ]
)


def _rows(duel: Duel) -> Iterator[dict[str, Any]]:
    for judge, found in duel.seen.items():
        row = {"id": duel.key[0], "repeat": duel.key[1], "candidate": duel.candidate}
        row["judge"] = judge
        if isinstance(found, Failure):
            yield row | {"error": found.error}
        else:
            outcome = {1.0: "win", 0.0: "tie", -1.0: "loss"}[found.value]
            yield row | {"outcome": outcome, "place": found.place, "rationale": found.rationale}


def _both_answered(a: Predictions, b: Predictions) -> list[Key]:
    return [
        key
        for key, left in a.rows.items()
        if left.answered and key in b.rows and b.rows[key].answered
    ]


def _difference(
    base: Predictions, other: Predictions, duels: Sequence[Duel], floor: float
) -> Difference:
    ours = [(duel.key, duel.preferred) for duel in duels if duel.candidate == other.candidate]
    judged = [(key, one.value) for key, one in ours if isinstance(one, Preference)]
    missing = {
        "scorer failed": len(ours) - len(judged),
        "unanswered": len(base.rows.keys() & other.rows.keys()) - len(ours),
        "not asked": len(base.rows.keys() ^ other.rows.keys()),
    }
    left_out = {reason: n for reason, n in missing.items() if n}
    lacking = pair_lacks(len(judged), left_out, floor)
    paired = None if lacking else _sign_test(judged)
    return Difference(NAME, other.candidate, base.candidate, left_out, paired, lacking)


def _sign_test(judged: Sequence[tuple[Key, float]]) -> Paired | None:
    """Exact (Conover 1999, ch. 3.4): McNemar's test of rows won against rows lost is this one."""
    lost = [float(value < 0) for _, value in judged]
    won = [float(value > 0) for _, value in judged]
    rows = [row_id for (row_id, _), _ in judged]
    return compare(lost, won, clusters=rows, level=LEVEL, bounds=(0.0, 1.0))


def _corrected(told: Sequence[Difference], pairs: int) -> list[Difference]:
    """Holm over `pairs`; those that were not asked about count as showing nothing."""
    known = [one.paired.p_value for one in told if one.paired]
    adjusted = iter(holm([*known, *[1.0] * (pairs - len(known))]))
    return [replace(one, p_adjusted=next(adjusted)) if one.paired else one for one in told]


def _bias(judge: str, duels: Sequence[Duel]) -> Bias:
    seen = [duel.seen[judge] for duel in duels]
    given = [one for one in seen if isinstance(one, Preference)]
    places = Counter(one.place for one in given)
    return Bias(judge, len(given), places["first"], places["second"], len(seen) - len(given))
