"""One line a model: what people look at first, on a terminal, in Markdown and in HTML."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader

from llm_models.schema import ANSWERED
from steps.core.config import MEAN
from steps.core.evaluation import Result
from steps.core.harmless import harmless
from steps.core.registry import Evidence
from steps.core.scores import coverage
from steps.core.scores.repeated import ONCE
from steps.core.scores.scorers import SCORERS
from steps.core.tabular import markdown_table, plain_table, safe

UNKNOWN = "–"
COST_PER_1000 = "cost_per_1000_answers"  # USD; not logged, but derived where a board is made
HEADLINES = (  # (metric, heading, format), in the order of the columns; absent ones are left out
    ("human/mean", "people", "{:.2f}"),
    ("correctness/mean", "correctness", "{:.2f}"),
    ("safety/mean", "safety", "{:.2f}"),
    ("guidelines/mean", "guidelines", "{:.2f}"),
    ("contains_facts/mean", "contains facts", "{:.2f}"),
    ("token_f1/mean", "token F1", "{:.2f}"),
    ("rouge_l/mean", "ROUGE-L", "{:.2f}"),
    ("language_match/mean", "language", "{:.2f}"),
    ("refusal_as_expected/mean", "refusal", "{:.2f}"),
    ("error_rate", "errors", "{:.1%}"),
    ("avg_inference_time", "avg time (s)", "{:.4f}"),
    ("latency_p95", "p95 (s)", "{:.4f}"),
    ("tokens_per_second", "tokens/s", "{:.1f}"),
    ("total_tokens", "tokens", "{:.0f}"),
    ("total_cost_estimate", "cost (USD)", "{:.4f}"),
    (COST_PER_1000, "USD per 1,000 answers", "{:.4f}"),
)


AFTER = [metric for metric, *_ in HEADLINES].index("guidelines/mean") + 1  # the user's judges
ALPHA = "/judge_alpha"
LEAST_ALPHA = 0.667  # Krippendorff, Content Analysis (2004), p. 241: below, draw no conclusions


def headlines(metrics: Iterable[str]) -> list[tuple[str, str, str]]:
    """HEADLINES, and among them the judges that they do not know, and how far panels agree."""
    names = sorted(set(metrics))
    known = {metric.removesuffix(MEAN) for metric, *_ in HEADLINES} | SCORERS.keys()
    means = [name.removesuffix(MEAN) for name in names if name.endswith(MEAN)]
    others = [(f"{n}{MEAN}", n, "{:.2f}") for n in means if n not in known and "/" not in n]
    agreed = [name for name in names if name.endswith(ALPHA)]
    alphas = [(name, f"{name.removesuffix(ALPHA)}: judges' alpha", "{:.2f}") for name in agreed]
    return [*HEADLINES[:AFTER], *others, *alphas, *HEADLINES[AFTER:]]


@dataclass(frozen=True)
class Line:
    """One model's place on the board."""

    candidate: str
    model_name: str
    run_id: str
    metrics: Mapping[str, float | None]
    failure: str | None = None
    hints: Mapping[str, int] = field(default_factory=dict)
    min_coverage: float = 0.0

    @property
    def lacking(self) -> dict[str, float]:
        """The scorers whose mean is no result, with their coverage."""
        return coverage.lacking(self.metrics, self.min_coverage)

    @property
    def unscored(self) -> list[str]:
        """The means that would be metrics, had more been scored."""
        return [f"{scorer}{MEAN}" for scorer in self.lacking]

    def has(self, metric: str) -> bool:
        """Whether there is something to tell of it."""
        known = self.metrics.get(metric) is not None
        return known or metric.removesuffix(MEAN) in self.lacking

    def notes(self) -> list[str]:
        """What is wrong with this model's run, and what would mend it."""
        failed = [f"{self.candidate} did not finish: {self.failure}"] if self.failure else []
        hints = [f"{self.candidate}, {n} rows: {hint}" for hint, n in self.hints.items()]
        return [*failed, *hints, *self._disagreements()]

    def _disagreements(self) -> Iterator[str]:
        for metric, alpha in self.metrics.items():
            if metric.endswith(ALPHA) and alpha is not None and alpha < LEAST_ALPHA:
                yield (
                    f"{self.candidate}: the judges of {metric.removesuffix(ALPHA)} hardly agree "
                    f"(alpha {alpha:.2f}, and below {LEAST_ALPHA} it carries no conclusion)"
                )

    def cells(self, columns: Sequence[tuple[str, str, str]]) -> list[str]:
        told = [self._cell(metric, shape) for metric, _, shape in columns]
        return [self.candidate, self.model_name, f"{self.metrics.get('rows') or 0:.0f}", *told]

    def _cell(self, metric: str, shape: str) -> str:
        """The value, with its 95 % interval, and how much was scored where that is not all."""
        scorer, value = metric.removesuffix(MEAN), self.metrics.get(metric)
        if scorer in self.lacking:
            return coverage.told(self.lacking[scorer], self.min_coverage)
        if value is None:
            return UNKNOWN
        low, high = (self.metrics.get(f"{scorer}/{end}") for end in ("ci_low", "ci_high"))
        interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
        share = self.metrics.get(f"{scorer}/coverage")
        scored = "" if share is None or share >= 1 else f", {share:.0%} scored"
        return shape.format(value) + interval + scored


@dataclass(frozen=True)
class Board:
    """Models on one dataset, best first."""

    title: str
    lines: Sequence[Line]
    rank_by: str | None = None
    absent: Sequence[str] = ()  # candidates without a finished evaluation
    changed: Sequence[str] = ()  # candidates that are not what was evaluated any more

    def columns(self) -> list[tuple[str, str, str]]:
        """The headlines that at least one model has, and what they are ranked by."""
        known = (name for line in self.lines for name in (*line.metrics, *line.unscored))
        found = headlines(known)
        if self.rank_by and self.rank_by not in [metric for metric, *_ in found]:
            found.insert(0, (self.rank_by, self.rank_by, "{:.4g}"))
        return [c for c in found if any(line.has(c[0]) for line in self.lines)]

    def headers(self) -> list[str]:
        return ["candidate", "model", "rows", *(heading for _, heading, _ in self.columns())]

    def rows(self) -> list[list[str]]:
        columns = self.columns()
        return [line.cells(columns) for line in self.lines]

    def notes(self) -> list[str]:
        told = [note for line in self.lines for note in line.notes()]
        scored = any(metric.endswith(MEAN) for metric, *_ in self.columns())
        once = any(line.metrics.get("repeats") == 1 for line in self.lines)
        thin = any(line.lacking for line in self.lines)
        missing = [*self._unranked(), *self._unshown()]
        return [*told, *missing, *[coverage.NOTE] * thin, *[ONCE] * (scored and once)]

    def _unranked(self) -> Iterator[str]:
        if self.rank_by and not any(line.has(self.rank_by) for line in self.lines):
            yield f"No model has the metric {self.rank_by}, so their order means nothing."

    def _unshown(self) -> Iterator[str]:
        if self.absent:
            yield f"Not here, for want of a finished evaluation: {', '.join(self.absent)}."
        if self.changed:
            who = ", ".join(self.changed)
            yield f"Evaluated before its prompt, options, model or code changed: {who}."

    def text(self) -> str:
        """For a terminal: a column for each candidate, the best first."""
        headings, *columns = self.headers(), *self.rows()
        first, *rest = zip(headings, *columns, strict=True)
        return harmless("\n".join([self.title, plain_table(first, rest), *self.notes()]))

    def markdown(self, links: Mapping[str, str]) -> str:
        table = markdown_table(self.headers(), self.rows())
        told = [f"- [{name}]({url})" for name, url in links.items()]
        notes = [f"- {safe(note)}" for note in self.notes()]
        return "\n".join([f"## {safe(self.title)}", "", table, "", *notes, *told, ""])

    def html(self, links: Mapping[str, str]) -> str:
        pages = Environment(loader=PackageLoader("steps.core.comparing"), autoescape=True)
        return pages.get_template("leaderboard.html").render(board=self, links=links)


def board_of_results(
    title: str, results: Sequence[Result], rank_by: str, *, lowest: bool = False
) -> Board:
    """The board of what a step has just measured."""
    lines = [
        Line(
            r.ready.candidate.name,
            r.ready.config.model,
            r.run_id,
            _with_unit_cost(r.metrics),
            r.failure,
            r.hints,
            r.min_coverage,
        )
        for r in results
    ]
    return Board(title, _ranked(lines, rank_by, lowest), rank_by)


def board_of_evidence(title: str, evidence: Sequence[Evidence], rank_by: str) -> Board:
    """The board of what the store holds."""
    lines = [
        Line(
            e.candidate,
            e.run.data.params["model_name"],
            e.run.info.run_id,
            _with_unit_cost(e.metrics),
            hints=json.loads(e.tags.get("hints", "{}")),
            min_coverage=e.floor,
        )
        for e in evidence
    ]
    return Board(title, _ranked(lines, rank_by), rank_by)


def _with_unit_cost(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Also what 1,000 answers cost; rows that failed are paid for, and are no answers."""
    cost = metrics.get("total_cost_estimate")
    answered = sum(metrics.get(f"status/{status}") or 0 for status in ANSWERED)
    each = cost / answered * 1000 if cost is not None and answered else None
    return dict(metrics) | {COST_PER_1000: each}


def _ranked(lines: list[Line], rank_by: str, lowest: bool = False) -> list[Line]:
    """Best first; a model without the metric comes last."""

    def place(line: Line) -> float:
        value = line.metrics.get(rank_by)
        if value is None:
            return float("inf")
        return value if lowest else -value

    return sorted(lines, key=place)
