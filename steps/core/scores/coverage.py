"""A mean over too few of the rows it speaks for is not a result: below a floor, none is told."""

import math
import re
from collections.abc import Mapping

# What falls with the mean; counts, coverage, worst and best case and agreement with people stay.
# Slices have coverage, and fall, of their own.
_RESULT = re.compile(r"(?P<scorer>.+)/(mean|ci_low|ci_high|spread|pass_at_\d+|pass_hat_\d+)")
_OF_REPEATS = ("spread", "pass_at_", "pass_hat_")
NOTE = (
    "Coverage is the share of the rows a scorer applies to that it has scored; below min_coverage "
    "a mean is no result."
)
Metrics = Mapping[str, float | None]


def lacking(metrics: Metrics, floor: float) -> dict[str, float]:
    """scorer -> coverage, where it is below the floor."""
    known = {name: value for name, value in metrics.items() if name.endswith("/coverage")}
    return {
        name.removesuffix("/coverage"): value
        for name, value in known.items()
        if value is not None and value < floor
    }


def shown(metrics: Metrics, floor: float) -> dict[str, float | None]:
    """The metrics without the results that rest on too few rows."""
    return {name: value for name, value in metrics.items() if not _falls(name, metrics, floor)}


def told(coverage: float, floor: float) -> str:
    """`coverage 0.62 < 0.8`, rounded down, so that it is below the floor also to the eye."""
    return f"coverage {math.floor(coverage * 100) / 100:.2f} < {floor:g}"


def _falls(name: str, metrics: Metrics, floor: float) -> bool:
    found = _RESULT.fullmatch(name)
    if not found:
        return False
    kinds = ["coverage"]
    if found[2].startswith(_OF_REPEATS):
        kinds.append("repeats_coverage")
    shares = [metrics.get(f"{found['scorer']}/{kind}") for kind in kinds]
    return any(share is not None and share < floor for share in shares)
