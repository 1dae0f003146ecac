"""What a run's rows add up to, as MLflow metrics. Unknown stays absent, never 0."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, get_args

import numpy as np

from llm_models.errors import KINDS, shorten
from llm_models.schema import ANSWERED, Completion, Status
from steps.core.answering.runner import Answer
from steps.core.dataset import Row
from steps.core.hashing import canonical
from steps.core.judges.panel import Verdicts
from steps.core.scores.repeated import repeated
from steps.core.scores.scorer import Failure, Score
from steps.core.scores.scorer_total import Place, ScorerTotal
from steps.core.statistics.rows import Bounds

MAX_ERROR = 200  # characters of a scorer's failure that are told
TOKENS = ("input_tokens", "output_tokens", "thinking_tokens", "total_tokens")


@dataclass
class Total:
    """A sum that knows how many of its terms were unknown."""

    known: float = 0.0
    terms: int = 0
    unknown: int = 0

    def add(self, value: float | None) -> None:
        if value is None:
            self.unknown += 1
        else:
            self.known += value
            self.terms += 1

    def value(self) -> float | None:
        """The sum; None when any term is unknown or there is none."""
        return None if self.unknown or not self.terms else self.known


@dataclass
class Summary:
    """Accumulates row by row; memory grows by a few numbers a row."""

    bounds: Mapping[str, Bounds | None] = field(default_factory=dict)  # of scorers' scores
    repeats: int = 1
    verdicts: Verdicts = field(default_factory=Verdicts)
    statuses: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    hints: Counter[str] = field(default_factory=Counter)  # what would mend so many rows
    broken: dict[str, str] = field(default_factory=dict)  # scorer -> its first failure
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    totals: defaultdict[str, Total] = field(default_factory=lambda: defaultdict(Total))
    scorers: dict[str, ScorerTotal] = field(default_factory=dict)
    tags: dict[str, Mapping[str, str]] = field(default_factory=dict)  # by id of the row
    reused: int = 0
    retries: int = 0
    retry_s: float = 0.0  # never inside a call's latency
    waited_s: float = 0.0
    spent: Total = field(default_factory=Total)
    answers: Any = field(default_factory=sha256)  # of every outcome, in the order of the rows

    @property
    def rows(self) -> int:
        return self.statuses.total()

    @property
    def answered(self) -> int:
        return sum(self.statuses[status] for status in ANSWERED)

    @property
    def failed(self) -> int:
        """Rows the server or the line failed; a blocked or empty answer is an outcome."""
        return self.statuses["error"] + self.statuses["incomplete"]

    def add(
        self,
        answer: Answer,
        scores: Mapping[str, Score | Failure | None],
        missed: Iterable[str] = (),
        language: str | None = None,
    ) -> None:
        """`missed` names the scorers that a failed row would have had."""
        completion = answer.completion
        self.statuses[completion.status] += 1
        self.reused += answer.reused
        outcome = [*answer.place, completion.status, completion.text]
        self.answers.update(canonical(outcome).encode("utf-8", "surrogatepass"))
        self.retries += completion.attempts - 1
        self.retry_s += completion.retry_s
        self.waited_s += answer.waited_s
        if completion.hint:
            self.hints[completion.hint] += 1
        self.totals["cost"].add(completion.cost_usd)
        self.spent.add(0.0 if answer.reused else completion.cost_usd)
        if completion.answered or KINDS[completion.error_kind or "empty"].billable:
            for name in TOKENS:
                self.totals[name].add(getattr(completion.usage, name))
        if completion.answered:
            self._add_answer(completion, language)
        self.miss(answer.row, answer.repeat, missed)
        for name, score in scores.items():
            self._add_score(self._total(name), score, answer.place)
            if isinstance(score, Failure):
                self.broken.setdefault(name, shorten(score.error, MAX_ERROR))
        self.verdicts.add(scores)

    def complaints(self) -> dict[str, int]:
        """Why scorers gave no score, in the words of the first time, and on how many rows.

        A panel's failure tells those of its judges.
        """
        return {
            f"{name} gave no score: {error}": len(self.scorers[name].failed)
            for name, error in self.broken.items()
            if "/" not in name
        }

    def miss(self, row: Row, repeat: int, scorers: Iterable[str]) -> None:
        """These scorers would have scored a row of which there is no answer."""
        self.tags[row.id] = row.tags
        for name in scorers:
            self._total(name).unanswered.append((row.id, repeat))

    def _total(self, name: str) -> ScorerTotal:
        if name not in self.scorers:
            self.scorers[name] = ScorerTotal(self.bounds.get(name))
        return self.scorers[name]

    def _add_answer(self, completion: Completion, language: str | None) -> None:
        if completion.latency_s is not None:
            self.latencies.append(completion.latency_s)
        usage = completion.usage
        if usage.output_tokens is not None and completion.timing.generation_s:
            self.totals["timed_tokens"].add(usage.output_tokens)
            self.totals["generation_s"].add(completion.timing.generation_s)
        elif usage.output_tokens is not None and completion.latency_s:
            self.totals["timed_tokens"].add(usage.output_tokens)
            self.totals["generation_s"].add(completion.latency_s)
        self.languages[language or "unknown"] += 1

    @staticmethod
    def _add_score(total: ScorerTotal, score: Score | Failure | None, place: Place) -> None:
        if score is None:
            total.abstained += 1
        elif isinstance(score, Failure):
            total.failed.append(place)
        else:
            total.add(place, float(score.value))

    def metrics(self) -> dict[str, float | None]:
        """Names as the user gave them (avg_inference_time, …); seconds, tokens, USD."""
        speed = self.totals["generation_s"].value()
        tokens = self.totals["timed_tokens"].value()
        told: dict[str, float | None] = {
            "rows": self.rows,
            "repeats": self.repeats,
            "rows_reused": self.reused,
            "rows_with_hint": self.hints.total(),
            "retries": self.retries,
            "retry_time": self.retry_s,
            "wait_time": self.waited_s,
            "error_rate": (self.rows - self.answered) / self.rows if self.rows else None,
            "total_cost_estimate": self.totals["cost"].value(),
            "cost_of_this_run": self.spent.value(),
            "rows_of_unknown_cost": self.totals["cost"].unknown,
            "tokens_per_second": tokens / speed if tokens and speed else None,
        }
        for name in TOKENS:
            told[name] = self.totals[name].value()
        told |= self._latency()
        told |= {f"status/{name}": self.statuses[name] for name in get_args(Status)}
        told |= {f"language/{name}": n for name, n in self.languages.items()}
        for name, total in self.scorers.items():
            told |= total.metrics(name)
            if again := repeated(total, self.repeats):
                told |= again.metrics(name)
        return told | self.verdicts.metrics()

    def _latency(self) -> dict[str, float | None]:
        if not self.latencies:
            return {"avg_inference_time": None}
        seconds = np.frombuffer(self.latencies)
        p50, p95 = np.percentile(seconds, [50, 95])
        return {
            "avg_inference_time": float(seconds.mean()),
            "latency_p50": float(p50),
            "latency_p95": float(p95),
        }
