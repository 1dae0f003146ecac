"""Every refusal a real server was seen to give, sent over a socket and classified."""

import json
from typing import Any

import pytest

from llm_models.errors import KINDS, CallError
from llm_models.ollama import Ollama
from llm_models.schema import Request
from tests.servers.ollama import MODEL, OllamaServer, Reply, delta

HELLO = Request(({"role": "user", "content": "hello"},))
LLAMA_SERVER_OVERFLOW = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "request (9000 tokens) exceeds the available context size (8192 tokens)",
            "type": "exceed_context_size_error",
            "n_ctx": 8192,
        }
    }
)


def failure(model: Ollama, *, stream: bool = False) -> CallError:
    with pytest.raises(CallError) as caught:
        list(model.chunks(HELLO, stream=stream))
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, {"error": "model 'llama3.1:8b' not found"}, "model_not_found", "`ollama pull"),
        (
            404,
            {"error": 'model "llama3.1:8b" not found, try pulling it first'},
            "model_not_found",
            "`ollama pull llama3.1:8b`",
        ),
        (404, b"404 page not found", "bad_response", "OLLAMA_HOST"),
        (404, b"<html><h1>404 Not Found</h1></html>", "bad_response", "404: 404 Not Found"),
        (405, b"405 method not allowed", "bad_response", "OLLAMA_HOST"),
        (
            500,
            {"error": "model requires more system memory (5.5 GiB) than is available (3.9 GiB)"},
            "model_load_failed",
            "more system memory",
        ),
        (
            500,
            {"error": "llama runner process has terminated: exit status 2"},
            "model_load_failed",
            "exit status 2",
        ),
        (500, {"error": "unable to load model: /blobs/sha256-7dd5"}, "model_load_failed", "7dd5"),
        (500, {"error": "failed to load model vocabulary required"}, "model_load_failed", "load"),
        (
            500,
            {"error": "timed out waiting for llama runner to start - progress 0.00"},
            "model_load_failed",
            "progress",
        ),
        (
            500,
            {"error": "model failed to load, this may be due to resource limitations"},
            "model_load_failed",
            "limitations",
        ),
        (500, {"error": "model runner has unexpectedly stopped"}, "server_error", "stopped"),
        (502, b"<html><body>Bad Gateway</body></html>", "server_error", "502: Bad Gateway"),
        (504, b"", "timeout", "504: no message"),
        (
            503,
            {"error": "server busy, please try again.  maximum pending requests exceeded"},
            "busy",
            "maximum pending requests",
        ),
        (503, {"error": "Server overloaded, please retry shortly (ref: aaa6)"}, "busy", "shortly"),
        (429, {"error": "too many requests"}, "rate_limited", "too many"),
        (
            429,
            {"error": "you've reached your hourly usage limit, please wait or upgrade"},
            "quota_exhausted",
            "hourly",
        ),
        (
            429,
            {"error": "you (ann) have reached your weekly usage limit, upgrade for higher limits"},
            "quota_exhausted",
            "weekly",
        ),
        (
            429,
            {"error": "you (ann) have reached your session usage limit"},
            "quota_exhausted",
            "session",
        ),
        (402, {"error": "payment required"}, "quota_exhausted", "payment"),
        (
            400,
            {"error": "the input length exceeds the context length"},
            "context_overflow",
            "context length",
        ),
        (
            400,
            {"error": "prompt too long; exceeded max context length by 540451 tokens (ref: 00ad)"},
            "context_overflow",
            "540451",
        ),
        (400, {"error": LLAMA_SERVER_OVERFLOW}, "context_overflow", "400: request (9000 tokens)"),
        (
            400,
            {"error": {"message": LLAMA_SERVER_OVERFLOW, "type": "invalid_request_error"}},
            "context_overflow",
            "400: request (9000 tokens)",
        ),
        (413, b"<html><h1>413 Request Entity Too Large</h1></html>", "context_overflow", "413"),
        (407, b"<html>Proxy Authentication Required</html>", "forbidden", "407"),
        (400, {"error": "illegal base64 data at input byte 0"}, "invalid_request", "base64"),
        (422, {"detail": "unknown role"}, "invalid_request", "unknown role"),
        (
            401,
            {"error": "unauthorized", "signin_url": "https://ollama.com/connect?name=a&key=c2Vj"},
            "unauthenticated",
            "unauthorized",
        ),
        (
            401,
            {"StatusCode": 401, "Status": "401 Unauthorized", "Error": ""},
            "unauthenticated",
            "401 Unauthorized",
        ),
        (
            403,
            {"error": "this model requires a subscription, upgrade for access: https://x.test"},
            "forbidden",
            "subscription",
        ),
        (400, {"error": {"message": "bad option", "code": None}}, "invalid_request", "bad option"),
        (500, ["not", "an", "object"], "server_error", "not"),
        (500, b"\xff\xfe", "server_error", "500"),
    ],
)
def test_a_refusal_is_classified_by_its_words(
    ollama_server: OllamaServer, ollama_model: Any, status: int, body: Any, kind: str, said: str
) -> None:
    ollama_server.fault(Reply(status, body))

    error = failure(ollama_model())

    assert (error.kind, said in str(error)) == (kind, True), str(error)
    expected = KINDS[kind].retry and kind != "bad_response"
    assert error.retry is expected


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (400, {"error": "the input length exceeds the context length"}, "num_ctx"),
        (503, {"error": "server busy"}, "OLLAMA_MAX_QUEUE"),
        (500, {"error": "model requires more system memory"}, "smaller model"),
        (401, {"error": "unauthorized"}, "`ollama signin` or set OLLAMA_API_KEY"),
        (429, {"error": "too many requests"}, "concurrency"),
    ],
)
def test_a_hint_names_what_mends_it(
    ollama_server: OllamaServer, ollama_model: Any, status: int, body: Any, hint: str
) -> None:
    ollama_server.fault(Reply(status, body))

    assert hint in (failure(ollama_model()).hint or "")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [({"Retry-After": "7"}, 7.0), ({"Retry-After": "Fri, 21 Nov 2025"}, None), ({}, None)],
)
def test_the_servers_own_wait_is_kept(
    ollama_server: OllamaServer, ollama_model: Any, header: dict[str, str], seconds: float | None
) -> None:
    ollama_server.fault(Reply(503, {"error": "server busy"}, headers=header))

    assert failure(ollama_model()).retry_after == seconds


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        ({"error": "an error was encountered while running the model"}, "server_error"),
        ({"error": {"message": "unexpected EOF", "type": "api_error"}}, "server_error"),
        ({"error parsing tool call": "invalid character 'c'"}, "server_error"),
        ({"StatusCode": 429, "Status": "429 Too Many", "error": "slow down"}, "rate_limited"),
        ({"StatusCode": 429, "Status": "429 Too Many Requests"}, "rate_limited"),
        ({"StatusCode": 500, "Error": "boom"}, "server_error"),
        ({"error": "you have reached your weekly usage limit"}, "quota_exhausted"),
        ({"error": "server busy, please try again"}, "busy"),
        ({"error": "unauthorized"}, "unauthenticated"),
        ({"error": f"model '{MODEL}' not found"}, "model_not_found"),
        ({"error": "the input length exceeds the context length"}, "context_overflow"),
    ],
)
@pytest.mark.parametrize("before", [[], [delta("half an ")]])
def test_an_error_inside_a_200_stream_is_an_error(
    ollama_server: OllamaServer,
    ollama_model: Any,
    piece: dict[str, Any],
    kind: str,
    before: list[Any],
) -> None:
    ollama_server.fault(Reply(chunks=[*before, piece]))

    assert failure(ollama_model(), stream=True).kind == kind


def test_an_error_inside_a_200_body_is_an_error(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    ollama_server.fault(Reply(body={"error": "unexpected error format in response"}))

    error = failure(ollama_model())

    assert (error.kind, str(error)) == (
        "server_error",
        "Ollama broke off its answer: unexpected error format in response",
    )


def test_a_long_page_is_cut_and_the_key_in_it_removed(
    ollama_server: OllamaServer, ollama_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "very-secret-key")
    ollama_server.fault(Reply(403, b"<p>very-secret-key</p>" + b"<p>blocked</p>" * 500))

    text = str(failure(ollama_model()))

    assert "very-secret-key" not in text
    assert "[secret] blocked" in text
    assert len(text) <= 300


def test_a_lost_tool_call_is_tried_once_more_and_only_once(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    # The text quotes the model, which here speaks of other errors.
    lost = Reply(500, {"error": "error parsing tool call: raw='prompt is too long', err=EOF"})
    ollama_server.fault(lost)
    assert ollama_model().complete(HELLO).status == "ok"
    assert ollama_server.calls["/api/chat"] == 2

    ollama_server.fault(lost, lost)
    outcome = ollama_model().complete(HELLO)
    assert (outcome.status, outcome.error_kind, outcome.attempts) == ("error", "server_error", 1)
    assert ollama_server.calls["/api/chat"] == 4
