"""What an Ollama server's refusals mean, local or cloud, and what mends them."""

import re
from typing import Any

from llm_models.error_body import error_text, kind_of, seconds
from llm_models.errors import CallError

CANNOT_THINK = re.compile(r"does not support thinking|think value .* is not supported")
TOOL_CALL_LOST = "error parsing tool call"  # the model's own slip: another try may go well

_ACCOUNT_LIMIT = re.compile(
    r"usage limit|hour|\bday|daily|today|week|month|\bquota\b|credits", re.IGNORECASE
)
_STATUS_OF_TEXT = (  # an error in the middle of an answer has no HTTP code of its own
    (re.compile(r"usage limit|rate limit|too many", re.IGNORECASE), 429),
    (re.compile(r"server (is )?(busy|overloaded)", re.IGNORECASE), 503),
    (re.compile(r"unauthorized", re.IGNORECASE), 401),
)
SLOW = "raise timeout_s, or warm the model up: a cold load can take minutes"
_HINTS = {
    "busy": "lower the concurrency, or raise OLLAMA_MAX_QUEUE on the server",
    "rate_limited": "lower the concurrency",
    "context_overflow": "raise num_ctx or shorten the prompt",
    "model_load_failed": "free memory, lower num_ctx or choose a smaller model",
    "quota_exhausted": "wait for the account's limit to reset or raise it",
    "unauthenticated": "run `ollama signin` or set OLLAMA_API_KEY",
    "timeout": SLOW,
}


def refusal(
    status: int | None, body: Any, model: str, url: str, retry_after: str | None = None
) -> CallError:
    """The error a server answered with; `status` is None for one inside a 200 answer."""
    text = error_text(body)
    kind = _kind(status or _status_within(body, text), text)
    if kind == "model_not_found":
        return CallError(kind, f"Ollama at {url} has no model '{model}': run `ollama pull {model}`")
    said = f"Ollama answered {status}" if status else "Ollama broke off its answer"
    message = f"{said}: {text or 'no message'}"
    if kind == "bad_response":
        message += f" (is {url} the address of an Ollama server? See OLLAMA_HOST)"
    # The adapter itself has sent a lost tool call twice; a wrong address stays wrong.
    last = kind == "bad_response" or (status is not None and TOOL_CALL_LOST in text)
    return CallError(
        kind,
        message,
        retry_after=seconds(retry_after),
        hint=_HINTS.get(kind),
        retry=False if last else None,
    )


def _status_within(body: Any, text: str) -> int:
    if isinstance(body, dict):
        codes = [v for k, v in body.items() if k.lower() in ("statuscode", "status_code")]
        if codes and isinstance(codes[0], int):
            return codes[0]
    return next((code for pattern, code in _STATUS_OF_TEXT if pattern.search(text)), 500)


def _kind(status: int, text: str) -> str:
    if TOOL_CALL_LOST in text:  # first: it quotes the model, which may say anything
        return "server_error"
    if status == 429 and _ACCOUNT_LIMIT.search(text):
        return "quota_exhausted"
    kind = kind_of(status, text)
    return "busy" if kind == "overloaded" else kind
