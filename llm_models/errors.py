"""The one error tree. A message says what happened and what to do next, and holds no secret."""

import os
import re
from dataclasses import dataclass

SECRET_VARIABLES = (
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "OLLAMA_API_KEY",
    "OPENAI_API_KEY",
    "LLMFLOWLAB_SERVE_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
_SECRET_SHAPES = re.compile(
    r"AIza[\w-]{20,}|\bAQ\.[\w-]{20,}|\bsk-[\w-]{16,}|ya29\.[\w.-]+|(?<=[?&]key=)[^&\s\"']+"
    r"|(?<=Bearer )[\w.~+/=-]+|(?<=://)[^/\s@]+(?=@)"
)
MAX_MESSAGE = 300  # characters: servers answer with whole HTML pages


@dataclass(frozen=True, slots=True)
class Kind:
    """What an error kind means for the row, for the run and for an HTTP client.

    `told` is all that an HTTP client is told where the provider's own words may name hosts,
    files or the prompt.
    """

    http: int
    told: str
    retry: bool = False  # the same call may succeed later
    fatal: bool = False  # every other row would fail the same way: stop this model
    billable: bool = False  # the server may have worked, and charged, before it failed


KINDS: dict[str, Kind] = {
    "invalid_request": Kind(400, "the model's provider refused the request as wrong"),
    "unauthenticated": Kind(
        401, "the model's provider takes no call without this server's own valid key", fatal=True
    ),
    "forbidden": Kind(403, "the model's provider forbids this server the model", fatal=True),
    "model_not_found": Kind(404, "the model's provider does not have the model", fatal=True),
    "late_request": Kind(408, "the request did not arrive in time"),
    "too_large": Kind(413, "the request is larger than this server takes: send less at once"),
    "context_overflow": Kind(413, "the prompt is longer than the model can read: shorten it"),
    "unknown_type": Kind(415, "this server reads JSON: send Content-Type: application/json"),
    "blocked": Kind(
        422, "the provider's safety rules blocked the prompt or its answer", billable=True
    ),
    "rate_limited": Kind(429, "the model's provider is asked too often: try later", retry=True),
    "quota_exhausted": Kind(429, "this server's quota at the provider is used up", fatal=True),
    "left": Kind(499, "the client left before the answer", billable=True),
    "internal": Kind(500, "this server failed; its log tells how", billable=True),
    "empty": Kind(502, "the model answered without any text", retry=True, billable=True),
    "incomplete": Kind(502, "the answer broke off: try again", retry=True, billable=True),
    "bad_response": Kind(
        502, "the model's provider answered with what is no answer", retry=True, billable=True
    ),
    "server_error": Kind(502, "the model's provider failed: try again", retry=True),
    "model_load_failed": Kind(503, "the model's provider cannot load the model", fatal=True),
    # busy: its queue is full: ask less at once. overloaded: by others: that would not help
    "busy": Kind(503, "too many requests at once: try again later", retry=True),
    "overloaded": Kind(503, "the model's provider is overloaded: try later", retry=True),
    "unreachable": Kind(503, "the model's provider does not answer: try later", retry=True),
    "timeout": Kind(504, "the model did not answer in time", retry=True, billable=True),
}


class LabError(Exception):
    """Root of everything LLMFlowLab raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(scrub(message))


class InputError(LabError, ValueError):
    """A config, dataset, parameter or payload is wrong; raised before any call is made."""

    kind = "invalid_request"


class TooLargeError(InputError):
    """A request asks for more than a server takes; see request_limits.py."""

    kind = "too_large"


class CallError(LabError):
    """One provider call failed; `kind` is a key of KINDS.

    `retry_after` is the wait the server asked for, in seconds. `hint` names the option or command
    that mends it. `retry` overrides KINDS where one server's wording says more than its kind does.
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
