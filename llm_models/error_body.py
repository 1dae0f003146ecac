"""What the error of a model server says and means, whoever wrote its body.

The words are those of real servers, 2024 to 2026. They decide where one HTTP code means many
things; a proxy passes them on, often with another code than its supplier's.
"""

import json
import re
from typing import Any

_KIND_OF_WORDS = tuple(
    (kind, re.compile(words, re.IGNORECASE))
    for kind, words in (  # in this order
        ("bad_response", r"unexpected endpoint or method"),  # LM Studio's, with HTTP 200
        (
            "quota_exhausted",
            r"insufficient_quota|billing_(hard_limit|not_active)|budget.{0,12}exceeded"
            r"|\((RPD|TPD)\)|PerDay|credits are depleted|spending cap",
        ),
        # Gemini's, which begins as OpenAI's next does, whatever was exceeded:
        ("rate_limited", r"PerMinute|please retry in \d"),
        ("quota_exhausted", r"exceeded your current quota"),
        (
            "context_overflow",
            r"context (length|size|window)\b|context_length_exceeded|exceed_context_size"
            r"|ContextWindowExceeded|exceed\w*\b.{0,40}\bcontext|max_tokens must be at least 1"
            r"|(prompt|input|request) (is )?too (long|large)|maximum model length"
            r"|token count\b.{0,40}\bexceed",
        ),
        (
            "model_load_failed",
            r"requires more system memory|runner process (has terminated|no longer running)"
            r"|(unable|failed) to (load|start)\b.*(model|runner)|model failed to load"
            r"|error (loading model|starting)|do load request|unable to allocate"
            r"|unsupported model|by your version of Ollama|timed out waiting for .*\bto start",
        ),
        (
            "blocked",
            r"content_filter|content_policy|ContentPolicyViolation|content management policy"
            r"|violating our usage policy|our safety system",
        ),
        # The last is what LiteLLM without a database says of every key but its own.
        (
            "unauthenticated",
            r"invalid_api_key|incorrect api key|api key (not valid|not found|expired)|expired_key"
            r"|no_db_connection",
        ),
        ("forbidden", r"location is not supported"),
        (
            "model_not_found",
            r"model_not_found|invalid model name"
            r"|(model|models/\S+|endpoint)\b.*\b(not found|not exist)",
        ),
    )
)
_KIND_OF_STATUS = {
    401: "unauthenticated",
    402: "quota_exhausted",
    403: "forbidden",
    404: "bad_response",  # a wrong path: not the interface that was expected
    405: "bad_response",
    407: "forbidden",  # by a proxy
    408: "timeout",
    413: "context_overflow",
    429: "rate_limited",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PIECE = r"\d+(?:\.\d+)? ?(?:ms|h|m(?!illi)|s)"
_STATED_WAIT = re.compile(rf"\b(?:retry|again) (?:in|after) ((?:{_PIECE})+)", re.IGNORECASE)


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
    if not text.startswith(("{", "[")):
        return text
    try:
        return error_text(json.loads(text)) or text
    except ValueError:
        return text


def kind_of(status: int, words: str) -> str:
    """The key of errors.KINDS for an answer of this HTTP status that holds these words."""
    if status < 400:
        return "bad_response"  # a redirect
    by_words = next((kind for kind, known in _KIND_OF_WORDS if known.search(words)), None)
    other = "server_error" if status >= 500 else "invalid_request"
    return by_words or _KIND_OF_STATUS.get(status, other)


def seconds(retry_after: str | None, message: str = "") -> float | None:
    """A Retry-After in seconds; where it is missing, or a date, the wait the message asks for."""
    plain = retry_after and re.fullmatch(r"\d{1,6}(\.\d+)?", retry_after.strip())
    return float(retry_after) if retry_after and plain else stated_wait(message)


def stated_wait(text: str) -> float | None:
    """Seconds, from "retry in 1m2.5s", "try again in 20ms" or "retry after 26 seconds"."""
    stated = _STATED_WAIT.search(text)
    return duration(stated[1]) if stated else None


def duration(text: str) -> float | None:
    """Seconds of "57.9s" or "1m2.5s"; None where it is no duration."""
    pieces = re.findall(r"(\d+(?:\.\d+)?) ?(ms|[hms])", text)
    return sum(float(number) * _SECONDS[unit] for number, unit in pieces) if pieces else None
