"""The one error tree. A message says what happened and what to do next, and holds no secret."""

import os
import re
from dataclasses import dataclass

SECRET_VARIABLES = (
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "OLLAMA_API_KEY",
    "OPENAI_API_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
_SECRET_SHAPES = re.compile(
    r"AIza[\w-]{20,}|\bsk-[\w-]{16,}|ya29\.[\w.-]+|(?<=[?&]key=)[^&\s\"']+"
    r"|(?<=Bearer )[\w.~+/=-]+|(?<=://)[^/\s@]*:[^/\s@]*(?=@)"
)
MAX_MESSAGE = 300  # characters: servers answer with whole HTML pages


@dataclass(frozen=True, slots=True)
class Kind:
    """What an error kind means for the row, for the run and for an HTTP client."""

    http: int
    retry: bool = False  # the same call may succeed later
    fatal: bool = False  # every other row would fail the same way: stop this model
    billable: bool = False  # the server may have worked, and charged, before it failed


KINDS: dict[str, Kind] = {
    "invalid_request": Kind(http=400),
    "unauthenticated": Kind(http=401, fatal=True),
    "forbidden": Kind(http=403, fatal=True),
    "model_not_found": Kind(http=404, fatal=True),
    "context_overflow": Kind(http=413),
    "blocked": Kind(http=422, billable=True),
    "empty": Kind(http=502, retry=True, billable=True),
    "rate_limited": Kind(http=429, retry=True),
    "quota_exhausted": Kind(http=429, fatal=True),
    "incomplete": Kind(http=502, retry=True, billable=True),
    "bad_response": Kind(http=502, retry=True, billable=True),
    "server_error": Kind(http=502, retry=True),
    "model_load_failed": Kind(http=503, fatal=True),
    "busy": Kind(http=503, retry=True),  # its queue is full: ask less at once
    "overloaded": Kind(http=503, retry=True),  # by others: asking less would not help
    "unreachable": Kind(http=503, retry=True),
    "timeout": Kind(http=504, retry=True, billable=True),
}


class LabError(Exception):
    """Root of everything LLMFlowLab raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(scrub(message))


class InputError(LabError, ValueError):
    """A config, dataset, parameter or payload is wrong; raised before any call is made."""


class CallError(LabError):
    """One provider call failed; `kind` is a key of KINDS.

    `retry_after` is the wait the server asked for, in seconds. `partial` is what had arrived of
    an answer. `hint` names the option or command that mends it. `retry` overrides KINDS where
    one server's wording says more than its kind does.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retry_after: float | None = None,
        hint: str | None = None,
        retry: bool | None = None,
    ) -> None:
        super().__init__(shorten(scrub(message)))
        self.kind = kind
        self.retry_after = retry_after
        self.hint = hint
        self.retry = KINDS[kind].retry if retry is None else retry


def scrub(text: str) -> str:
    """Replace every secret of the environment, and what looks like one, by `[secret]`."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "").strip()
        if len(value) >= 8:  # shorter values would tear ordinary words apart
            text = text.replace(value, "[secret]")
    return _SECRET_SHAPES.sub("[secret]", text)


def shorten(text: str, limit: int = MAX_MESSAGE) -> str:
    """Fold white space and cut to `limit` characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
