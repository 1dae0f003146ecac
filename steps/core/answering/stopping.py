"""When a model's run ends before its last row: for faults that every other row would meet too."""

from dataclasses import dataclass

from llm_models.errors import KINDS
from llm_models.schema import Completion

GONE_AFTER = 3  # rows in a row that found no server, each after its own retries


@dataclass(frozen=True, slots=True)
class Stop:
    """Why no further row is asked; `killed` when a person or the system wanted it."""

    reason: str
    killed: bool = False


@dataclass
class Health:
    """Watches outcomes as they arrive; `max_error_rate` is a share of all `rows`."""

    rows: int
    max_error_rate: float = 1.0
    failed: int = 0
    gone: int = 0

    def see(self, completion: Completion) -> Stop | None:
        """The reason to stop now, if there is one."""
        kind = completion.error_kind
        self.gone = self.gone + 1 if kind == "unreachable" else 0
        self.failed += completion.status in ("error", "incomplete")
        if self.gone >= GONE_AFTER or (kind and KINDS[kind].fatal):
            hint = f" ({completion.hint})" if completion.hint else ""
            return Stop(f"{completion.error}{hint}")
        if self.failed > self.max_error_rate * self.rows:
            return Stop(
                f"{self.failed} of {self.rows} rows failed, more than max_error_rate "
                f"{self.max_error_rate:g} allows; the last one: {completion.error}"
            )
        return None
