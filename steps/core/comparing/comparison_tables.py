"""Smaller tables of a comparison, for a terminal, Markdown and the page alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_models.errors import shorten
from steps.core.comparing.comparison import Comparison
from steps.core.comparing.leaderboard import UNKNOWN
from steps.core.scores import coverage
from steps.core.scores.repeated import RepeatedBy
from steps.core.scores.slices import Slice
from steps.core.statistics.intervals import Interval
from steps.core.tabular import markdown_table, plain_table, safe

MAX_ROWS = 60  # of a table outside of the page
MAX_TAG = 60  # characters of a tag and its value there


@dataclass(frozen=True)
class Table:
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def text(self) -> str:
        return "\n".join(["", self.title, plain_table(self.headers, self.rows[:MAX_ROWS])])

    def markdown(self) -> str:
        table = markdown_table(self.headers, self.rows[:MAX_ROWS])
        return "\n".join([f"### {safe(self.title)}", "", table, "", safe(self.note), ""])


def tables(comparison: Comparison) -> list[Table]:
    """For the page, which shows slices in its own way."""
    found = (_repeats(comparison), _human_agreement(comparison), _pairwise(comparison))
    return [one for one in found if one.rows]


def brief_tables(comparison: Comparison) -> list[Table]:
    """Slices and repeats of the first scorer alone, where there is not the room of the page."""
    first = [one for one in comparison.repeats if one.scorer == comparison.scorers[0]]
    return [*_headline_slices(comparison), *tables(replace(comparison, repeats=first))]


def _headline_slices(comparison: Comparison) -> list[Table]:
    names = [line.candidate for line in comparison.models]
    scorer = next(iter(comparison.scorers), None)
    found: dict[str, dict[str, str]] = {}
    for one in comparison.slices:
        if one.scorer == scorer:
            cell = slice_told(one, comparison.min_coverage)
            found.setdefault(f"{one.tag}: {one.value}", {})[one.candidate] = cell
    rows = [
        [shorten(key, MAX_TAG), *(cells.get(name, UNKNOWN) for name in names)]
        for key, cells in found.items()
    ]
    return [Table(f"{scorer} by tag", ("tag", *names), rows)] if rows else []


def slice_told(one: Slice, floor: float) -> str:
    """Its mean with interval and n, or why there is none."""
    if one.mean is None:
        return f"{coverage.told(one.coverage, floor)}, n = {one.n}"
    return f"{_with_interval(one.mean, one.low, one.high)}, n = {one.n}"


def _repeats(comparison: Comparison) -> Table:
    headers = ("scorer", "model", "k", "pass@k", "pass^k", "run-to-run spread", "rows that change")
    note = (
        "pass@k: at least one of k answers is right; pass^k: all are. Run-to-run spread is the "
        "standard deviation of the mean from one repeat to the next."
    )
    rows = [_repeat_cells(one) for one in comparison.repeats]
    return Table("Asked again", headers, rows, note)


def _pairwise(comparison: Comparison) -> Table:
    found = comparison.pairwise
    headers = ("judge", "rows", "first won in both orders", "second did", "no verdict")
    note = (
        "Each pair of answers was shown in both orders. Where the same place won in both, the "
        "place decided and not the answer: such a row is a tie, as is one of a judge in doubt."
    )
    if found is None:
        return Table("Pairwise: position bias", headers, [], note)
    told = "".join(f" {n} rows have no verdict: {why}." for why, n in found.failures.items())
    rows = [
        [
            one.judge,
            str(one.rows),
            _share(one.first, one.rows),
            _share(one.second, one.rows),
            str(one.failed),
        ]
        for one in found.biases
    ]
    return Table("Pairwise: position bias", headers, rows, note + told)


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.0%})" if whole else str(part)


def _repeat_cells(one: RepeatedBy) -> list[str]:
    found = one.found
    if found is None:
        return [one.scorer, one.candidate, UNKNOWN, one.lacking or UNKNOWN, *[UNKNOWN] * 3]
    spread = UNKNOWN if found.spread is None else f"{found.spread:.3f}"
    passes = [_interval(found.pass_at_k), _interval(found.pass_hat_k)]
    changing = f"{found.changing} of {found.rows}"
    return [one.scorer, one.candidate, str(found.k), *passes, spread, changing]


def _human_agreement(comparison: Comparison) -> Table:
    headers = ("scorer", "answers", "judged alike", "Cohen's kappa", "Krippendorff's alpha")
    note = "Over the answers of all models that people judged. 1: always alike; 0: as by chance."
    rows = [
        [one.scorer, str(one.n), _interval(one.share), _number(one.kappa), _number(one.alpha)]
        for one in comparison.human_agreement
    ]
    return Table("Agreement with people", headers, rows, note)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _interval(found: Interval | None) -> str:
    return UNKNOWN if found is None else _with_interval(found.mean, found.low, found.high)


def _with_interval(mean: float, low: float | None, high: float | None) -> str:
    return f"{mean:.2f}" + (
        f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""
    )
