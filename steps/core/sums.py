"""Sums of what may be unknown."""

from collections.abc import Iterable
from typing import TypeVar

N = TypeVar("N", int, float)


def sum_known(values: Iterable[N | None]) -> N | None:
    """The sum; None where any part is unknown."""
    total: N = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
