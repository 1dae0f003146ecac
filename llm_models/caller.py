"""Whoever waits for an answer over HTTP: one who has left is worked for no longer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from llm_models.request_limits import Limits
from llm_models.schema import Completion


class Caller:
    """One HTTP request, for the provider that works on it. Safe to share between threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.left = threading.Event()
        self.completions: list[Completion] = []  # of this request, failed ones too
        self._lock = threading.Lock()
        self._calls: set[socket.socket] = set()

    def leave(self) -> None:
        """End the calls and waits of this request; none is begun after it."""
        with self._lock:
            self.left.set()
            for call in self._calls:
                _end(call)

    @contextmanager
    def waiting(self, call: socket.socket) -> Iterator[None]:
        """While an answer is waited for on a connection that `leave` may break."""
        with self._lock:
            self._calls.add(call)
            if self.left.is_set():
                _end(call)
        try:
            yield
        finally:
            with self._lock:  # afterwards the connection may serve someone else
                self._calls.discard(call)


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)  # None: not over HTTP


def _end(call: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        call.shutdown(socket.SHUT_RDWR)
