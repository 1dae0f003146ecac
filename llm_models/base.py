"""Everything around one provider call, once: retry, timing, usage, cost. No MLflow in here.

An adapter (gemini.py, ollama.py, …) is one subclass of Provider that translates a request, the
pieces of an answer and the errors, and nothing else.
"""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError

from llm_models.answer import Answer
from llm_models.caller import CALLER
from llm_models.errors import KINDS, CallError, InputError
from llm_models.schema import Chunk, Completion, ModelConfig, Request

Observe = Callable[[CallError | None, float, float | None], None]
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
MAX_ATTEMPTS = 6
CALLER_PATIENCE_S = 2.0  # for retries: an HTTP client is told soon, and knows best when to retry


class NoOptions(BaseModel, extra="forbid"):
    """The options of a provider that has none."""


class Provider(ABC):
    """One candidate, ready to be asked. Safe to share between threads."""

    supplier: ClassVar[str]
    Options: ClassVar[type[BaseModel]] = NoOptions  # the provider's own options, strict
    samples: ClassVar[bool] = True  # False: the same question has one answer, whatever the seed
    local: ClassVar[bool] = False  # runs on machines of one's own: free unless priced
    requirements: ClassVar[tuple[str, ...]] = ()  # packages, by their names in requirements.txt
    window_option: ClassVar[str | None] = None  # the option that sets the context window
    files: ClassVar[tuple[str, ...]] = ()  # options that hold the path of a file to pack

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.options: Any = self.check_options(config.options)
        self.stopped = threading.Event()  # set: no further call or retry is started

    @classmethod
    def check_options(cls, options: dict[str, Any]) -> BaseModel:
        """Validate the provider's own options. Raises InputError naming the option."""
        try:
            return cls.Options.model_validate(options)
        except ValidationError as error:
            first = error.errors()[0]
            name = first["loc"][0] if first["loc"] else "options"
            known = ", ".join(sorted(cls.Options.model_fields)) or "none"
            raise InputError(
                f"{cls.supplier} option '{name}': {first['msg']} (known options: {known})"
            ) from None

    @classmethod
    def runs_locally(cls, config: ModelConfig) -> bool:
        """Whether nobody bills this candidate's calls."""
        return cls.local

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What exactly would answer now (version, digest, …), by calls that cost nothing.

        Raises CallError with the remedy when the provider cannot be used.
        """

    def details(self) -> dict[str, Any]:
        """What changes no answer, where it is told: context_length, output_limit (tokens), …

        Without an output_limit, prompt and answer share the context_length. Raises CallError.
        """
        return {}

    @abstractmethod
    def chunks(self, request: Request, *, stream: bool) -> Iterator[Chunk]:
        """One call: the answer in one piece, or in many when streamed. Raises CallError."""

    def parallel(self, most: int) -> int:
        """How many calls to start with at once; the limit then adapts, up to `most`."""
        return most

    def warm_up(self) -> float | None:
        """Load the model where it must be loaded first; the seconds that took, if told.

        No answer is generated. Raises CallError.
        """
        return None

    def mlflow_judge_url(self) -> str | None:
        """The full address that MLflow's own judges want; None leaves it to MLflow."""
        return self.config.base_url

    def clean(self, text: str) -> str:
        """The answer proper within everything the model wrote."""
        return text

    def complete(self, request: Request, observe: Observe | None = None) -> Completion:
        """Ask until there is an answer, a permanent failure or no time left; never raises.

        `observe` is told of every single attempt: its failure, if any, when it began (monotonic
        seconds) and what it cost (USD; None is unknown).
        """
        caller = CALLER.get()
        if caller and caller.left.is_set():
            return Completion(
                "error", error=KINDS["left"].told, error_kind="left", cost_usd=0.0, attempts=0
            )
        started = time.perf_counter()
        spent: float | None = 0.0
        for attempt in range(1, MAX_ATTEMPTS + 1):
            began = time.monotonic()
            outcome, failure = self._attempt(request)
            elapsed = time.perf_counter() - started
            if observe:
                observe(failure, began, outcome.cost_usd)
            spent = _add(spent, outcome.cost_usd)
            wait = self._wait(failure, attempt, elapsed)
            if wait is None or self._pauses_in_vain(wait):
                break
        retry_s = elapsed - (outcome.latency_s or 0.0) if attempt > 1 else 0.0
        return _noted(replace(outcome, attempts=attempt, retry_s=retry_s, cost_usd=spent))

    def stream(self, request: Request) -> Generator[str | Completion, None, None]:
        """Yield pieces of text as they arrive, then the Completion. No retry, never raises."""
        answer = Answer(self)
        try:
            for chunk in self.chunks(request, stream=True):
                answer.add(chunk)
                if chunk.text:
                    yield chunk.text
            yield _noted(answer.completion())
        except Exception as error:
            yield _noted(answer.failure(_as_call_error(error)))

    def _attempt(self, request: Request) -> tuple[Completion, CallError | None]:
        answer = Answer(self)
        try:
            for chunk in self.chunks(request, stream=False):
                answer.add(chunk)
            outcome = answer.completion()
        except Exception as error:
            failure = _as_call_error(error)
            return answer.failure(failure), failure
        return outcome, _retriable(outcome)

    def _wait(self, failure: CallError | None, attempt: int, elapsed: float) -> float | None:
        """Seconds until the next attempt: capped exponential back-off with equal jitter.

        The server's own word wins. None ends the row.
        """
        if failure is None or not failure.retry or attempt == MAX_ATTEMPTS:
            return None
        ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1))
        jitter = random.uniform(ceiling / 2, ceiling)
        wait = jitter if failure.retry_after is None else failure.retry_after + jitter / 10
        deadline = self.config.deadline_s
        if CALLER.get():
            deadline = min(deadline, CALLER_PATIENCE_S)
        return wait if elapsed + wait < deadline else None

    def _pauses_in_vain(self, seconds: float) -> bool:
        """Wait; whether nobody wants the next attempt any more."""
        caller = CALLER.get()
        ended = caller.left if caller else self.stopped
        return ended.wait(seconds) or self.stopped.is_set()


def _noted(completion: Completion) -> Completion:
    """Also told to who waits for it over HTTP."""
    caller = CALLER.get()
    if caller:
        caller.completions.append(completion)
    return completion


def _as_call_error(error: Exception) -> CallError:
    """A body nobody foresaw costs its own row, not the run, and says what it was."""
    if isinstance(error, CallError):
        return error
    return CallError("bad_response", f"{type(error).__name__}: {error}", retry=False)


def _retriable(outcome: Completion) -> CallError | None:
    """An empty or unfinished answer is worth another try unless a limit made it so."""
    if outcome.status == "incomplete":
        return CallError("incomplete", outcome.error or "incomplete")
    if outcome.status == "empty" and outcome.hint is None:
        return CallError("empty", outcome.error or "empty")
    return None


def _add(total: float | None, cost: float | None) -> float | None:
    return None if total is None or cost is None else total + cost
