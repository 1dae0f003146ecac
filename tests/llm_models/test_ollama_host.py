"""The many ways people write OLLAMA_HOST."""

from typing import Any

import pytest

from llm_models.ollama import host_url
from llm_models.schema import Request
from tests.servers.ollama import OllamaServer

HELLO = Request(({"role": "user", "content": "hello"},))


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        (":1234", "http://127.0.0.1:1234"),
        (":11434/", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]", "http://[::1]:11434"),
        ("::", "http://[::1]:11434"),
        ("[::]:8080", "http://[::1]:8080"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("fe80::abcd", "http://[fe80::abcd]:11434"),
        ("http://[2001:db8::1]", "http://[2001:db8::1]:80"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        ("'1.2.3.4'", "http://1.2.3.4:11434"),
        (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("HTTP://Example.com:4321", "http://Example.com:4321"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("http://example.com:8080/a/b/", "http://example.com:8080/a/b"),
        ("example.com/ollama", "http://example.com:11434/ollama"),
        ("ollama.com", "https://ollama.com:443"),
        ("https://ollama.com/", "https://ollama.com:443"),
        (":66000", "http://127.0.0.1:11434"),
        (":-1", "http://127.0.0.1:11434"),
        ("http://1.2.3.4:port", "http://1.2.3.4:80"),
    ],
)
def test_every_way_to_write_a_host_means_one_url(value: str | None, url: str) -> None:
    assert host_url(value) == url


def test_the_host_is_read_when_the_call_is_made(
    ollama_server: OllamaServer, ollama_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ollama_model(base_url=None)
    monkeypatch.setenv("OLLAMA_HOST", f"0.0.0.0:{ollama_server.url.rpartition(':')[2]}")

    assert model.complete(HELLO).text == "You said: hello"


def test_the_configs_address_wins_over_the_environments(
    ollama_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:1")

    assert ollama_model().complete(HELLO).status == "ok"
