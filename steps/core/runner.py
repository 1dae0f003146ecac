"""Ask one candidate every row: what the journal holds is read, the rest is asked and written.

Calls run in threads of their own, so that whoever consumes the answers (scores, traces, tables)
never keeps a server waiting.
"""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, Literal

from llm_models.cost import cost_usd
from llm_models.errors import KINDS
from llm_models.payload import request_of
from llm_models.schema import Completion
from steps.core.candidates import Ready
from steps.core.dataset import Row
from steps.core.journal import Journal, answer_key

Cache = Literal["use", "refresh", "off"]
GONE_AFTER = 3  # answers in a row that found no server: it is gone for the other rows too


@dataclass(frozen=True, slots=True)
class Answer:
    """One row's outcome; `reused` when it was paid for by an earlier run."""

    row: Row
    completion: Completion
    asked_at: float  # seconds since 1970
    reused: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why a run ended before its last row."""

    reason: str
    not_asked: int


class Run:
    """The answers of one candidate over rows; iterate once, in the order of the rows."""

    def __init__(
        self, ready: Ready, rows: list[Row], journal: Journal, *, cache: Cache = "use"
    ) -> None:
        self.ready = ready
        self.rows = rows
        self.journal = journal
        self.cache = cache
        self.stopped: Stopped | None = None
        self._queue: queue.SimpleQueue[Answer | BaseException | None] = queue.SimpleQueue()
        self._gone = 0
        self._keyed: dict[str, list[Row]] = {}  # rows of equal inputs share one call
        self._thread = threading.Thread(target=self._ask_all, name=ready.candidate.name)
        self._thread.daemon = True

    def start(self) -> "Run":
        """Begin asking, once; answers wait until they are consumed."""
        if not self._thread.ident:
            self._thread.start()
        return self

    def stop(self, reason: str) -> None:
        """Start no further call; those in flight end within their time-out."""
        if self.stopped is None:
            self.stopped = Stopped(reason, 0)
            self.ready.provider.stopped.set()

    def __iter__(self) -> Iterator[Answer]:
        """Answers as they arrive, in any order. Raises what the asking thread raised."""
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def _ask_all(self) -> None:
        try:
            with self.journal.claim(self.ready.fingerprint):
                self._serve(self._read_journal())
        except BaseException as error:  # handed to the consumer, which raises it
            self._queue.put(error)
        finally:
            self._queue.put(None)

    def _read_journal(self) -> list[str]:
        """Hand out what is held; return the keys that must be asked."""
        for row in self.rows:
            self._keyed.setdefault(answer_key(self.ready.fingerprint, row.inputs), []).append(row)
        held: set[str] = set()
        if self.cache == "use":
            for key, record in self.journal.read_answers(self._keyed):
                if _keeps(record):
                    held.add(key)
                    for row in self._keyed[key]:
                        self._queue.put(self._reused(row, record))
        return [key for key in self._keyed if key not in held]

    def _reused(self, row: Row, record: dict[str, Any]) -> Answer:
        completion = Completion.from_record(record)
        if record["price_hash"] != self.ready.price_hash:
            config = self.ready.config
            cost = cost_usd(config.price, completion.usage, completion.latency_s)
            completion = replace(completion, cost_usd=cost)
        return Answer(row, completion, record["asked_at"], reused=True)

    def _serve(self, todo: list[str]) -> None:
        """Keep `concurrency` calls in flight; write answers in the groups they arrive in."""
        waiting = iter(todo)
        limit = self.ready.config.concurrency
        pending: dict[Future[Answer], str] = {}
        with ThreadPoolExecutor(limit, thread_name_prefix=self.ready.candidate.name) as pool:
            while True:
                while self.stopped is None and len(pending) < limit:
                    if (following := next(waiting, None)) is None:
                        break
                    pending[pool.submit(self._ask, self._keyed[following][0])] = following
                if not pending:
                    break
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                self._write({pending.pop(future): future.result() for future in done})
        if self.stopped is not None:
            left = sum(len(self._keyed[key]) for key in waiting)
            self.stopped = replace(self.stopped, not_asked=left)

    def _ask(self, row: Row) -> Answer:
        config = self.ready.config
        asked_at = time.time()
        request = request_of(row.inputs, config.system, config.sampling, f"row {row.id}")
        return Answer(row, self.ready.provider.complete(request), asked_at, reused=False)

    def _write(self, answers: dict[str, Answer]) -> None:
        stamp = {"price_hash": self.ready.price_hash}
        records = {
            key: answer.completion.record() | stamp | {"asked_at": answer.asked_at}
            for key, answer in answers.items()
        }
        self.journal.write_answers(self.ready.fingerprint, records)
        for key, answer in answers.items():
            self._queue.put(answer)
            for twin in self._keyed[key][1:]:
                self._queue.put(replace(answer, row=twin, reused=True))
            self._judge_health(answer.completion)

    def _judge_health(self, completion: Completion) -> None:
        """Stop for what will hit every other row too."""
        kind = completion.error_kind
        self._gone = self._gone + 1 if kind == "unreachable" else 0
        if self._gone >= GONE_AFTER or (kind and KINDS[kind].fatal):
            hint = f" ({completion.hint})" if completion.hint else ""
            self.stop(f"{completion.error}{hint}")


def _keeps(record: dict[str, Any]) -> bool:
    """Held for good: what was answered, or would fail the same way again."""
    if record["status"] not in ("error", "incomplete"):
        return True
    kind = KINDS[record["error_kind"]]
    return not (kind.retry or kind.fatal)


def in_order(answers: Iterable[Answer], rows: list[Row]) -> Iterator[Answer]:
    """The same answers in the order of `rows`; only those that came early are held."""
    early: dict[str, Answer] = {}
    expected = iter(rows)
    awaited = next(expected, None)
    for answer in answers:
        early[answer.row.id] = answer
        while awaited is not None and awaited.id in early:
            yield early.pop(awaited.id)
            awaited = next(expected, None)
    position = {row.id: i for i, row in enumerate(rows)}
    yield from sorted(early.values(), key=lambda answer: position[answer.row.id])
