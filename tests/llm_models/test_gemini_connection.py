"""How an answer of Gemini's can break off or not come at all, through the real SDK."""

import json
import socket
import threading
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest

from llm_models.errors import CallError
from llm_models.schema import Request
from tests.servers.gemini import GeminiServer, Reply, candidate, error, reply

pytest_plugins = ["tests.llm_models.gemini_fixtures"]

HELLO = Request(({"role": "user", "content": "hello"},))
BUSY = error(503, "UNAVAILABLE", "The model is over}loaded.")
HALF = reply(candidate("Half an", finish=None), usage={"promptTokenCount": 9})


@pytest.mark.parametrize(
    ("end", "words"),
    [
        pytest.param(json.dumps(BUSY, indent=2).encode(), "over}load", id="bare error"),
        pytest.param(BUSY, "over}load", id="error event"),
        pytest.param(b'{"error": {"message": "no code"}}', "broke off", id="error without a code"),
        pytest.param(b'{"error": "boom"}', "broke off", id="error as text"),
        pytest.param(b'data: {"candidates": [{"cont', "cut off", id="half an event"),
        pytest.param(b"data: <html>\n\n", "broke off", id="markup"),
        pytest.param(b"", "no finish reason", id="nothing"),
    ],
)
def test_half_an_answer_is_incomplete(
    end: Any, words: str, gemini_server: GeminiServer, gemini_model: Any
) -> None:
    gemini_server.fault(Reply(chunks=[HALF, end] if end else [HALF]))

    piece, completion = gemini_model().stream(HELLO)

    assert piece == "Half an"
    assert (completion.status, completion.text) == ("incomplete", None)
    assert (completion.partial, completion.error_kind) == ("Half an", "incomplete")
    assert words in completion.error
    assert completion.cost_usd is None, "half an answer may have been billed"


@pytest.mark.parametrize("form", [BUSY, json.dumps(BUSY, indent=2).encode()], ids=["event", "bare"])
def test_a_stream_that_begins_with_an_error_is_refused(
    form: Any, gemini_server: GeminiServer, gemini_model: Any
) -> None:
    gemini_server.fault(Reply(chunks=[form]))

    (completion,) = gemini_model().stream(HELLO)

    assert (completion.status, completion.error_kind) == ("error", "overloaded")
    assert completion.cost_usd == 0.0


@pytest.mark.parametrize("end", [[], [b'data: {"candidates": [{"cont']], ids=["between", "within"])
def test_a_connection_lost_between_or_within_events_is_incomplete(
    end: list[bytes], gemini_server: GeminiServer, gemini_model: Any
) -> None:
    gemini_server.fault(Reply(chunks=[HALF, *end], drop=True))

    piece, completion = gemini_model().stream(HELLO)

    assert (piece, completion.partial) == ("Half an", "Half an")
    assert (completion.status, completion.error_kind) == ("incomplete", "incomplete")
    assert "the connection broke" in completion.error


@pytest.mark.parametrize(
    ("broken", "status", "kind"),
    [
        (Reply(drop=True), "error", "unreachable"),
        (Reply(body=b'{"candidates": [', drop=True), "incomplete", "incomplete"),
        (Reply(body=b'{"candidates": ['), "incomplete", "incomplete"),
        (Reply(body="<html>Sign in</html>"), "error", "bad_response"),
        (Reply(body={"candidates": [{"content": {"parts": "none"}}]}), "error", "bad_response"),
        (Reply(body=b"plain", headers={"Content-Encoding": "gzip"}), "error", "bad_response"),
        (Reply(body=b"null"), "incomplete", "incomplete"),
    ],
)
def test_a_broken_200_is_no_answer_and_is_asked_again(
    broken: Reply, status: str, kind: str, gemini_server: GeminiServer, gemini_model: Any
) -> None:
    model = gemini_model()
    gemini_server.fault(broken)
    *_, streamed = model.stream(HELLO)
    assert (streamed.status, streamed.error_kind) == (status, kind)

    gemini_server.fault(broken)
    failures: list[Any] = []
    completion = model.complete(HELLO, lambda failure, *_: failures.append(failure))
    assert [failure and failure.kind for failure in failures] == [kind, None]
    assert (completion.status, completion.attempts) == ("ok", 2)


def test_silence_is_a_timeout(gemini_server: GeminiServer, gemini_model: Any, ask: Any) -> None:
    release = threading.Event()
    gemini_server.fault(Reply(hold=release))

    completion = ask(gemini_model(timeout_s=0.1, deadline_s=0.1))

    release.set()
    assert (completion.status, completion.error_kind) == ("error", "timeout")
    assert "timeout_s" in completion.hint


def endless(left: threading.Event) -> Iterator[dict[str, Any]]:
    """Events without an end; `left` is set once the client has closed the connection."""
    try:
        yield from repeat(HALF)
    finally:
        left.set()


def test_a_stream_without_an_end_is_left_at_the_timeout(
    gemini_server: GeminiServer, gemini_model: Any
) -> None:
    left = threading.Event()
    gemini_server.fault(Reply(chunks=endless(left)))

    *_, completion = gemini_model(timeout_s=0.3).stream(HELLO)

    assert (completion.status, completion.error_kind) == ("incomplete", "incomplete")
    assert "within 0.3 s" in completion.error
    assert left.wait(10)


def test_a_stream_nobody_reads_on_is_closed(gemini_server: GeminiServer, gemini_model: Any) -> None:
    left = threading.Event()
    gemini_server.fault(Reply(chunks=endless(left)))
    stream = gemini_model().stream(HELLO)

    assert next(stream) == "Half an"
    stream.close()

    assert left.wait(10)


def test_no_server_is_unreachable(gemini_model: Any, ask: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    completion = ask(gemini_model(base_url=url))

    assert (completion.status, completion.error_kind) == ("error", "unreachable")
    assert "base_url" in completion.error


@pytest.fixture
def no_exceptions(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No host is excepted from proxies."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_loopback_never_goes_through_a_proxy(
    gemini_server: GeminiServer,
    gemini_model: Any,
    no_exceptions: pytest.MonkeyPatch,
    variable: str,
    configured: bool,
) -> None:
    no_exceptions.setenv(variable, "http://127.0.0.1:1")
    no_exceptions.setenv("GOOGLE_GEMINI_BASE_URL", gemini_server.url)

    model = gemini_model() if configured else gemini_model(base_url=None)

    assert model.complete(HELLO).status == "ok"


def test_another_host_is_reached_through_the_environments_proxy(
    gemini_server: GeminiServer, gemini_model: Any, no_exceptions: pytest.MonkeyPatch
) -> None:
    no_exceptions.setenv("HTTP_PROXY", gemini_server.url)  # here it is the loopback that answers

    gemini_model(base_url="http://gemini.invalid").complete(HELLO)

    assert gemini_server.requests[0].path.startswith("http://gemini.invalid/v1beta/")


def test_a_socks_proxy_that_lacks_its_package_is_told(
    gemini_model: Any, no_exceptions: pytest.MonkeyPatch
) -> None:
    no_exceptions.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")

    model = gemini_model(base_url="http://gemini.invalid")

    assert model.complete(HELLO).attempts == 1
    with pytest.raises(CallError, match=r"SOCKS proxy.*socksio"):
        model.identity()


@pytest.mark.parametrize("url", ["nohost", "ftp://127.0.0.1", "http://127.0.0.1:port"])
def test_a_base_url_that_is_none_is_not_tried_again(url: str, gemini_model: Any) -> None:
    completion = gemini_model(base_url=url).complete(HELLO)

    assert (completion.status, completion.attempts) == ("error", 1)
    assert "base_url" in completion.error
