"""How many rows it takes to know."""

import math

from llm_models.errors import InputError
from steps.core.statistics.intervals import normal_quantile
from steps.core.statistics.rows import ROUNDING

POWER = 0.8


def fewest_rows(level: float = 0.95) -> int:
    """Below this many rows (6 for 0.95) not even a sign test won on every row is significant."""
    return math.ceil(1 - math.log2(1 - level))


def rows_for_mcnemar(changed: float, difference: float, level: float = 0.95) -> int | None:
    """Rows for 80 % power, where a share `changed` of rows differs; None for no difference.

    Connor (1987, Biometrics 43:207), with the continuity correction that exactness costs.
    """
    d = abs(difference)
    if d <= ROUNDING:
        return None
    noise = normal_quantile(level) * math.sqrt(changed)
    noise += _power_quantile(POWER) * math.sqrt(max(changed - d * d, 0.0))
    root = (noise + math.sqrt(noise * noise + 4 * d)) / (2 * d)
    return max(math.ceil(root * root), fewest_rows(level))


def rows_for_t(effect: float, level: float = 0.95, power: float = POWER) -> int | None:
    """Rows for `power`, given the mean difference over its SD; None for no difference.

    Normal approximation with the correction of Guenther (1981, Am Stat 35:243).
    """
    if abs(effect) <= ROUNDING:
        return None
    z = normal_quantile(level)
    rows = ((z + _power_quantile(power)) / effect) ** 2 + z * z / 2
    return max(math.ceil(rows), fewest_rows(level))


def minimum_rows(margin: float, sd: float, *, level: float = 0.95, power: float = POWER) -> int:
    """Rows that show, with `power`, that a model just as good loses less than `margin`.

    `sd` is that of the rows' differences: `Paired.sd` of a trial, or for yes/no the root of the
    share of rows that change. Julious (2004, Stat Med 23:1921). Raises InputError.
    """
    if not (margin > 0 and sd > 0):
        raise InputError(f"margin and sd must be above 0, not {margin} and {sd}")
    return rows_for_t(margin / sd, level, power) or fewest_rows(level)


def rows_to_clear(distance: float, half: float, n: int, level: float = 0.95) -> int | None:
    """Rows for 80 % power to show on which side of a bound a mean lies; None where it is on it.

    The mean of `n` rows lies `distance` away, and its interval reaches `half` as far to that side.
    """
    if half <= ROUNDING or not n:
        return None
    return rows_for_t(distance * normal_quantile(level) / (half * math.sqrt(n)), level)


def _power_quantile(power: float) -> float:
    if not 0.5 < power < 1:
        raise InputError(f"power must lie between 0.5 and 1, such as 0.8, not {power}")
    return normal_quantile(2 * power - 1)
