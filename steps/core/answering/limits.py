"""How much a server is asked at once and per minute, and how much money may be spent."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from llm_models.errors import CallError
from steps.core.config import Allowance

CALM_S = 10.0  # after a 5xx or a time-out the limit does not grow for so long
MINUTE = 60.0


class Limit:
    """Calls in flight: additive growth, halved by a 429, as TCP does (Jacobson 1988, AIMD)."""

    def __init__(self, start: int, most: int) -> None:
        self._current = float(start)
        self._most = most
        self._lock = threading.Lock()
        self._shrunk_at = self._closed_until = self._calm_until = float("-inf")

    @property
    def current(self) -> int:
        return int(self._current)

    def wait_s(self) -> float:
        """Seconds until the server wants to be asked again."""
        return max(0.0, self._closed_until - time.monotonic())

    def answered(self) -> None:
        with self._lock:
            if time.monotonic() >= self._calm_until:
                self._current = min(self._most, self._current + 1 / self._current)

    def failed(self, error: CallError, started: float) -> None:
        """Adapt to one failed attempt that began at `started` (monotonic seconds)."""
        now = time.monotonic()
        with self._lock:
            if error.kind in ("rate_limited", "busy"):
                if started > self._shrunk_at:  # calls sent before the last cut tell nothing new
                    self._current = max(1.0, self._current / 2)
                    self._shrunk_at = now
                self._closed_until = max(self._closed_until, now + (error.retry_after or 0.0))
            elif error.retry:
                self._calm_until = now + CALM_S


@dataclass
class Pace:
    """Requests and tokens of the last sixty seconds, held below what a provider allows."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    _starts: deque[tuple[float, int]] = field(default_factory=deque)  # (monotonic, tokens)
    _tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_s(self, tokens: int) -> float:
        """Seconds until a call of so many (estimated) tokens may start."""
        with self._lock:
            return self._wait_s(tokens)

    def start(self, tokens: int) -> None:
        with self._lock:
            self._start(tokens)

    def begin(self, tokens: int, stopped: threading.Event) -> bool:
        """Start a call once it may; False where it had to wait and `stopped` was set."""
        while True:
            with self._lock:
                wait = self._wait_s(tokens)
                if not wait:
                    self._start(tokens)
                    return True
            if stopped.wait(wait):
                return False

    @property
    def counts_tokens(self) -> bool:
        return self.tokens_per_minute is not None

    def _wait_s(self, tokens: int) -> float:
        now = time.monotonic()
        self._forget(now - MINUTE)
        if not self._starts or not self._full(tokens):
            return 0.0
        return max(0.0, self._starts[0][0] + MINUTE - now)

    def _start(self, tokens: int) -> None:
        self._starts.append((time.monotonic(), tokens))
        self._tokens += tokens

    def _full(self, tokens: int) -> bool:
        requests, allowed = self.requests_per_minute, self.tokens_per_minute
        if requests is not None and len(self._starts) >= requests:
            return True
        return allowed is not None and self._tokens + tokens > allowed

    def _forget(self, before: float) -> None:
        while self._starts and self._starts[0][0] <= before:
            self._tokens -= self._starts.popleft()[1]


def paces_of(limits: Mapping[str, Allowance]) -> dict[str, Pace]:
    """The one pace of each provider, which all that a command asks of it share.

    One for the process, since `main` is a command of several steps.
    """
    return {
        provider: _pace(provider, allowed.requests_per_minute, allowed.tokens_per_minute)
        for provider, allowed in limits.items()
    }


@cache
def _pace(provider: str, requests_per_minute: int | None, tokens_per_minute: int | None) -> Pace:
    return Pace(requests_per_minute, tokens_per_minute)


class Budget:
    """USD that one command may spend over all its models; None is no cap."""

    def __init__(self, most: float | None) -> None:
        self.most = most
        self.spent = 0.0
        self._held = 0.0  # the worst case of the calls in flight
        self._calls = 0  # in flight
        self._changed = threading.Condition()

    def reserve(self, worst: float, *, wait: bool = False) -> bool:
        """Take room for a call that costs at most `worst`; False when the cap would be crossed.

        With `wait`, calls in flight are waited for: they may turn out cheaper than their worst.
        """
        with self._changed:
            while not self._fits(worst):
                if not (wait and self._calls):
                    return False
                self._changed.wait()
            self._held += worst
            self._calls += 1
            return True

    def _fits(self, worst: float) -> bool:
        return self.most is None or self.spent + self._held + worst <= self.most

    def settle(self, worst: float, cost: float | None) -> None:
        """Turn a reservation into what the call cost; an unknown cost counts as the worst."""
        with self._changed:
            self._held -= worst
            self._calls -= 1
            self.spent += worst if cost is None else cost
            self._changed.notify_all()


class Room:
    """What one call has reserved of a budget; every further attempt needs as much again."""

    def __init__(self, budget: Budget, worst: float) -> None:
        self._budget, self._worst = budget, worst
        self._held = True

    def paid(self, cost: float | None, *, again: bool) -> bool:
        """Settle an attempt; False where another is wanted and there is no room for it."""
        self._budget.settle(self._worst, cost)
        self._held = again and self._budget.reserve(self._worst)
        return self._held or not again

    def close(self) -> None:
        """Give back what was reserved for an attempt that was not made."""
        if self._held:
            self._budget.settle(self._worst, 0.0)
