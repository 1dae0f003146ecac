"""How much better than another evaluation one is, row by row."""

from collections.abc import Callable, Mapping

from steps.core.config import MEAN, Gate
from steps.core.predictions import Prediction, Predictions
from steps.core.statistics.paired import Paired, compare

Value = Callable[[Prediction], float | None]
_SECONDS = ("avg_inference_time",)  # no bounds from above
_VALUES: Mapping[str, Value] = {  # of the metrics in config.PER_ROW
    "error_rate": lambda row: 0.0 if row.answered else 1.0,
    "avg_inference_time": lambda row: row.latency_s if row.answered else None,
}


def gained(gate: Gate, candidate: Predictions, holder: Predictions) -> Paired | None:
    """The candidate's gain over the holder; positive is better, whichever way the metric goes.

    Over the rows where both have a value: an unanswered row is no score, so a gate on coverage
    or error_rate belongs beside this one. None where there is no such row.
    """
    value = _VALUES.get(gate.metric) or _score(gate.metric.removesuffix(MEAN))
    kept = [
        (key[0], ours, theirs)
        for key, row in candidate.rows.items()
        if (other := holder.rows.get(key)) is not None
        and (ours := value(row)) is not None
        and (theirs := value(other)) is not None
    ]
    rows, better, worse = zip(*kept, strict=True) if kept else ((), (), ())
    if gate.lower_is_better:
        better, worse = worse, better
    unit = gate.metric not in _SECONDS and all(0 <= one <= 1 for one in (*better, *worse))
    return compare(worse, better, clusters=rows, bounds=(0.0, 1.0) if unit else None)


def _score(scorer: str) -> Value:
    return lambda row: row.scores.get(scorer)
