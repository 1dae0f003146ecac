"""Where the thinking that a model left in its text ends, and its answer begins."""

import json
import re
from typing import Any

OPENING, CLOSING = "<think>", "</think>"
_MARK = re.compile(rf"\{{|{CLOSING}")
_DECODER = json.JSONDecoder(strict=False)  # models write line breaks into strings


def after_thinking(text: str) -> str:
    """What follows the last </think>; "" where the thinking did not end.

    A </think> that a JSON object quotes is part of the answer.
    """
    answer = text[_end_of_thinking(text) :]
    if answer.lstrip().startswith(OPENING):
        return ""
    return answer if answer == text else answer.lstrip()


def object_at(text: str, start: int) -> tuple[dict[str, Any] | None, int]:
    """The JSON object that begins at this "{" and where it ends; None, and the next place."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, start + 1


def _end_of_thinking(text: str) -> int:
    last = text.rfind(CLOSING) + len(CLOSING) if CLOSING in text else 0
    end = at = 0
    while mark := _MARK.search(text, at, last):
        if mark[0] == CLOSING:
            end = at = mark.end()
        else:
            _, at = object_at(text, mark.start())
    return end
