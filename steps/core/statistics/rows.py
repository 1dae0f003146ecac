"""From values to rows: a row asked five times is one row, known better, and not five rows."""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_models.errors import InputError

Floats = npt.NDArray[np.float64]
Bounds = tuple[float, float]  # lowest and highest value possible
ROUNDING = 1e-12  # differences this small are arithmetic, not evidence


@dataclass(frozen=True, slots=True)
class Rows:
    """A sample of rows, each with one value or several."""

    sums: Floats  # of each row's values
    mean: float  # of all values
    deviations: Floats  # of each row from the mean
    repeated: bool

    @property
    def n(self) -> int:
        return self.sums.size

    @property
    def squares(self) -> float:
        return float(self.deviations @ self.deviations)

    @property
    def standard_error(self) -> float:
        """Of the mean, robust to repeats within rows (Miller 2024, arXiv 2411.00640)."""
        return math.sqrt(self.squares / (self.n * (self.n - 1)))

    @property
    def no_spread(self) -> bool:
        """One row, or all alike: nothing here tells how far others may lie."""
        farthest = np.abs(self.deviations).max()
        return self.n == 1 or bool(farthest <= ROUNDING * max(1.0, abs(self.mean)))


def rows_of(numbers: Floats, clusters: Iterable[Hashable] | None) -> Rows:
    """Group `numbers` (n ≥ 1) by `clusters` (n,); None makes each a row. Raises InputError.

    Rows asked more often weigh more: linearisation of a ratio of sums (Cochran 1977, ch. 6).
    """
    mean = float(numbers.mean())
    if clusters is None:
        return Rows(numbers, mean, numbers - mean, repeated=False)
    places: dict[Hashable, int] = {}
    row = [places.setdefault(cluster, len(places)) for cluster in clusters]
    if len(row) != numbers.size:
        raise InputError(f"{len(row)} clusters for {numbers.size} values: name the row of each")
    sizes = np.bincount(row)
    sums = np.bincount(row, weights=numbers).astype(np.float64)
    deviations = (sums - sizes * mean) * (sums.size / numbers.size)
    return Rows(sums, mean, deviations, repeated=sums.size < numbers.size)


def checked(values: npt.ArrayLike, name: str) -> Floats:
    """`values` as one-dimensional finite floats. Raises InputError."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers: turn labels into 0 and 1 first") from None
    if numbers.ndim != 1:
        raise InputError(f"{name} must have one dimension, not {numbers.ndim}")
    unusable = int(np.count_nonzero(~np.isfinite(numbers)))
    if unusable:
        raise InputError(
            f"{name} holds {unusable} missing or infinite entries: leave those rows out and "
            "report them as coverage"
        )
    return numbers


def is_yes_no(numbers: Floats, bounds: Bounds | None = None) -> bool:
    """All are 0 or 1, on a scale that has nothing else at its ends."""
    return bounds in (None, (0, 1)) and bool(np.all((numbers == 0) | (numbers == 1)))


def check_bounds(numbers: Floats, bounds: Bounds | None) -> None:
    """Raise InputError where `numbers` do not keep to `bounds`."""
    if bounds is None:
        return
    low, high = bounds
    if not low < high:
        raise InputError(f"bounds must be (lowest, highest), not {bounds}")
    if numbers.min() < low or numbers.max() > high:
        raise InputError(
            f"values go from {numbers.min():g} to {numbers.max():g}, outside their bounds {bounds}"
        )
