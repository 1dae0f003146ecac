"""What went wrong in a Gemini call: `details[].reason` first, then the status, then the HTTP code.

The texts are those of real servers, 2024 to 2026; wording decides only where nothing else does.
"""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any

from llm_models.error_body import duration, stated_wait
from llm_models.errors import KINDS, CallError, scrub, shorten

KEY_PAGE = "https://aistudio.google.com/apikey"
LIMITS_PAGE = "https://ai.google.dev/gemini-api/docs/rate-limits"

_REASONS = {
    "API_KEY_INVALID": "unauthenticated",  # with HTTP 400, expired keys too
    "ACCESS_TOKEN_EXPIRED": "unauthenticated",
    "CREDENTIALS_MISSING": "unauthenticated",
    "SERVICE_DISABLED": "forbidden",
    "BILLING_DISABLED": "forbidden",
    "CONSUMER_INVALID": "forbidden",
    "CONSUMER_SUSPENDED": "forbidden",
    "USER_PROJECT_DENIED": "forbidden",
}
_STATUSES = {
    "INVALID_ARGUMENT": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    "UNIMPLEMENTED": "invalid_request",
    "FAILED_PRECONDITION": "forbidden",  # an unsupported region, or no billing
    "UNAUTHENTICATED": "unauthenticated",
    "PERMISSION_DENIED": "forbidden",
    "NOT_FOUND": "model_not_found",
    "RESOURCE_EXHAUSTED": "rate_limited",
    "ABORTED": "server_error",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
}
_CODES = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "bad_response",  # not in Google's JSON: a wrong path, or a proxy without this route
    408: "timeout",
    413: "context_overflow",
    429: "rate_limited",
    503: "overloaded",
    504: "timeout",
}
_REMEDIES = {
    "unauthenticated": f"set GEMINI_API_KEY ({KEY_PAGE})",
    "forbidden": f"check the key's project, restrictions, billing and region at {KEY_PAGE}",
    "model_not_found": "see https://ai.google.dev/gemini-api/docs/models for those still served",
    "quota_exhausted": f"wait for its reset or raise it ({LIMITS_PAGE})",
    "rate_limited": f"lower the concurrency or raise the quota ({LIMITS_PAGE})",
    "context_overflow": "shorten the prompt or choose a model with a larger context",
    "timeout": "raise timeout_s",
    "bad_response": "check base_url and what stands between here and Gemini",
    "unreachable": "check the network and base_url",
}
_OVERFLOW = re.compile(r"token count\b.*\b(exceed|only support)|maximum number of tokens allowed")
_BAD_KEY = re.compile(r"API key (not valid|not found|expired)", re.IGNORECASE)
_SPENT = re.compile(r"credits are depleted|spending cap")  # no wait mends that
_MARKUP = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_WRONG_ADDRESS = ("UnsupportedProtocol", "InvalidURL", "LocalProtocolError")


def guarded(replies: Iterator[Any], timeout_s: float) -> Iterator[Any]:
    """The SDK's replies; whatever it raises while they arrive comes out as a CallError.

    Once a reply has arrived every failure is `incomplete`: half an answer is none.
    """
    until, begun = time.monotonic() + timeout_s, False
    try:
        for reply in replies:
            if begun and time.monotonic() > until:  # the SDK's limit holds for each read alone
                raise TimeoutError(f"the answer was not finished within {timeout_s:g} s")
            yield reply
            begun = True
    except _failures() as error:
        failure = call_error(error)
        if not begun:
            raise failure from None
        wait, hint = failure.retry_after, failure.hint
        text = f"the answer broke off: {failure}"
        raise CallError("incomplete", text, retry_after=wait, hint=hint) from None


@contextmanager
def translated() -> Iterator[None]:
    """What the SDK raises in the block comes out as a CallError."""
    try:
        yield
    except _failures() as error:
        raise call_error(error) from None


def problem(
    kind: str, what: str, *, retry_after: float | None = None, retry: bool | None = None
) -> CallError:
    """A CallError with the kind's remedy, in the message itself where nothing can be asked."""
    what, remedy = scrub(what), _REMEDIES.get(kind)
    if remedy and (KINDS[kind].fatal or kind == "unreachable"):
        what, remedy = f"{shorten(what, 180).rstrip('.')}: {remedy}", None
    return CallError(kind, what, retry_after=retry_after, hint=remedy, retry=retry)


def call_error(error: Exception) -> CallError:
    """What one exception of the SDK, of google-auth or of the HTTP library under it means."""
    from google.auth import exceptions as auth
    from google.genai import errors as sdk

    if isinstance(error, sdk.APIError):
        return _refusal(error)
    if isinstance(error, auth.GoogleAuthError) and not isinstance(error, auth.TransportError):
        text = f"Google Cloud credentials: {error}; run `gcloud auth application-default login`"
        return CallError("unauthenticated", text)
    if type(error) is ValueError:  # the SDK's own check, before anything was sent
        return problem("invalid_request", f"the SDK refused the request: {error}")
    if isinstance(error, (TypeError, AttributeError, ValueError)):
        return _unread(error)
    return _broken_connection(error)


def _failures() -> tuple[type[Exception], ...]:
    """Beside its own errors, the SDK lets through what it trips over in a body it cannot read."""
    from google.auth.exceptions import GoogleAuthError
    from google.genai.errors import APIError

    known = [sys.modules[name] for name in ("httpx2", "httpx") if name in sys.modules]
    http = [kind for module in known for kind in (module.HTTPError, module.InvalidURL)]
    return (APIError, GoogleAuthError, TimeoutError, TypeError, AttributeError, ValueError, *http)


def _unread(error: Exception) -> CallError:
    """A body that began as JSON was cut off; any other is no answer of Gemini's."""
    cause = error if isinstance(error, JSONDecodeError) else error.__cause__
    if isinstance(cause, JSONDecodeError) and cause.doc.lstrip().startswith("{"):
        return problem("incomplete", "the answer was cut off within its JSON")
    shape = cause.doc if isinstance(cause, JSONDecodeError) else f"unreadable ({error})"
    return problem("bad_response", f"not an answer of Gemini's: {_plain(shape)}")


def _refusal(error: Any) -> CallError:
    body = _body(error.details)
    details = _objects(body.get("details"))
    text = _plain(error.details if error.message is None else error.message) or "no message"
    kind, quota = _kind(error, body, details, text), _daily_quota(details)
    if kind == "rate_limited" and quota:
        return problem("quota_exhausted", f"Gemini's daily quota {quota} is used up")
    said = " ".join(filter(None, ["Gemini answered", str(error.code), error.status]))
    # A wrong address stays wrong.
    retry = False if kind == "bad_response" else None
    wait = None if KINDS[kind].fatal else _retry_after(details, text)
    return problem(kind, f"{said}: {text}", retry_after=wait, retry=retry)


def _body(details: Any) -> dict[str, Any]:
    """Google's error object, {} where the body is something else."""
    inner = details.get("error") if isinstance(details, dict) else None
    return inner if isinstance(inner, dict) else {}


def _objects(values: Any) -> list[dict[str, Any]]:
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _kind(error: Any, body: dict[str, Any], details: list[dict[str, Any]], text: str) -> str:
    reasons = (_REASONS.get(str(d.get("reason"))) for d in details)
    kind = next(filter(None, reasons), None) or _STATUSES.get(str(body.get("status")))
    kind = kind or _CODES.get(error.code) or _by_class(error.code)
    if kind == "invalid_request" and _OVERFLOW.search(text):
        return "context_overflow"
    if kind == "invalid_request" and _BAD_KEY.search(text):  # a proxy may drop the details
        return "unauthenticated"
    if kind == "rate_limited" and _SPENT.search(text):
        return "quota_exhausted"
    return kind


def _by_class(code: Any) -> str:
    if not isinstance(code, int) or code < 400:
        return "bad_response"
    return "server_error" if code >= 499 else "invalid_request"  # 499: cancelled by the server


def _daily_quota(details: list[dict[str, Any]]) -> str | None:
    violations = [v for d in details for v in _objects(d.get("violations"))]
    names = [str(v.get("quotaId")) for v in violations]
    names += [str(m.get("quota_limit")) for m in _objects([d.get("metadata") for d in details])]
    return next((name for name in names if "PerDay" in name), None)


def _retry_after(details: list[dict[str, Any]], text: str) -> float | None:
    """Seconds, from RetryInfo ("36s", "57.9s"), else from the message."""
    stated = (duration(str(d["retryDelay"])) for d in details if "retryDelay" in d)
    return next((wait for wait in stated if wait is not None), stated_wait(text))


def _broken_connection(error: Exception) -> CallError:
    name, text = type(error).__name__, f"no answer from Gemini ({type(error).__name__}: {error})"
    if name in ("ReadTimeout", "WriteTimeout", "TimeoutError"):
        return problem("timeout", text)
    if name in ("DecodingError", "TooManyRedirects"):
        return problem("bad_response", text)
    if name == "RemoteProtocolError" and "without sending a response" not in str(error):
        return problem("incomplete", f"the connection broke within the answer ({error})")
    return problem("unreachable", text, retry=False if name in _WRONG_ADDRESS else None)


def _plain(text: Any) -> str:
    """Without the markup of an HTML error page."""
    return " ".join(_MARKUP.sub(" ", str(text)).split())
