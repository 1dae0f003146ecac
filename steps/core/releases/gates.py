"""What the gate of an alias says of one version: a check for each bound of each metric."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from steps.core.config import MEAN, Gate
from steps.core.predictions import Predictions
from steps.core.releases.regression import gained
from steps.core.statistics.paired import Paired, noninferior
from steps.core.statistics.power import rows_to_clear
from steps.core.strict import did_you_mean
from steps.core.verdict import Verdict

_VERDICTS = {
    "pass": Verdict.PASS,
    "fail": Verdict.FAIL,
    "not_enough_evidence": Verdict.NOT_ENOUGH_EVIDENCE,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One bound, what was measured, and what that says."""

    metric: str
    bound: str
    value: str
    verdict: Verdict
    note: str = ""

    def cells(self) -> list[str]:
        verdict = self.verdict.upper() if self.verdict is Verdict.FAIL else str(self.verdict)
        return [self.metric, self.value, self.bound, verdict]


@dataclass(frozen=True)
class Measured:
    """One evaluation; its rows are read only where a gate asks for them."""

    metrics: Mapping[str, float]
    read: Callable[[], Predictions]

    @cached_property
    def predictions(self) -> Predictions:
        return self.read()

    def rows_behind(self, metric: str) -> int:
        """How many rows a metric rests on; repeats of a row are no further rows."""
        scorer = metric.rpartition("/")[0]
        kept = self.predictions.rows.items()
        return len({key[0] for key, row in kept if not scorer or scorer in row.scores})


@dataclass(frozen=True)
class Holder:
    """The version that has the alias, measured on the same rows as the candidate.

    `measured` is None where the two are one model, or where an `obstacle` forbids to compare.
    """

    version: int
    measured: Measured | None = None
    obstacle: str | None = None


def check(gates: Iterable[Gate], candidate: Measured, holder: Holder | None) -> list[Check]:
    """Every bound of every gate, in their order. Raises InputError for rows that are gone."""
    return [one for gate in gates for one in _checks(gate, candidate, holder)]


def _checks(gate: Gate, candidate: Measured, holder: Holder | None) -> Iterator[Check]:
    if gate.min_rows is not None:
        yield _enough_rows(gate.metric, gate.min_rows, candidate)
    for limit, sign in ((gate.min, 1), (gate.max, -1)):
        if limit is not None:
            yield _bound(gate, candidate.metrics, limit, sign)
    if gate.max_regression is not None:
        yield _no_regression(gate, gate.max_regression, candidate, holder)


def _enough_rows(metric: str, least: int, candidate: Measured) -> Check:
    rows = candidate.rows_behind(metric)
    verdict = Verdict.PASS if rows >= least else Verdict.NOT_ENOUGH_EVIDENCE
    note = "" if rows >= least else f"{least - rows} more needed"
    return Check(metric, f"at least {least} rows", f"{rows} rows", verdict, note)


def _bound(gate: Gate, metrics: Mapping[str, float], limit: float, sign: int) -> Check:
    """`sign` is 1 for a lowest value allowed and -1 for a highest."""
    words = f"{'at least' if sign > 0 else 'at most'} {limit:g}"
    value = metrics.get(gate.metric)
    if value is None or math.isnan(value):
        return Check(gate.metric, words, *_unmeasured(gate.metric, metrics))
    ends = _interval(gate.metric, metrics)
    shown = f"{value:.4g}" + (f" [{ends[0]:.3g}, {ends[1]:.3g}]" if ends else "")
    if not gate.confident:
        holds = sign * (value - limit) >= 0
        return Check(gate.metric, words, shown, Verdict.PASS if holds else Verdict.FAIL)
    words = f"surely {words}"
    if ends is None:
        return Check(gate.metric, words, shown, Verdict.NOT_ENOUGH_EVIDENCE, "no interval")
    n = round(metrics.get(f"{gate.metric.removesuffix(MEAN)}/n_scored", 0))
    return Check(gate.metric, words, shown, *_sure(value, ends, limit, sign, n))


def _unmeasured(
    metric: str, metrics: Mapping[str, float], whose: str = ""
) -> tuple[str, Verdict, str]:
    """What is shown of a metric that an evaluation has not got, and why it has not."""
    scorer, share = metric.rpartition("/")[0], metrics.get(f"{metric.removesuffix(MEAN)}/coverage")
    known = {name.rpartition("/")[0] for name in metrics} - {""}
    if scorer and scorer not in known:
        why = f"nothing was scored by '{scorer}'{did_you_mean(scorer, known)}"
    elif metric.endswith(MEAN):
        few = share is not None
        why = f"its coverage of {share:.3g} is below min_coverage" if few else "it fits no row"
    elif metric == "total_cost_estimate" and "rows_of_unknown_cost" in metrics:
        why = f"the cost of {metrics['rows_of_unknown_cost']:.0f} rows is unknown"
    else:
        why = f"no such metric{did_you_mean(metric, metrics)}"
    return f"not measured{whose}", Verdict.NOT_ENOUGH_EVIDENCE, why


def _interval(metric: str, metrics: Mapping[str, float]) -> tuple[float, float] | None:
    if not metric.endswith(MEAN):
        return None
    scorer = metric.removesuffix(MEAN)
    low, high = (metrics.get(f"{scorer}/{end}") for end in ("ci_low", "ci_high"))
    return None if low is None or high is None else (low, high)


def _sure(
    mean: float, ends: tuple[float, float], limit: float, sign: int, n: int
) -> tuple[Verdict, str]:
    """Whether the whole interval lies on one side of the limit."""
    worst_end, best_end = ends if sign > 0 else (ends[1], ends[0])
    if sign * (worst_end - limit) >= 0:
        return Verdict.PASS, ""
    if sign * (best_end - limit) < 0:
        return Verdict.FAIL, ""
    facing = worst_end if sign * (mean - limit) >= 0 else best_end
    return Verdict.NOT_ENOUGH_EVIDENCE, _needed(abs(mean - limit), abs(mean - facing), n)


def _no_regression(gate: Gate, margin: float, candidate: Measured, holder: Holder | None) -> Check:
    """The interval of the paired difference decides, not the difference."""
    if holder is None:
        return Check(gate.metric, f"loses at most {margin:g}", "nobody has the alias", Verdict.PASS)
    said = partial(Check, gate.metric, f"loses at most {margin:g} to version {holder.version}")
    if holder.obstacle is not None:
        return said("cannot be compared", Verdict.NOT_ENOUGH_EVIDENCE, holder.obstacle)
    if holder.measured is None:
        return said("the same model", Verdict.PASS)
    for whose, side in (("", candidate), (" of the holder", holder.measured)):
        if gate.metric not in side.metrics:  # as is a mean that rests on too few rows
            return said(*_unmeasured(gate.metric, side.metrics, whose))
    return said(*_gain(gained(gate, candidate.predictions, holder.measured.predictions), margin))


def _gain(gain: Paired | None, margin: float) -> tuple[str, Verdict, str]:
    """What is shown of a gain over the holder, what it means, and what it would take to know."""
    verdict = _VERDICTS[noninferior(gain, margin)]
    if gain is None or gain.low is None or gain.high is None:
        return f"no interval over {gain.n} rows" if gain else "no rows in common", verdict, ""
    shown = f"{gain.difference:+.3g} [{gain.low:+.3g}, {gain.high:+.3g}] over {gain.n} rows"
    if verdict is not Verdict.NOT_ENOUGH_EVIDENCE:
        return shown, verdict, ""
    slack = gain.difference + margin
    facing = gain.low if slack >= 0 else gain.high
    return shown, verdict, _needed(abs(slack), abs(gain.difference - facing), gain.n)


def _needed(distance: float, half: float, n: int) -> str:
    rows = rows_to_clear(distance, half, n)
    return f"about {rows:,} rows would tell" if rows else "too close to the bound for any rows"
