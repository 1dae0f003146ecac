"""What a judge wrote, read as a verdict or as none: no guess is ever made."""

import json
from dataclasses import dataclass
from typing import Any

from llm_models.errors import shorten
from steps.core.text import parse_json

MAX_RATIONALE = 1000  # characters
_VALUES = {"yes": True, "no": False, True: True, False: False}
_DECODER = json.JSONDecoder(strict=False)  # models write line breaks into strings


@dataclass(frozen=True, slots=True)
class Verdict:
    value: bool
    rationale: str | None = None


def read_verdict(reply: str, answer: str) -> Verdict | None:
    """The one verdict in a judge's reply; None where there is none, or several that differ.

    Prose, fences and thinking around it do not matter. JSON that the judge quotes from the
    answer it was to judge is no verdict.
    """
    quoted = _objects(answer)
    found = [item for item in _said(reply) if "result" in item and item not in quoted]
    values = [_value(item["result"]) for item in found]
    if len(set(values)) != 1 or values[0] is None:
        return None
    return Verdict(values[0], _rationale(found[0].get("rationale")))


def _said(reply: str) -> list[dict[str, Any]]:
    """The JSON objects of a reply that follow its thinking."""
    try:
        whole, _ = parse_json(reply)
    except ValueError:
        said = reply.rpartition("</think>")[2]
        return [] if said.lstrip().startswith("<think>") else _objects(said)
    return [whole] if isinstance(whole, dict) else []


def _objects(text: str) -> list[dict[str, Any]]:
    """Every JSON object in a text that is not part of another one."""
    found = []
    at = text.find("{")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
            found.append(value)
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return found


def _value(result: Any) -> bool | None:
    plain = result.strip().lower() if isinstance(result, str) else result
    return _VALUES.get(plain) if isinstance(plain, str | bool) else None


def _rationale(text: Any) -> str | None:
    """Text that can be stored anywhere: no NUL, and no half of a surrogate pair."""
    if not isinstance(text, str) or not text.strip():
        return None
    clean = text.replace("\0", "").encode("utf-8", "replace").decode()
    return shorten(clean, MAX_RATIONALE)
