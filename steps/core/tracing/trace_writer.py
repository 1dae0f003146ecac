"""The traces of a run, none of them lost: by the cheap way where it is known to hold.

trace_batches goes below MLflow's public surface, so it serves only the version that the tests
compare with the public way; it is not even imported with another.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llm_models.errors import LabError, shorten
from steps.core.answering.runner import Answer
from steps.core.prompts import Prompt
from steps.core.tracing.traces import NO_JUDGES, Origin, RowTrace, Scores, row_trace, write_publicly
from steps.core.tracking import count_traces

COMPARED = "3.17.2"  # the version of MLflow that trace_batches serves


class TraceError(LabError):
    """Traces could not be stored."""


class TraceWriter:
    """Stores the traces of one run; for one thread, beside the writers of other runs.

    Leaving the `with` block stores what waits; `close` also tells how many that made.
    """

    def __init__(
        self,
        *,
        experiment_id: str,
        run_id: str,
        model_id: str,
        supplier: str,
        model_name: str,
        price: dict[str, Any] | None = None,
        judges: Mapping[str, str] = NO_JUDGES,
        prompt: Prompt | None = None,
        session: str | None = None,
    ) -> None:
        answering = (model_id, supplier, model_name)
        self._origin = Origin(experiment_id, run_id, *answering, price, judges, prompt, session)
        self._way = _way(self._origin)
        self._added = 0

    def __enter__(self) -> "TraceWriter":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            self.close()
        else:
            with suppress(TraceError):  # what went wrong first is what must be told
                self.close()

    def add(self, answer: Answer, scores: Scores) -> None:
        """Take one row's trace. Raises TraceError; `close` tries again what is not stored."""
        self._added += 1
        with self._failing():
            self._way.add(row_trace(answer, scores, self._origin))

    def close(self) -> int:
        """How many traces are stored: all that were added. Raises TraceError otherwise."""
        with self._failing():
            self._way.finish()
        if self._way.stored < self._added:
            raise TraceError(self._report("MLflow did not keep them"))
        return self._way.stored

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, NotImplementedError) as error:
            cause = str(error).partition("\n")[0]  # further lines hold whole rows
            raise TraceError(self._report(shorten(cause))) from error

    def _report(self, cause: str) -> str:
        return (
            f"{self._added - self._way.stored} of {self._added} traces of "
            f"{self._origin.model_name} were not stored: {cause}. The answers are in the journal: "
            "put the tracking store right and run the same command again."
        )


class _Way(Protocol):
    """How traces reach the store; `stored` counts those that have."""

    stored: int

    def add(self, trace: RowTrace) -> None: ...

    def finish(self) -> None: ...


def _way(origin: Origin) -> _Way:
    if mlflow.__version__ != COMPARED:
        return _PublicWay(origin)
    from steps.core.tracing.trace_batches import Batches

    return Batches(origin)


class _PublicWay:
    """Trace by trace, counted at the end: MLflow drops traces with no more than a warning."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.stored = 0

    def add(self, trace: RowTrace) -> None:
        write_publicly(trace, self.origin)
        self.stored += 1

    def finish(self) -> None:
        kept = count_traces(MlflowClient(), self.origin.run_id, self.origin.experiment_id)
        self.stored = min(self.stored, kept)
