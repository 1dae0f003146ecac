"""The verdicts that a judge may give: labels, and the score of each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Value = bool | float


@dataclass(frozen=True, slots=True)
class Scale:
    """Hashable; in the order in which a judge is told them."""

    scores: tuple[tuple[str, Value], ...]

    @property
    def labels(self) -> list[str]:
        return [label for label, _ in self.scores]

    @property
    def numeric(self) -> bool:
        """Whether the labels are the scores themselves, so that there is a middle."""
        return self != YES_NO and all(label == number(score) for label, score in self.scores)

    def score(self, label: str) -> Value:
        return dict(self.scores)[label]

    def schema(self) -> dict[str, Any]:
        """The JSON schema of a reply: the reason first, so that the result follows from it."""
        result = {"type": "string", "enum": self.labels}
        return {
            "type": "object",
            "properties": {"rationale": {"type": "string"}, "result": result},
            "required": ["rationale", "result"],
            "additionalProperties": False,
        }

    def form(self) -> str:
        """The replies that may be given, in words."""
        told = [json.dumps(label, ensure_ascii=False) for label in self.labels]
        return " or ".join(f'{{"rationale": "...", "result": {label}}}' for label in told)

    def label(self, result: Any) -> str | None:
        """The label that a result is, whatever its case; None where it is none."""
        said = number(result) if isinstance(result, bool | int | float) else result
        if not isinstance(said, str):
            return None
        plain = said.strip().casefold()
        return next((label for label in self.labels if label.casefold() == plain), None)


YES_NO = Scale((("yes", True), ("no", False)))


def scale_of(values: Mapping[str, float] | list[Value]) -> Scale:
    """From labels with their scores, or from a list of numbers. Raises ValueError."""
    listed = values.items() if isinstance(values, Mapping) else ((number(v), v) for v in values)
    scores = tuple((label, float(score)) for label, score in listed)
    if {label for label, _ in scores} == {"yes", "no"} and not isinstance(values, Mapping):
        return YES_NO  # which YAML reads as true and false
    if len({score for _, score in scores}) < 2:
        raise ValueError("give at least two values, such as [1, 2, 3] or {rude: 0, polite: 1}")
    return Scale(scores)


def number(value: Value) -> str:
    """A score as a label: 4.0 is "4", true is "yes"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.12g}"
