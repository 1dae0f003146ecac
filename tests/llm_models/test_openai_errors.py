"""Refusals of OpenAI and of servers that speak its format, over a socket and classified."""

import json
import threading
from itertools import repeat
from typing import Any

import pytest

from llm_models.errors import KINDS, CallError
from llm_models.openai import OpenAI
from llm_models.schema import Request
from tests.servers.openai import KEY, OpenAIServer, Reply, completion, delta, error, streamed

HELLO = Request(({"role": "user", "content": "hello"},))


def failure(model: OpenAI, *, stream: bool = False) -> CallError:
    with pytest.raises(CallError) as caught:
        list(model.chunks(HELLO, stream=stream))
    return caught.value


QUOTA = "You exceeded your current quota, please check your plan and billing details."
GEMINIS = QUOTA + " For more information on this error, head to: https://ai.google.dev/x."
LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000"


def google(code: int, message: str, status: str, *details: dict[str, Any]) -> dict[str, Any]:
    """Gemini's own error, as its OpenAI interface sends it in a list and proxies in a text."""
    known = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": known}


def exhausted(quota: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc."
    failure = {"@type": kind + "QuotaFailure", "violations": [{"quotaId": quota}]}
    info = {"@type": kind + "RetryInfo", "retryDelay": "36s"}
    text = f"{GEMINIS}\nPlease retry in 36.25s."
    return google(429, text, "RESOURCE_EXHAUSTED", failure, info)


REFUSALS: list[tuple[int, Any, str, str]] = [
    # OpenAI
    (401, error("Incorrect API key provided.", code="invalid_api_key"), "unauthenticated", "Inco"),
    (403, error("Country not supported", code="unsupported_country"), "forbidden", "Country"),
    (404, error("The model `x` does not exist", code="model_not_found"), "model_not_found", "`x`"),
    (429, error(QUOTA, "insufficient_quota", "insufficient_quota"), "quota_exhausted", "billing"),
    (
        429,
        error(
            "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000. Add a payment"
            " method at https://platform.openai.com/account/billing.",
            "tokens",
            "rate_limit_exceeded",
        ),
        "rate_limited",
        "TPM",
    ),
    (
        429,
        error("Rate limit reached on requests per day (RPD): Limit 200.", "requests"),
        "quota_exhausted",
        "RPD",
    ),
    (429, error("Request too large for gpt-4o on (TPM)"), "context_overflow", "too large"),
    (400, error(LONG, code="context_length_exceeded"), "context_overflow", "8192"),
    (400, error("Billing hard limit", code="billing_hard_limit_reached"), "quota_exhausted", "B"),
    (500, error("The server had an error", "server_error"), "server_error", "had an error"),
    (503, error("The engine is currently overloaded"), "overloaded", "engine"),
    # Azure
    (
        400,
        error("triggered Azure OpenAI's content management policy", code="content_filter"),
        "blocked",
        "Azure",
    ),
    # LiteLLM
    (400, error("Invalid model name passed in model=x"), "model_not_found", "model=x"),
    (400, error("No connected db.", "no_db_connection"), "unauthenticated", "No connected db"),
    (401, error("Authentication Error, Invalid proxy server token passed"), "unauthenticated", "A"),
    (400, error("Budget has been exceeded! Current cost: 2"), "quota_exhausted", "Current cost"),
    (429, error(f"litellm.RateLimitError: OpenAIException - {QUOTA}"), "quota_exhausted", "lite"),
    (400, error("litellm.ContextWindowExceededError: prompt"), "context_overflow", "litellm"),
    (400, error("litellm.ContentPolicyViolationError: flagged"), "blocked", "flagged"),
    (500, b"Internal Server Error", "server_error", "500: Internal Server Error"),
    (400, error("Authentication Error, Expired Key", "expired_key"), "unauthenticated", "Expired"),
    # Gemini's OpenAI interface, and Gemini behind LiteLLM
    (
        400,
        [google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")],
        "unauthenticated",
        "API key not valid",
    ),
    (
        400,
        [google(400, "The input token count (9) exceeds the maximum number", "INVALID_ARGUMENT")],
        "context_overflow",
        "400: The input token count",
    ),
    (
        400,
        [google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION")],
        "forbidden",
        "location",
    ),
    (
        404,
        [google(404, "models/x is not found for API version v1main", "NOT_FOUND")],
        "model_not_found",
        "models/x",
    ),
    (429, [exhausted("GenerateRequestsPerMinutePerModel-FreeTier")], "rate_limited", "retry in"),
    (429, [exhausted("GenerateRequestsPerDayPerModel-FreeTier")], "quota_exhausted", "quota"),
    (
        429,
        error(f"litellm.RateLimitError: geminiException - {json.dumps(exhausted('PerMinute'))}"),
        "rate_limited",
        "litellm",
    ),
    # LM Studio
    (404, error("No models loaded. Please load", code="model_not_found"), "model_not_found", "No"),
    # MLflow's gateway
    (404, {"detail": {"message": "GatewayEndpoint not found (x)"}}, "model_not_found", "(x)"),
    (429, {"detail": QUOTA}, "quota_exhausted", "exceeded"),
    (501, {"detail": "AI Gateway is disabled"}, "server_error", "disabled"),
    # vLLM, old and new
    (
        404,
        {"object": "error", "message": "The model `x` does not exist.", "code": 404},
        "model_not_found",
        "`x`",
    ),
    (400, {"object": "error", "message": LONG}, "context_overflow", "8192"),
    (400, error("However, the model's context length is only 1024"), "context_overflow", "1024"),
    (400, error("max_tokens must be at least 1, got -186."), "context_overflow", "-186"),
    (400, error("longer than the maximum model length of 1024"), "context_overflow", "1024"),
    # llama.cpp
    (
        400,
        error("request (9000 tokens) exceeds the available", "exceed_context_size_error"),
        "context_overflow",
        "9000",
    ),
    (503, error("Loading model", "unavailable_error", 503), "overloaded", "Loading"),
    # Ollama behind a proxy
    (
        500,
        error("litellm.APIConnectionError: Ollama - model requires more system memory (9 GiB)"),
        "model_load_failed",
        "9 GiB",
    ),
    # what stands between
    (404, b"<html><h1>404 Not Found</h1></html>", "bad_response", "404: 404 Not Found"),
    (405, b"Method Not Allowed", "bad_response", "405"),
    (408, b"", "timeout", "408: no message"),
    (502, b"<html><style></style><body>Bad Gateway</body></html>", "server_error", "Bad Gateway"),
    (504, b"<html>Gateway Time-out</html>", "timeout", "Time-out"),
    (407, b"<html>Proxy Authentication Required</html>", "forbidden", "407"),
    (413, b"<html><h1>Request Entity Too Large</h1></html>", "context_overflow", "Too Large"),
    (529, error("Overloaded"), "overloaded", "Overloaded"),
    (402, error("Insufficient credits"), "quota_exhausted", "credits"),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"), REFUSALS, ids=[f"{r[0]}-{r[2]}" for r in REFUSALS]
)
def test_a_refusal_is_classified_by_its_words_then_by_its_code(
    openai_server: OpenAIServer, openai_model: Any, status: int, body: Any, kind: str, said: str
) -> None:
    openai_server.fault(Reply(status, body))

    failed = failure(openai_model())

    assert (failed.kind, said in str(failed)) == (kind, True), str(failed)
    assert failed.retry is (KINDS[kind].retry and kind != "bad_response")
    assert openai_server.url in str(failed)


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (401, error("no key"), "OPENAI_API_KEY"),
        (404, b"404 page not found", "Most end in /v1"),
        (429, error("slower"), "lower the concurrency"),
        (400, error(LONG), "shorten the prompt"),
        (400, error("The model `x` does not exist"), "under /models"),
    ],
)
def test_a_hint_names_what_mends_it(
    openai_server: OpenAIServer, openai_model: Any, status: int, body: Any, hint: str
) -> None:
    openai_server.fault(Reply(status, body))

    assert hint in (failure(openai_model()).hint or "")


def test_a_failure_without_a_key_says_that_one_may_be_wanted(
    openai_server: OpenAIServer, openai_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    openai_server.fault(Reply(500, b"Internal Server Error"))

    assert "OPENAI_API_KEY" in (failure(openai_model()).hint or "")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"llm_provider-retry-after": "7"}, 7.0),  # LiteLLM's, of its supplier's
        ({"Retry-After": "Fri, 21 Nov 2025 10:00:00 GMT"}, None),
    ],
)
def test_the_servers_own_wait_is_kept(
    openai_server: OpenAIServer, openai_model: Any, header: dict[str, str], seconds: float | None
) -> None:
    openai_server.fault(Reply(429, error("slower"), headers=header))

    assert failure(openai_model()).retry_after == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached for gpt-4o. Please try again in 20ms. Visit", 0.02),
        ("Limit 3, Used 3. Please try again in 6m0s.", 360.0),
        ("Please retry after 26 seconds. Please contact Azure", 26.0),
        ("No deployments available for selected model, Try again in 5 seconds.", 5.0),
        (f"geminiException - {GEMINIS}\nPlease retry in 36.25s.", 36.25),
        ("Please retry after 5 milliseconds", None),
        ("Please retry after you paid. Requests to all 36 servers", None),
    ],
)
def test_without_a_header_the_wait_is_that_of_the_message(
    openai_server: OpenAIServer, openai_model: Any, text: str, seconds: float | None
) -> None:
    headed = Reply(429, error(text), headers={"Retry-After": "7"})
    openai_server.fault(Reply(429, error(text)), headed)

    assert failure(openai_model()).retry_after == seconds
    assert failure(openai_model()).retry_after == 7.0


@pytest.mark.parametrize("before", [[], [delta("half an ")]])
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (error("The server had an error", "server_error"), "server_error"),
        (error("slower", code="429"), "rate_limited"),
        (error("busy", code=503), "overloaded"),
        (error(f"429: {QUOTA}", "HTTPException"), "quota_exhausted"),
        (error("429: slower", "HTTPException"), "rate_limited"),
        (error(LONG, "BadRequestError", 400), "context_overflow"),
        ({"object": "error", "message": "aborted", "code": 400}, "invalid_request"),
        ({"error": "a plain text"}, "server_error"),
        # llama.cpp until late 2025
        (b'error: {"code":400,"message":"exceeds the context size"}\n\n', "context_overflow"),
    ],
)
def test_an_error_inside_a_200_stream_is_an_error(
    openai_server: OpenAIServer, openai_model: Any, data: Any, kind: str, before: list[Any]
) -> None:
    openai_server.fault(streamed(*before, data), streamed(*before, data))

    failed = failure(openai_model(), stream=True)
    *texts, outcome = openai_model().stream(HELLO)

    assert failed.kind == kind
    assert "broke off its answer" in str(failed)
    assert (texts, outcome.error_kind) == (["half an "] * len(before), kind)
    assert outcome.status == ("incomplete" if before else "error")
    assert outcome.cost_usd == (None if before else 0.0), "half an answer may have been billed"


def test_a_path_that_lm_studio_does_not_know_is_told_as_one(
    openai_server: OpenAIServer, openai_model: Any
) -> None:
    openai_server.fault(Reply(200, {"error": "Unexpected endpoint or method. (POST /chat)"}))

    outcome = openai_model().complete(HELLO)

    assert (outcome.error_kind, outcome.attempts) == ("bad_response", 1)
    assert "Most end in /v1" in outcome.hint


def test_blank_lines_that_keep_a_connection_alive_do_not_prolong_a_call(
    openai_server: OpenAIServer, openai_model: Any
) -> None:
    """As DeepSeek's and OpenRouter's servers send them, for minutes, before a whole answer."""
    openai_server.fault(Reply(chunks=repeat(b"\n")))

    assert failure(openai_model(timeout_s=0.3)).kind == "timeout"


@pytest.mark.parametrize(
    ("reply", "stream", "kind"),
    [
        (Reply(drop=True), False, "unreachable"),
        (Reply(body=completion("half"), drop=True), False, "incomplete"),
        (Reply(body=b'{"id": "chatcmpl-1", "cho'), False, "incomplete"),
        (streamed(delta("half"), drop=True, done=False), True, "incomplete"),
        (streamed(delta("half"), b'data: {"id": "chat', done=False), True, "incomplete"),
        (Reply(body=error("in a 200 body")), False, "server_error"),
        (Reply(body=b"<html>welcome</html>"), False, "bad_response"),
        (Reply(body=b""), False, "bad_response"),
        (Reply(body={"answer": "Hi"}), False, "bad_response"),
        (Reply(body={"choices": None}), False, "bad_response"),
        (streamed(b"data: Hi\n\n"), True, "bad_response"),
        (Reply(307, b"", headers={"Location": "http://127.0.0.1:9/"}), False, "bad_response"),
    ],
)
def test_a_broken_answer_is_told_from_a_foreign_one(
    openai_server: OpenAIServer, openai_model: Any, reply: Reply, stream: bool, kind: str
) -> None:
    openai_server.fault(reply)

    assert failure(openai_model(), stream=stream).kind == kind


@pytest.mark.parametrize("stream", [False, True])
def test_silence_ends_in_a_timeout(
    openai_server: OpenAIServer, openai_model: Any, stream: bool
) -> None:
    never = threading.Event()
    openai_server.fault(streamed(delta("half"), never) if stream else Reply(hold=never))

    failed = failure(openai_model(timeout_s=0.1), stream=stream)
    never.set()

    assert (failed.kind, "timeout_s" in (failed.hint or "")) == ("timeout", True)


def test_what_a_validation_error_quotes_of_the_prompt_is_not_repeated(
    openai_server: OpenAIServer, openai_model: Any
) -> None:
    flaw = {"type": "string_type", "loc": ["body", "user"], "msg": "Wrong", "input": "my prompt"}
    openai_server.fault(Reply(422, {"detail": [flaw, flaw]}))

    failed = failure(openai_model())

    assert failed.kind == "invalid_request"
    assert str(failed).endswith("answered 422: body.user: Wrong; body.user: Wrong")


@pytest.mark.parametrize("echo", [KEY, "sk-proj-another-key-0123456789", "Bearer abc.def"])
def test_no_error_holds_a_key(openai_server: OpenAIServer, openai_model: Any, echo: str) -> None:
    openai_server.fault(Reply(401, error(f"Incorrect API key provided: {echo}")))

    text = openai_model().complete(HELLO).error

    assert "[secret]" in text
    assert echo not in text


@pytest.mark.parametrize("key", ["sk-0123456789abcdef-\N{EM DASH}", "sk-0123456789\nabcdef"])
def test_a_key_that_no_header_can_carry_is_told_and_not_shown(
    openai_model: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)

    failed = failure(openai_model())

    assert failed.kind == "unauthenticated"
    assert str(failed) == "OPENAI_API_KEY holds characters that no key has"
