"""What a run may claim: its metrics above the coverage floor, and its results by tag."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from steps.core.human_agreement import human_agreement
from steps.core.scores import coverage, slices
from steps.core.summary import Summary


@dataclass(frozen=True)
class Results:
    metrics: Mapping[str, float | None]
    tags: Mapping[str, str | None]  # name the scorers whose means are no results
    table: str | None  # slices.json; None where no tag divides the rows

    def write(self, folder: Path) -> list[str]:
        """The names of the tables this makes."""
        if self.table is None:
            return []
        (folder / slices.SLICES).write_text(self.table, "utf-8")
        return [slices.SLICES]


def results(candidate: str, summary: Summary, floor: float, headline: str | None) -> Results:
    """`floor` is the least coverage; the slices of the scorer `headline` are metrics too."""
    everything = summary.metrics()
    parts = slices.slices(candidate, summary.scorers, summary.tags, floor)
    lacking = coverage.lacking(everything, floor)
    named = [f"{name}: {coverage.told(share, floor)}" for name, share in lacking.items()]
    tags = {"min_coverage": f"{floor:g}", "low_coverage": "; ".join(named) or None}
    for agreed in human_agreement([summary.scorers]):
        everything |= agreed.metrics()
    by_tag = slices.metrics(parts, headline) if headline else {}
    shown = coverage.shown(everything, floor) | by_tag
    return Results(shown, tags, slices.table(parts) if parts else None)
