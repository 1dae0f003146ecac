"""No message holds a secret or a page of HTML."""

from typing import Any

import pytest

from llm_models.errors import CallError, shorten
from llm_models.schema import Request
from tests.servers.ollama import OllamaServer, Reply

HELLO = Request(({"role": "user", "content": "hello"},))


@pytest.mark.parametrize(
    "text",
    [
        "key my-own-secret-key is not valid",
        "https://x.test/v1?key=abc123&alt=sse refused",
        "no access for AIzaSyA1234567890abcdefghijklmnopq",
        "header was Authorization: Bearer abc.def-ghi",
        "no access for AQ.Ab8RN6Kabcdefghijklmnop",
        "cannot reach https://a-token@host.test/v1",
        "cannot reach https://lab:a-token@host.test/v1",
    ],
)
def test_an_error_holds_no_secret(
    ollama_server: OllamaServer, ollama_model: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "my-own-secret-key")
    ollama_server.fault(Reply(401, {"error": text}))

    error = ollama_model().complete(HELLO).error

    assert "[secret]" in error
    for secret in ("my-own-secret-key", "abc123", "AIzaSyA", "abc.def-ghi", "AQ.Ab8", "a-token"):
        assert secret not in error


def test_a_short_value_of_a_secret_variable_tears_no_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "ollama")

    assert str(CallError("unreachable", "ollama is down")) == "ollama is down"


def test_a_long_message_is_folded_and_cut() -> None:
    assert shorten("a \n\n b") == "a b"
    assert shorten("x" * 400) == "x" * 299 + "…"
