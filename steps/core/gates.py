"""Thresholds on logged metrics: what a version must hold to be given an alias."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steps.core.config import Gate


@dataclass(frozen=True)
class Check:
    """One gate and what the evidence says of it; a metric that is missing holds nothing."""

    gate: Gate
    value: float | None

    @property
    def passed(self) -> bool:
        if self.value is None:
            return False
        low = self.gate.min is None or self.value >= self.gate.min
        return low and (self.gate.max is None or self.value <= self.gate.max)

    @property
    def bounds(self) -> str:
        parts = [
            f"at least {self.gate.min:g}" if self.gate.min is not None else "",
            f"at most {self.gate.max:g}" if self.gate.max is not None else "",
        ]
        return " and ".join(part for part in parts if part)

    def cells(self) -> list[str]:
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        return [self.gate.metric, value, self.bounds, "pass" if self.passed else "FAIL"]


def check(gates: Iterable[Gate], metrics: Mapping[str, float]) -> list[Check]:
    """Hold metrics against gates."""
    return [Check(gate, metrics.get(gate.metric)) for gate in gates]
