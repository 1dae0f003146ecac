"""One candidate's answers: what the journal holds is read, the rest is asked and written.

Asking runs in threads of its own, so that whoever iterates (scores, traces, tables) never keeps a
server waiting, and sees an answer only once it is durable.
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from llm_models.cost import cost_usd
from llm_models.errors import KINDS, CallError
from llm_models.schema import Completion
from steps.core.answering.asking import IDLE_S, Asked, Asking, Task
from steps.core.answering.candidates import Ready
from steps.core.answering.journal import Journal
from steps.core.answering.limits import Budget, Limit, Pace
from steps.core.answering.reuse import Policy, sort_out
from steps.core.answering.stopping import Health, Stop
from steps.core.dataset import Row


@dataclass(frozen=True, slots=True)
class Answer:
    """One row's outcome; `reused` when it was paid for by an earlier run or an equal row."""

    row: Row
    completion: Completion
    asked_at: float  # seconds since 1970
    reused: bool
    repeat: int = 0
    waited_s: float = 0.0

    @property
    def place(self) -> tuple[str, int]:
        return self.row.id, self.repeat


@dataclass
class Run:
    """Start it, then iterate once. `budget` and `pace` are shared with runs beside it."""

    ready: Ready
    rows: list[Row]
    journal: Journal
    policy: Policy = field(default_factory=Policy)
    budget: Budget = field(default_factory=lambda: Budget(None))
    pace: Pace = field(default_factory=Pace)
    load_s: float | None = None  # what loading the model took, outside of every call
    stopped: Stop | None = None
    delivered: int = 0

    def __post_init__(self) -> None:
        most = self.ready.config.concurrency
        self.limit = Limit(self.ready.provider.parallel(most), most)
        self._health = Health(self.total, self.policy.max_error_rate)
        self._watching = threading.Lock()
        self._durable: queue.SimpleQueue[Answer | BaseException | None] = queue.SimpleQueue()
        name = self.ready.candidate.name
        self._thread = threading.Thread(target=self._ask_all, name=name, daemon=True)

    @property
    def total(self) -> int:
        """Answers the run will have: rows times repeats."""
        return len(self.rows) * self.policy.repeats

    @property
    def not_asked(self) -> int:
        """Once the run is over: rows without an outcome."""
        return self.total - self.delivered

    def start(self) -> "Run":
        """Begin asking, once; answers wait until they are consumed."""
        if not self._thread.ident:
            self._thread.start()
        return self

    def stop(self, reason: str, *, killed: bool = False) -> None:
        """Start no further call; those in flight are given a few seconds."""
        if self.stopped is None:
            self.stopped = Stop(reason, killed)
            self.ready.provider.stopped.set()

    def wait(self) -> None:
        """Wait until a stopped run has written what was in flight, or has given it up."""
        if self._thread.ident:
            self._thread.join()

    def __iter__(self) -> Iterator[Answer]:
        """Answers as they become durable, in any order. Raises what the asking raised."""
        while (item := self._durable.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            self.delivered += 1
            yield item

    def _ask_all(self) -> None:
        try:
            with self._claim() as held:
                todo = self._read_journal() if held else []
                if todo and self.stopped is None:
                    self._ask(todo)
        except BaseException as error:  # handed to the consumer, which raises it
            self._durable.put(error)
        finally:
            self._durable.put(None)

    def _claim(self) -> AbstractContextManager[bool]:
        """The sole right to ask this fingerprint; False when stopped while another has it."""
        if self.policy.cache == "off":
            return nullcontext(True)
        return self.journal.claim(self.ready.fingerprint, self.ready.provider.stopped)

    def _ask(self, todo: list[Task]) -> None:
        warming = threading.Thread(target=self._warm_up, daemon=True)
        warming.start()  # a thread, because loading takes minutes and a stop must not wait for it
        while warming.is_alive() and not self.ready.provider.stopped.is_set():
            warming.join(IDLE_S)
        limits = (self.limit, self.pace, self.budget)
        Asking(self.ready, *limits, write=self._write, see=self._watch, stop=self.stop).ask(todo)
        if self.stopped is None:
            self._check_identity()

    def _check_identity(self) -> None:
        """A tag may be pulled anew while it is asked: the answers are then of two models."""
        asked = self.ready.config.identity
        try:
            now = self.ready.provider.identity()
        except CallError:  # it has answered every row; that it no longer tells changes none
            return
        if any(now[part] != asked[part] for part in now.keys() & asked.keys()):
            self.stop("another model took the name while it was asked: run the same command again")

    def _warm_up(self) -> None:
        try:
            self.load_s = self.ready.provider.warm_up()
        except CallError as error:
            if KINDS[error.kind].fatal:
                self.stop(f"{error} ({error.hint})" if error.hint else str(error))

    def _read_journal(self) -> list[Task]:
        """Hand out what is held; return what must be asked."""
        todo = []
        for task, record in sort_out(self.ready, self.rows, self.policy, self.journal):
            if record is None:
                todo.append(task)
            else:
                self._reuse(task, record)
        return todo

    def _reuse(self, task: Task, record: dict[str, Any]) -> None:
        completion = Completion.from_record(record)
        if record["price_hash"] != self.ready.price_hash and _billed(completion):
            price = self.ready.config.price
            cost = cost_usd(price, completion.usage, completion.latency_s)
            completion = replace(completion, cost_usd=cost)
        for row in task.rows:
            self._durable.put(Answer(row, completion, record["asked_at"], True, task.repeat))

    def _write(self, group: list[Asked]) -> None:
        stamp = {"price_hash": self.ready.price_hash}
        records = {
            asked.task.key: asked.completion.record() | stamp | {"asked_at": asked.asked_at}
            for asked in group
        }
        try:
            self.journal.write_answers(self.ready.fingerprint, records)
        except BaseException as error:
            self._durable.put(error)
            self.stop(f"the journal cannot be written: {error}")
            return
        for asked in group:
            self._deliver(asked)

    def _deliver(self, asked: Asked) -> None:
        task = asked.task
        for twin, row in enumerate(task.rows):
            answer = Answer(
                row, asked.completion, asked.asked_at, twin > 0, task.repeat, asked.waited_s
            )
            self._durable.put(answer)

    def _watch(self, completion: Completion) -> None:
        with self._watching:
            found = self._health.see(completion)
        if found:
            self.stop(found.reason)


def _billed(completion: Completion) -> bool:
    """Whether a price has any say in what this call cost."""
    kind = completion.error_kind
    return kind is None or KINDS[kind].billable


def in_order(answers: Iterable[Answer], rows: list[Row], repeats: int = 1) -> Iterator[Answer]:
    """The same answers, repeat by repeat in the order of `rows`; only early ones are held."""
    early: dict[tuple[str, int], Answer] = {}
    places = ((row.id, repeat) for repeat in range(repeats) for row in rows)
    awaited = next(places, None)
    for answer in answers:
        early[answer.place] = answer
        while awaited in early:
            yield early.pop(awaited)
            awaited = next(places, None)
    position = {row.id: number for number, row in enumerate(rows)}
    left = early.values()
    yield from sorted(left, key=lambda answer: (answer.repeat, position[answer.row.id]))
