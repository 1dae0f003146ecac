"""LLM judges: a model's verdicts on answers, kept the moment they arrive, never paid for twice.

They are asked through our own providers. Measured, MLflow 3.17.2's path stores the value "maybe",
breaks on thinking before the JSON, drops Gemini's seed and sleeps 181 s a row with the server
down. The same instructions are make_judge judges in `Judging.as_mlflow`.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from llm_models.errors import CallError
from steps.core.config import Judge
from steps.core.hashing import sha256_of
from steps.core.journal import Journal
from steps.core.judge_mlflow import mlflow_judges
from steps.core.judge_model import JudgeModel, judge_provider
from steps.core.judge_prompts import Fields, criteria
from steps.core.prices import Plain
from steps.core.scorers import Failure, Score

NO_PRICES: Mapping[str, Plain] = MappingProxyType({})


def unavailable(judge: Judge) -> str | None:
    """One line: why the judge cannot be asked now, and what mends it. Calls cost nothing.

    Raises InputError where the config itself is wrong.
    """
    criteria(judge.scorers, judge.guidelines)
    try:
        judge_provider(judge, NO_PRICES).identity()
    except CallError as error:
        return f"{error} ({error.hint})" if error.hint else str(error)
    return None


class Judging:
    """The judges of a config. Safe to share between threads.

    Raises CallError when the model cannot be used, and InputError for an unknown scorer.
    """

    def __init__(
        self, judge: Judge, journal: Journal, own_prices: Mapping[str, Plain] = NO_PRICES
    ) -> None:
        self.judge = judge
        self._journal = journal
        self._criteria = {c.name: c for c in criteria(judge.scorers, judge.guidelines)}
        self._model = JudgeModel(judge, own_prices)
        self._lock = threading.Lock()
        self._asking: dict[str, threading.Lock] = {}
        self.names = tuple(self._criteria)
        wordings = {name: criterion.wording for name, criterion in self._criteria.items()}
        self.hash = sha256_of([self._model.hash, wordings])

    def applies(self, name: str, expectations: Fields) -> bool:
        """Whether a row with these expectations can be judged by this name."""
        return self._criteria[name].applies(expectations)

    def kind(self, name: str) -> str:
        """correctness, safety, guidelines or relevance, whoever wrote the prompt."""
        return self._criteria[name].kind

    def score(
        self, inputs: Fields, outputs: str, expectations: Fields
    ) -> dict[str, Score | Failure | None]:
        """Each judge's verdict on one answer, None where it abstains."""
        return {name: self.verdict(name, inputs, outputs, expectations) for name in self.names}

    def verdict(
        self, name: str, inputs: Fields, outputs: str, expectations: Fields
    ) -> Score | Failure | None:
        """One judge's verdict, from the journal if it holds it; a Failure is not kept."""
        criterion = self._criteria[name]
        if not outputs.strip() or not criterion.applies(expectations):
            return None
        system, user = criterion.asked(inputs, outputs, expectations)
        key = sha256_of([self._model.hash, name, system, user])
        with self._alone(key):
            record = self._journal.read_verdict(key)
            if record is None:
                verdict, spent = self._model.ask(system, user, outputs)
                if isinstance(verdict, Failure):
                    return verdict
                record = {"scorer": name, "judge": self.judge.model}
                record |= asdict(verdict) | asdict(spent)
                self._journal.write_verdict(key, record)
        return Score(record["value"], record["rationale"])

    def spent(self) -> dict[str, float | None]:
        """Calls, tokens and USD that this object's judging took, failed calls included."""
        return {f"judge_{name}": value for name, value in asdict(self._model.spent).items()}

    def as_mlflow(self) -> list[Any]:
        """The judges for mlflow.genai.evaluate; see judge_mlflow."""
        return mlflow_judges(self.judge, self._criteria.values())

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Rows with the same question and answer are judged by one call, not by several at once."""
        with self._lock:
            lock = self._asking.setdefault(key, threading.Lock())
        with lock:
            yield
