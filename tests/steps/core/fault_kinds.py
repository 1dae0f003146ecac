"""How a run may take a fault of a server: it heals, costs or marks a row, or stops the run."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_models import base
from tests.servers.scripted import Reply

ROWS = 8  # asked one at a time: the first calls are all for the first row
ATTEMPTS = base.MAX_ATTEMPTS
NEVER = threading.Event()
NO_ANSWER, RESET, SHORT = Reply(hold=NEVER), Reply(drop=True), {"timeout_s": 0.2}


@dataclass(frozen=True)
class Fault:
    """`replies` are given to the first calls, the right answer to all that follow."""

    provider: str
    name: str
    replies: Sequence[Reply]
    calls: int  # for ROWS rows
    outcome: str  # part of what `meet` tells
    path: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the candidate


def heals(provider: str, name: str, reply: Reply, **fields: Any) -> Fault:
    """Asked once more, the row is answered."""
    outcome = f"row answered at attempt 2; {ROWS} of {ROWS} answered"
    return Fault(provider, name, [reply], ROWS + 1, outcome, fields=fields)


def costs_a_row(
    provider: str, name: str, reply: Reply, status: str, attempts: int = 1, **fields: Any
) -> Fault:
    """The other rows are asked and answered."""
    outcome = f"row is {status}; {ROWS - 1} of {ROWS} answered"
    return Fault(provider, name, [reply] * attempts, ROWS - 1 + attempts, outcome, fields=fields)


def marks_a_row(provider: str, name: str, reply: Reply, mark: str, **fields: Any) -> Fault:
    outcome = f"row is {mark}; {ROWS} of {ROWS} answered"
    return Fault(provider, name, [reply], ROWS, outcome, fields=fields)


def stops(
    provider: str, name: str, reply: Reply, remedy: str, calls: int = 1, path: str | None = None
) -> Fault:
    """Every call would fail, and few are made."""
    return Fault(provider, name, [reply] * ATTEMPTS * ROWS, calls, remedy, path)
