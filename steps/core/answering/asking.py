"""The threads that make one candidate's calls, as fast as the limits allow.

Workers call; the thread that runs `ask` hands rows to them; a writer makes answers durable in the
groups they arrive in. All are daemons: a call that hangs must not outlive a Ctrl-C.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from llm_models.errors import CallError
from llm_models.payload import request_of
from llm_models.schema import Completion
from steps.core.answering.candidates import Ready
from steps.core.answering.estimate import estimate, worst_usd
from steps.core.answering.limits import Budget, Limit, Pace, Room
from steps.core.dataset import Row

GRACE_S = 5.0  # what calls in flight are given once a run is stopped
UNWRITTEN = 2  # answers, for each call that may be in flight, that may wait to be written
IDLE_S = 0.2  # how often a thread that waits looks whether the run was stopped


@dataclass(frozen=True, slots=True)
class Task:
    """A question to ask once, for every row of equal inputs."""

    key: str
    rows: tuple[Row, ...]
    repeat: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a task."""

    task: Task
    completion: Completion
    asked_at: float  # seconds since 1970
    waited_s: float  # on our side, for limits of concurrency, pace and money


@dataclass(frozen=True, slots=True)
class _Turn:
    task: Task
    waited_s: float
    worst_usd: float
    tokens: int


class Asking:
    """`write` gets every group of answers, from one thread; `see` every outcome, at once, from
    the thread that called, before another row is begun; `stop` is told why to stop.
    """

    def __init__(
        self,
        ready: Ready,
        limit: Limit,
        pace: Pace,
        budget: Budget,
        *,
        write: Callable[[list[Asked]], None],
        see: Callable[[Completion], None],
        stop: Callable[[str], None],
    ) -> None:
        self.ready, self.limit, self.pace, self.budget = ready, limit, pace, budget
        self._write, self._see, self._stop = write, see, stop
        self._turns: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
        self._arrived: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._in_flight = 0  # calls
        self._unwritten = 0  # calls, and answers that are not durable yet

    @property
    def stopped(self) -> bool:
        return self.ready.provider.stopped.is_set()

    def ask(self, todo: list[Task]) -> None:
        """Ask all of `todo`, or until stopped; return when every answer that came is written."""
        writer = self._thread(self._write_groups)
        workers = min(self.ready.config.concurrency, len(todo))
        for _ in range(workers):
            self._thread(self._work)
        for task in todo:
            turn = self._turn(task)
            if turn is None:
                break
            with self._changed:
                self._in_flight += 1
                self._unwritten += 1
            self._turns.put(turn)
        for _ in range(workers):
            self._turns.put(None)
        if self._drained():
            self._arrived.put(None)
            writer.join()

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=self.ready.candidate.name, daemon=True)
        thread.start()
        return thread

    def _turn(self, task: Task) -> _Turn | None:
        """Wait until this task may be asked; None once the run is stopped."""
        began = time.monotonic()
        row, config = task.rows[0], self.ready.config
        tokens = estimate(config, row).input_tokens if self.pace.counts_tokens else 0
        worst = worst_usd(config, row) if self.budget.most is not None else 0.0
        while not self.stopped:
            if not self._slot():
                continue
            wait = max(self.limit.wait_s(), self.pace.wait_s(tokens))
            if wait:
                self.ready.provider.stopped.wait(min(wait, IDLE_S))
            elif self._afford(worst):
                if self.pace.begin(tokens, self.ready.provider.stopped):
                    return _Turn(task, time.monotonic() - began, worst, tokens)
                self.budget.settle(worst, 0.0)
        return None

    def _slot(self) -> bool:
        """Whether one more call may be in flight; waits a little where not.

        Answers may not pile up before a journal that is slow, or full: they are paid for.
        """
        with self._changed:
            if not self._free():
                self._changed.wait(IDLE_S)
            return self._free()

    def _free(self) -> bool:
        most = self.limit.current
        return self._in_flight < most and self._unwritten < UNWRITTEN * most

    def _afford(self, worst: float) -> bool:
        """Reserve the worst case; calls in flight may yet turn out cheaper than theirs."""
        if self.budget.reserve(worst):
            return True
        with self._changed:
            if self._in_flight:
                self._changed.wait(IDLE_S)
                return False
        self.broke(worst)
        return False

    def broke(self, worst: float) -> None:
        """Stop: a call that costs so much at the most would cross the cap."""
        self._stop(
            f"max_cost: {self.budget.spent:.4f} USD are spent, and the next call may cost "
            f"{worst:.4f}, which would cross {self.budget.most:g}; raise max_cost to go on"
        )

    def _work(self) -> None:
        while (turn := self._turns.get()) is not None:
            if self.stopped:  # handed out, but not begun
                self.budget.settle(turn.worst_usd, 0.0)
            else:
                asked = self._call(turn)
                self._see(asked.completion)
                self._arrived.put(asked)
            with self._changed:
                self._in_flight -= 1
                self._changed.notify()

    def _call(self, turn: _Turn) -> Asked:
        config, asked_at = self.ready.config, time.time()
        row = turn.task.rows[0]
        request = request_of(row.inputs, config.system, config.sampling, f"row {row.id}")
        meter = _Meter(self, turn)
        completion = self.ready.provider.complete(request, meter.observe)
        meter.close()
        return Asked(turn.task, completion, asked_at, turn.waited_s)

    def _drained(self) -> bool:
        """Whether every call in flight has ended; a stopped run waits GRACE_S, no longer.

        Answers that arrive later still reach the journal while the process lives.
        """
        stopped_at: float | None = None
        with self._changed:
            while self._in_flight:
                self._changed.wait(IDLE_S)
                if self.stopped:
                    stopped_at = stopped_at or time.monotonic()
                    if time.monotonic() - stopped_at > GRACE_S:
                        return False
        return True

    def _write_groups(self) -> None:
        while (first := self._arrived.get()) is not None:
            group, last = [first], False
            while not self._arrived.empty():
                if (following := self._arrived.get()) is None:
                    last = True
                    break
                group.append(following)
            self._write(group)
            with self._changed:
                self._unwritten -= len(group)
                self._changed.notify()
            if last:
                return


class _Meter:
    """One row's attempts, as limits, pace and budget see them."""

    def __init__(self, asking: Asking, turn: _Turn) -> None:
        self._asking, self._turn = asking, turn
        self._room = Room(asking.budget, turn.worst_usd)

    def observe(self, failure: CallError | None, began: float, cost: float | None) -> None:
        """After an attempt that failed the next one needs room of its own."""
        asking, again = self._asking, failure is not None and failure.retry
        room = self._room.paid(cost, again=again)
        if failure is None:
            asking.limit.answered()
            return
        asking.limit.failed(failure, began)
        if again:
            asking.pace.start(self._turn.tokens)
        if not room:
            asking.broke(self._turn.worst_usd)

    def close(self) -> None:
        self._room.close()
