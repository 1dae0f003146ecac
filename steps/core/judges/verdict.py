"""What a judge wrote, read as a verdict or as none: no guess is ever made."""

from dataclasses import dataclass
from typing import Any

from llm_models.errors import shorten
from llm_models.thinking import after_thinking, object_at
from steps.core.judges.scale import YES_NO, Scale, Value
from steps.core.scores.text import parse_json

MAX_RATIONALE = 1000  # characters


@dataclass(frozen=True, slots=True)
class Verdict:
    value: Value
    rationale: str | None = None


def read_verdict(reply: str, quoted: str, scale: Scale = YES_NO) -> Verdict | None:
    """The one verdict in a judge's reply; None where there is none, or several that differ.

    Prose, fences and thinking around it do not matter. JSON that stands in `quoted`, the answer
    that was to be judged, is no verdict.
    """
    known = _objects(quoted)
    found = [item for item in _said(reply) if "result" in item and item not in known]
    labels = [scale.label(item["result"]) for item in found]
    if len(set(labels)) != 1 or labels[0] is None:
        return None
    reason = _rationale(found[0].get("rationale"))
    if not scale.numeric and scale != YES_NO:  # a table of numbers shows no label
        reason = f"{labels[0]}: {reason}" if reason else labels[0]
    return Verdict(scale.score(labels[0]), reason)


def _said(reply: str) -> list[dict[str, Any]]:
    """The JSON objects of a reply that follow its thinking."""
    try:
        whole, _ = parse_json(reply)
    except ValueError:
        return _objects(after_thinking(reply))
    return [whole] if isinstance(whole, dict) else []


def _objects(text: str) -> list[dict[str, Any]]:
    """Every JSON object in a text that is not part of another one."""
    found = []
    at = text.find("{")
    while at >= 0:
        value, end = object_at(text, at)
        found += [value] if value is not None else []
        at = text.find("{", end)
    return found


def _rationale(text: Any) -> str | None:
    """Text that can be stored anywhere: no NUL, and no half of a surrogate pair."""
    if not isinstance(text, str) or not text.strip():
        return None
    clean = text.replace("\0", "").encode("utf-8", "replace").decode()
    return shorten(clean, MAX_RATIONALE)
