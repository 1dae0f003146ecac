"""What an HTTP error says, whoever wrote its body."""

import json
import re
from typing import Any


def error_text(body: Any) -> str:
    """The message in an error body of any shape: text, JSON, JSON within JSON, HTML; '' if none."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        return _text_of_string(body.strip())
    if isinstance(body, list):
        return "; ".join(map(error_text, body))
    if not isinstance(body, dict):
        return "" if body is None else str(body)
    if "msg" in body and "loc" in body:  # pydantic's, which also quotes the input
        return f"{'.'.join(map(str, body['loc']))}: {body['msg']}"
    lowered = {str(key).lower(): value for key, value in body.items()}
    for key in ("error", "message", "detail", "status"):
        if lowered.get(key):
            return error_text(lowered[key])
    return ", ".join(f"{key}: {value}" for key, value in body.items())


def _text_of_string(text: str) -> str:
    if text.startswith("<"):
        return " ".join(re.sub(r"<[^>]*>", " ", text).split())
    if not text.startswith("{"):
        return text
    try:
        return error_text(json.loads(text)) or text
    except ValueError:
        return text


def seconds(retry_after: str | None) -> float | None:
    """A Retry-After in seconds; None where it is missing or a date."""
    plain = retry_after and re.fullmatch(r"\d{1,6}(\.\d+)?", retry_after.strip())
    return float(retry_after) if retry_after and plain else None
