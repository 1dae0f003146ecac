"""What one scorer said of a set of answers, and what it adds up to."""

from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from steps.core.statistics.intervals import Interval, mean_interval
from steps.core.statistics.rows import Bounds, Floats, is_yes_no

Place = tuple[str, int]  # id of the row, and which of its repeats


@dataclass
class ScorerTotal:
    """One scorer over the rows it applies to (rows it abstains from are not its rows)."""

    bounds: Bounds | None = None  # the lowest and the highest score there can be, where known
    values: "array[float]" = field(default_factory=lambda: array("d"))
    scored: list[Place] = field(default_factory=list)  # whose value each is
    failed: list[Place] = field(default_factory=list)  # the scorer broke
    unanswered: list[Place] = field(default_factory=list)  # there was no answer to score
    abstained: int = 0

    def add(self, place: Place, value: float) -> None:
        self.values.append(value)
        self.scored.append(place)

    @property
    def attempted(self) -> int:
        return len(self.values) + len(self.failed) + len(self.unanswered)

    @property
    def coverage(self) -> float | None:
        return len(self.values) / self.attempted if self.attempted else None

    def numbers(self) -> Floats:
        return np.array(self.values, dtype=np.float64)

    def interval(self) -> Interval | None:
        """The mean with its 95 % interval, over rows: see statistics/intervals.py."""
        rows = [row for row, _ in self.scored]
        return mean_interval(self.numbers(), rows, bounds=self.bounds)

    def metrics(self, name: str) -> dict[str, float | None]:
        found = self.interval()
        told: dict[str, float | None] = {
            "mean": found.mean if found else None,
            "ci_low": found.low if found else None,
            "ci_high": found.high if found else None,
            "worst_case": self._with_missing_as(0),
            "best_case": self._with_missing_as(1),
            "coverage": self.coverage,
            "n_attempted": self.attempted,
            "n_scored": len(self.values),
            "n_false": self._false(),
            "n_failed": len(self.failed),
            "n_unanswered": len(self.unanswered),
            "n_abstained": self.abstained,
        }
        return {f"{name}/{part}": value for part, value in told.items()}

    def _false(self) -> int | None:
        """How often a yes/no scorer said no; None for one that grades."""
        values = self.numbers()
        return int((values == 0).sum()) if values.size and is_yes_no(values, self.bounds) else None

    def _with_missing_as(self, end: int) -> float | None:
        """The mean, had each attempted row without a score that end of the bounds.

        What no assumption about the missing ones can leave: Manski (1989, J Hum Resour 24:343).
        """
        if self.bounds is None or not self.attempted:
            return None
        missing = self.attempted - len(self.values)
        return (float(self.numbers().sum()) + missing * self.bounds[end]) / self.attempted

    def by_tag(self, tag: str, tags: Mapping[str, Mapping[str, str]]) -> dict[str, "ScorerTotal"]:
        """The same by the value that a row's tag has; `tags` are by id of the row."""
        parts: defaultdict[str, ScorerTotal] = defaultdict(lambda: ScorerTotal(self.bounds))
        value_of = {row: own[tag] for row, own in tags.items() if tag in own}
        for place, value in zip(self.scored, self.values, strict=True):
            if place[0] in value_of:
                parts[value_of[place[0]]].add(place, value)
        for kind in ("failed", "unanswered"):
            for place in getattr(self, kind):
                if place[0] in value_of:
                    getattr(parts[value_of[place[0]]], kind).append(place)
        return dict(parts)

    def table(self, repeats: int) -> Floats:
        """Scores (attempted rows, repeats), NaN where there is none."""
        places = [*self.scored, *self.failed, *self.unanswered]
        rows = {row: i for i, row in enumerate(dict.fromkeys(row for row, _ in places))}
        table = np.full((len(rows), repeats), np.nan)
        for (row, repeat), value in zip(self.scored, self.values, strict=True):
            table[rows[row], repeat] = value
        return table
