"""LLM judges: a model's verdicts on answers, kept the moment they arrive, never paid for twice.

They are asked through our own providers. Measured, MLflow 3.17.2's path stores the value "maybe",
breaks on thinking before the JSON, drops Gemini's seed and sleeps 181 s a row with the server
down. The same instructions are make_judge judges in `Judging.as_mlflow`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, TypeVar

from llm_models.errors import CallError
from steps.core.answering.journal import Journal
from steps.core.answering.limits import Budget, Pace
from steps.core.hashing import sha256_of
from steps.core.judges.as_mlflow import mlflow_judges
from steps.core.judges.config import Judge
from steps.core.judges.criteria import criteria
from steps.core.judges.model import JudgeModel, judge_provider
from steps.core.judges.panel import tally
from steps.core.judges.prompts import Criterion, Fields
from steps.core.judges.scale import YES_NO, Scale
from steps.core.prices import Plain
from steps.core.scores.scorer import Bounds, Failure, Score
from steps.core.sums import sum_known

NO_PRICES: Mapping[str, Plain] = MappingProxyType({})
NO_PACES: Mapping[str, Pace] = MappingProxyType({})
Verdicts = dict[str, Score | Failure | None]
T = TypeVar("T")
R = TypeVar("R")


def unavailable(judge: Judge) -> str | None:
    """One line: why the judge cannot be asked now, and what mends it. Calls cost nothing.

    Raises InputError where the config itself is wrong.
    """
    criteria(judge)
    try:
        judge_provider(judge, NO_PRICES).identity()
    except CallError as error:
        return f"{error} ({error.hint})" if error.hint else str(error)
    return None


def models_of(judges: Sequence[Judge]) -> str:
    """The judges' models as runs and versions tell them; "none" without a judge."""
    return ", ".join(judge.model for judge in judges) or "none"


class OneJudge:
    """One judge and the journal that keeps its verdicts. Safe to share between threads.

    Raises CallError when the model cannot be used.
    """

    def __init__(
        self,
        judge: Judge,
        name: str,
        journal: Journal,
        own_prices: Mapping[str, Plain] = NO_PRICES,
        budget: Budget | None = None,
        *,
        pace: Pace | None = None,
    ) -> None:
        self.judge, self.name = judge, name
        self._journal = journal
        self._model = JudgeModel(judge, own_prices, budget or Budget(None), pace or Pace())
        self.hash, self.config = self._model.hash, self._model.config
        self.spent = self._model.spent
        self.stop = self._model.stop

    def verdict(
        self, criterion: Criterion, inputs: Fields, outputs: str, expectations: Fields
    ) -> Score | Failure | None:
        """The verdict on one answer, None where the judge abstains."""
        if not outputs.strip() or not criterion.applies(expectations):
            return None
        system, user = criterion.asked(inputs, outputs, expectations)
        return self.ask(criterion.name, system, user, outputs, criterion.scale)

    def ask(
        self, name: str, system: str | None, user: str, quoted: str, scale: Scale = YES_NO
    ) -> Score | Failure:
        """A verdict, from the journal if it holds it; a Failure is not kept."""
        key = self.key(name, system, user)
        record = self._journal.read_verdict(key)
        if record is None:
            with self._journal.claim(f"verdict-{key[:2]}"):  # nobody else asks this just now
                record = self._journal.read_verdict(key)
                if record is None:
                    verdict, spent = self._model.ask(system, user, quoted, scale)
                    if isinstance(verdict, Failure):
                        return verdict
                    record = {"scorer": name, "judge": self.judge.model}
                    record |= asdict(verdict) | asdict(spent)
                    self._journal.write_verdict(key, record)
        return Score(record["value"], record["rationale"], details=record)

    def key(self, name: str, system: str | None, user: str) -> str:
        """The identity of one verdict (hex sha256)."""
        return sha256_of([self.hash, name, system, user])


class Judging:
    """The judges of a config: one, or a panel of which each has a vote.

    Scores of a panel are named after what is judged, and each judge's own "<scorer>/<judge>".
    `paces` are by provider, shared with whoever else asks it.
    Raises CallError when a model cannot be used, and InputError for an unknown scorer.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        journal: Journal,
        own_prices: Mapping[str, Plain] = NO_PRICES,
        budget: Budget | None = None,
        paces: Mapping[str, Pace] = NO_PACES,
    ) -> None:
        self.criteria = {c.name: c for c in criteria(judges[0])}
        self.judges = [
            OneJudge(judge, name, journal, own_prices, budget, pace=paces.get(judge.provider))
            for judge, name in zip(judges, names_of(judges), strict=True)
        ]
        wordings = {name: criterion.wording for name, criterion in self.criteria.items()}
        self.hash = sha256_of([*(judge.hash for judge in self.judges), wordings])

    @property
    def names(self) -> tuple[str, ...]:
        """Of all scores: what is judged, and in a panel what each judge says of it."""
        return tuple(name for c in self.criteria for name in (c, *self.own_names(c)))

    def own_names(self, criterion: str) -> list[str]:
        """Of the scores that the judges of a panel give, one each."""
        if len(self.judges) == 1:
            return []
        return [f"{criterion}/{judge.name}" for judge in self.judges]

    def panels(self) -> dict[str, tuple[list[str], Scale]]:
        """What is judged by several -> the names of their scores."""
        if len(self.judges) == 1:
            return {}
        return {name: (self.own_names(name), c.scale) for name, c in self.criteria.items()}

    def bounds(self) -> dict[str, Bounds]:
        """Of each score, the lowest and the highest there can be."""
        found: dict[str, Bounds] = {}
        for name, criterion in self.criteria.items():
            scores = [float(score) for _, score in criterion.scale.scores]
            found |= dict.fromkeys((name, *self.own_names(name)), (min(scores), max(scores)))
        return found

    def sources(self) -> dict[str, str]:
        """Of each score, the model (or models) whose opinion it is."""
        told = {c: " + ".join(judge.judge.model for judge in self.judges) for c in self.criteria}
        for c in self.criteria:
            own = zip(self.own_names(c), self.judges, strict=False)
            told |= {name: judge.judge.model for name, judge in own}
        return told

    def applicable(self, expectations: Fields) -> list[str]:
        """The scores that an answer to a row with these expectations can get."""
        found = [name for name, c in self.criteria.items() if c.applies(expectations)]
        return [name for c in found for name in (c, *self.own_names(c))]

    def score(self, inputs: Fields, outputs: str, expectations: Fields) -> Verdicts:
        """Each verdict on one answer, None where the judge abstains."""
        found: Verdicts = {}
        for name, criterion in self.criteria.items():
            votes = {
                judge.name: judge.verdict(criterion, inputs, outputs, expectations)
                for judge in self.judges
            }
            found[name] = tally(votes, criterion.scale)
            found |= dict(zip(self.own_names(name), votes.values(), strict=False))
        return found

    def stop(self) -> None:
        """End every wait within seconds; verdicts in flight are still kept."""
        for judge in self.judges:
            judge.stop()

    def spent(self) -> dict[str, float | None]:
        """Calls, tokens and USD that this object's judging took, failed calls included."""
        used = [asdict(judge.spent) for judge in self.judges]
        told = {f"judge_{key}": sum_known(one[key] for one in used) for key in used[0]}
        if len(used) > 1:
            for judge, one in zip(self.judges, used, strict=True):
                told |= {f"judge_{key}/{judge.name}": value for key, value in one.items()}
        return told

    def as_mlflow(self) -> list[Any]:
        """The judges for mlflow.genai.evaluate; see as_mlflow."""
        return mlflow_judges([judge.judge for judge in self.judges], self.criteria.values())


def side_by_side(
    judges: Sequence[OneJudge], ask: Callable[[T], R], asked: Iterable[T], threads: int
) -> list[R]:
    """What `ask` makes of each, in order; an interrupt ends the judges' waits."""
    with ThreadPoolExecutor(threads, thread_name_prefix="judging") as pool:
        try:
            return list(pool.map(ask, asked))
        except BaseException:
            for judge in judges:
                judge.stop()
            raise


def names_of(judges: Sequence[Judge]) -> list[str]:
    """A short name for each, as MLflow takes it in a metric's name."""
    names, seen = [], Counter[str]()
    for judge in judges:
        name = re.sub(r"[^\w.:-]", "-", judge.model.partition(":/")[2])
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names
