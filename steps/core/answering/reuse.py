"""Which questions the journal answers for good, and which must be asked: see ADR 4."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from llm_models.errors import KINDS
from llm_models.schema import ANSWERED
from steps.core.answering.asking import Task
from steps.core.answering.candidates import Ready
from steps.core.answering.journal import Journal, answer_key
from steps.core.cli import Cache
from steps.core.dataset import Row


@dataclass(frozen=True)
class Policy:
    """How to ask: the same for every model of one command."""

    cache: Cache = "use"
    retry_errors: bool = False  # ask every failed row again, also those that would fail alike
    repeats: int = 1
    max_error_rate: float = 1.0


def sort_out(
    ready: Ready, rows: Iterable[Row], policy: Policy, journal: Journal | None
) -> Iterator[tuple[Task, dict[str, Any] | None]]:
    """Every question once: with its record where the journal answers it, then those to ask."""
    tasks: dict[str, Task] = {}
    for repeat in range(policy.repeats):
        for row in rows:
            key = answer_key(ready.fingerprint, row.inputs, repeat)
            twins = tasks[key].rows if key in tasks else ()
            tasks[key] = Task(key, (*twins, row), repeat)
    if journal and policy.cache == "use":
        for key, record in journal.read_answers(list(tasks)):
            if _keeps(record, policy):
                yield tasks.pop(key), record
    for task in tasks.values():
        yield task, None


def _keeps(record: dict[str, Any], policy: Policy) -> bool:
    """Whether a record counts for good."""
    if record["status"] in ANSWERED:
        return True
    if policy.retry_errors:
        return False
    if record["status"] in ("empty", "blocked"):
        return True
    kind = KINDS[record["error_kind"]]
    return not (kind.retry or kind.fatal)
