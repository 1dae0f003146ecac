"""What an Ollama server's refusals mean. The wording decides where one HTTP code means many things.

The texts are those of real servers, local and cloud, 2024 to 2026.
"""

import re
from typing import Any

from llm_models.error_body import error_text, seconds
from llm_models.errors import CallError

CANNOT_THINK = re.compile(r"does not support thinking|think value .* is not supported")
TOOL_CALL_LOST = "error parsing tool call"  # the model's own slip: another try may go well

_KIND_OF_TEXT = (  # in this order: a lost tool call quotes the model, which may say anything
    (re.compile(TOOL_CALL_LOST), "server_error"),
    (
        re.compile(
            r"exceed\w*\b.{0,40}\bcontext|context (length|size|window)\b.{0,20}\bexceed"
            r"|exceed_context_size|(prompt|input) (is )?too long",
            re.IGNORECASE,
        ),
        "context_overflow",
    ),
    (
        re.compile(
            r"requires more system memory|runner process (has terminated|no longer running)"
            r"|(unable|failed) to (load|start)\b.*(model|runner)|model failed to load"
            r"|error (loading model|starting)|do load request|unable to allocate"
            r"|unsupported model|by your version of Ollama|timed out waiting for .*\bto start",
            re.IGNORECASE,
        ),
        "model_load_failed",
    ),
)
_NO_MODEL = re.compile(r"\bmodel\b.*\bnot found", re.IGNORECASE)
_ACCOUNT_LIMIT = re.compile(
    r"usage limit|hour|\bday|daily|today|week|month|\bquota\b|credits", re.IGNORECASE
)
_STATUS_OF_TEXT = (  # an error in the middle of an answer has no HTTP code of its own
    (re.compile(r"usage limit|rate limit|too many", re.IGNORECASE), 429),
    (re.compile(r"server (is )?(busy|overloaded)", re.IGNORECASE), 503),
    (re.compile(r"unauthorized", re.IGNORECASE), 401),
    (_NO_MODEL, 404),
)
_KIND_OF_STATUS = {
    401: "unauthenticated",
    402: "quota_exhausted",
    403: "forbidden",
    408: "timeout",
    503: "busy",
    504: "timeout",
}
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


def no_connection(url: str, cause: Exception, configured: bool) -> CallError:
    """Nobody answers at `url`, which is the config's own base_url or the environment's."""
    name = type(cause).__name__  # a timeout, a certificate, a proxy; else nobody listens
    known = "" if name == "ConnectionError" else f" ({name})"
    setting = "correct base_url" if configured else "set OLLAMA_HOST"
    message = f"Ollama does not answer at {url}{known}: start it with `ollama serve` or {setting}"
    return CallError("unreachable", message)


def _status_within(body: Any, text: str) -> int:
    if isinstance(body, dict):
        codes = [v for k, v in body.items() if k.lower() in ("statuscode", "status_code")]
        if codes and isinstance(codes[0], int):
            return codes[0]
    return next((code for pattern, code in _STATUS_OF_TEXT if pattern.search(text)), 500)


def _kind(status: int, text: str) -> str:
    by_text = next((kind for pattern, kind in _KIND_OF_TEXT if pattern.search(text)), None)
    if by_text:
        return by_text
    if status == 404 and _NO_MODEL.search(text):
        return "model_not_found"
    if status == 429:
        return "quota_exhausted" if _ACCOUNT_LIMIT.search(text) else "rate_limited"
    if status < 400 or status in (404, 405):
        return "bad_response"  # a redirect or a wrong path: not Ollama's interface
    return _KIND_OF_STATUS.get(status, "server_error" if status >= 500 else "invalid_request")
