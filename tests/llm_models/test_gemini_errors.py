"""How real Gemini servers refuse, through the real SDK."""

from typing import Any

import pytest

from llm_models.base import MAX_ATTEMPTS
from llm_models.errors import KINDS, MAX_MESSAGE, CallError
from llm_models.schema import Request
from tests.servers.gemini import KEY, GeminiServer, Reply, error, reason

pytest_plugins = ["tests.llm_models.gemini_fixtures"]

HELLO = Request(({"role": "user", "content": "hello"},))
STRANGER = "AIzaSyD-0123456789abcdefghijklmnopqrstu"  # a key, but not ours
PAGE = (
    "<!DOCTYPE html><style>p {color: red}</style><p>Not <b>here</b>.</p>"
    + "<p>That's all.</p>" * 99
)
BUSY = error(503, "UNAVAILABLE", "The model is over}loaded.")


def denied(message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return error(403, "PERMISSION_DENIED", message, *details)


def invalid(message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return error(400, "INVALID_ARGUMENT", message, *details)


def exhausted(message: str, *quota_ids: str, delay: str | None = None) -> dict[str, Any]:
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure"}
    failure |= {"violations": [{"quotaId": name, "quotaValue": "250"} for name in quota_ids]}
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    details = [failure] if quota_ids else []
    return error(429, "RESOURCE_EXHAUSTED", message, *details, *([info] if delay else []))


REFUSALS: dict[str, tuple[int, Any, str, str]] = {
    "bad key": (
        400,
        invalid("API key not valid.", reason("API_KEY_INVALID")),
        "unauthenticated",
        "GEMINI_API_KEY",
    ),
    "bad key, no details": (400, invalid("API key expired."), "unauthenticated", "GEMINI_API_KEY"),
    "no credentials": (401, error(401, "UNAUTHENTICATED", "Missing"), "unauthenticated", "Missing"),
    "leaked key": (403, denied("Your API key was reported as leaked."), "forbidden", "leaked"),
    "service off": (403, denied("Off", reason("SERVICE_DISABLED")), "forbidden", "project"),
    "suspended": (403, denied("Consumer", reason("CONSUMER_SUSPENDED")), "forbidden", "project"),
    "denied project": (403, denied("Your project has been denied access."), "forbidden", "denied"),
    "region": (
        400,
        error(400, "FAILED_PRECONDITION", "User location is not supported"),
        "forbidden",
        "region",
    ),
    "retired model": (
        404,
        error(404, "NOT_FOUND", "models/x is not found"),
        "model_not_found",
        "models/x",
    ),
    "overflow": (
        400,
        invalid(
            "The input token count (2000000) exceeds the maximum number of tokens allowed (9)."
        ),
        "context_overflow",
        "2000000",
    ),
    "overflow, no count": (
        400,
        invalid("The input token count exceeds the maximum number of tokens allowed 1048576."),
        "context_overflow",
        "1048576",
    ),
    "overflow on Vertex AI": (
        400,
        invalid("the input token count is 2000000 but model only supports up to 1048576."),
        "context_overflow",
        "2000000",
    ),
    "bad option": (400, invalid("Unknown name 'x'"), "invalid_request", "Unknown name"),
    "too many": (429, exhausted("Resource has been exhausted"), "rate_limited", "exhausted"),
    "too many, as a list": (429, [exhausted("Slow down")], "rate_limited", "Slow down"),
    "too many today": (
        429,
        exhausted(
            "Please retry in 36s.",
            "RequestsPerMinute",
            "RequestsPerDayPerModel-FreeTier",
            delay="36s",
        ),
        "quota_exhausted",
        "RequestsPerDayPerModel-FreeTier",
    ),
    "too many today, older": (
        429,
        error(
            429, "RESOURCE_EXHAUSTED", "", reason("RATE_LIMIT_EXCEEDED", quota_limit="CallsPerDay")
        ),
        "quota_exhausted",
        "CallsPerDay",
    ),
    "paid in advance, and spent": (
        429,
        exhausted("Your prepayment credits are depleted. Please go to AI Studio", delay="36s"),
        "quota_exhausted",
        "depleted",
    ),
    "internal": (500, error(500, "INTERNAL", "An internal error"), "server_error", "internal"),
    "overloaded": (503, BUSY, "overloaded", "over}loaded"),
    "too slow": (504, error(504, "DEADLINE_EXCEEDED", "Deadline"), "timeout", "Deadline"),
    "HTML 404": (404, PAGE, "bad_response", "Not here ."),
    "HTML 502": (502, PAGE, "server_error", "Not here ."),
    "no body": (500, b"", "server_error", "no message"),
    "not UTF-8": (500, b"\xff\xfe\x81", "bad_response", "unreadable"),  # hides its own code
    "text for an error": (500, {"error": "boom"}, "server_error", "boom"),
    "a proxy's JSON": (404, {"detail": "Not Found"}, "bad_response", "Not Found"),
    "redirect": (302, b"", "bad_response", "302"),
}


@pytest.mark.parametrize(("status", "body", "kind", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_has_its_kind_and_its_reason(
    status: int,
    body: Any,
    kind: str,
    words: str,
    gemini_server: GeminiServer,
    gemini_model: Any,
    ask: Any,
) -> None:
    gemini_server.fault(*[Reply(status, body)] * MAX_ATTEMPTS)

    completion = ask(gemini_model())

    assert (completion.status, completion.error_kind, completion.text) == ("error", kind, None)
    assert words in completion.error
    assert "<" not in completion.error
    assert len(completion.error) <= MAX_MESSAGE
    again = completion.attempts > 1
    assert again == (gemini_server.calls["generateContent"] > 1)
    assert not (again and KINDS[kind].fatal)


@pytest.mark.parametrize("refusal", ["HTML 404", "a proxy's JSON", "redirect", "bad key", "region"])
def test_what_stays_wrong_is_not_tried_again(
    refusal: str, gemini_server: GeminiServer, gemini_model: Any
) -> None:
    status, body, *_ = REFUSALS[refusal]
    gemini_server.fault(Reply(status, body))
    assert gemini_model().complete(HELLO).attempts == 1


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (exhausted("Slow down", delay="36s"), 36.0),
        (exhausted("Please retry in 12s.", "RequestsPerMinute", delay="57.9s"), 57.9),
        (exhausted("Please retry in 36.25s."), 36.25),
        (exhausted("Please retry in 1m2.5s."), 62.5),
        (exhausted("Please retry in 250ms."), 0.25),
        (exhausted("Slow down"), None),
        (exhausted("Please retry in 36s.", "RequestsPerDay", delay="36s"), None),
        (exhausted("Your prepayment credits are depleted.", delay="36s"), None),
    ],
)
def test_the_wait_is_the_servers_own(
    body: Any, seconds: float | None, gemini_server: GeminiServer, gemini_model: Any
) -> None:
    gemini_server.fault(Reply(429, body))

    with pytest.raises(CallError) as caught:
        list(gemini_model().chunks(HELLO, stream=False))

    assert caught.value.retry_after == seconds
    assert gemini_server.calls.total() == 1, "the SDK itself must not retry"


def test_a_stated_wait_is_kept_and_then_answered(
    gemini_server: GeminiServer, gemini_model: Any
) -> None:
    gemini_server.fault(Reply(429, exhausted("Slow down", delay="0.05s")))

    completion = gemini_model().complete(HELLO)

    assert (completion.status, completion.attempts) == ("ok", 2)
    assert completion.retry_s >= 0.05


@pytest.mark.parametrize("body", [denied, invalid, exhausted])
def test_a_key_in_an_error_is_scrubbed(
    body: Any, gemini_server: GeminiServer, gemini_model: Any, ask: Any
) -> None:
    text = (
        f"Consumer 'api_key:{KEY}'".ljust(125, ".") + f" {STRANGER}"
    )  # the message is cut within it
    gemini_server.fault(*[Reply(400, body(text))] * MAX_ATTEMPTS)
    gemini_server.fault(Reply(403, denied(text)), path="get")
    model = gemini_model()

    said = f"{ask(model)}"
    with pytest.raises(CallError) as caught:
        model.identity()

    assert "[secret]" in said
    for leak in (KEY, STRANGER, STRANGER[:12]):
        assert leak not in said
        assert leak not in str(caught.value)
