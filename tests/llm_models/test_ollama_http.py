"""Where the adapter calls, as whom, and what it makes of a connection that fails."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llm_models.errors import CallError
from llm_models.ollama import Ollama
from llm_models.schema import Request
from tests.servers.ollama import OllamaServer, Reply, delta, ending

HELLO = Request(({"role": "user", "content": "hello"},))


def failure(model: Ollama, *, stream: bool = False) -> CallError:
    with pytest.raises(CallError) as caught:
        list(model.chunks(HELLO, stream=stream))
    return caught.value


@pytest.mark.parametrize("key", ["cloud-key", None])
def test_the_key_is_sent_as_bearer_if_there_is_one(
    ollama_server: OllamaServer,
    ollama_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    key: str | None,
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if key:
        monkeypatch.setenv("OLLAMA_API_KEY", f" {key}\n")

    ollama_model().complete(HELLO)

    sent = ollama_server.requests[0].headers.get("Authorization")
    assert sent == (key and f"Bearer {key}")


def test_a_redirect_is_not_followed(
    ollama_server: OllamaServer, ollama_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "cloud-key")
    with OllamaServer() as elsewhere:
        to = {"Location": f"{elsewhere.url}/api/chat"}
        ollama_server.fault(Reply(307, b"", headers=to))

        error = failure(ollama_model())

        assert error.kind == "bad_response"
        assert f"redirected to {elsewhere.url}" in str(error)
        assert elsewhere.requests == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_loopback_never_goes_through_a_proxy(
    ollama_model: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:1")

    assert ollama_model().complete(HELLO).status == "ok"


def test_another_host_is_reached_through_the_environments_proxy(
    ollama_server: OllamaServer, ollama_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", ollama_server.url)  # here it is the loopback that answers
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    error = failure(ollama_model(base_url="http://ollama.invalid:11434"))

    assert error.kind == "bad_response"
    assert ollama_server.requests[0].path == "http://ollama.invalid:11434/api/chat"


def test_a_proxy_that_fails_is_named_and_its_password_is_not(
    ollama_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://lab:a-password@127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    error = failure(ollama_model(base_url="http://ollama.invalid:11434"))

    assert (error.kind, "NO_PROXY" in str(error)) == ("unreachable", True)
    assert "a-password" not in str(error)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("configured", "remedy"), [(True, "correct base_url"), (False, "set OLLAMA_HOST")]
)
def test_a_server_that_is_down_is_unreachable(
    ollama_model: Any, monkeypatch: pytest.MonkeyPatch, configured: bool, remedy: str
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("OLLAMA_HOST", url)

    error = failure(ollama_model(base_url=url if configured else None))

    assert error.kind == "unreachable"
    start = "start it with `ollama serve`"
    assert str(error) == f"Ollama does not answer at {url}: {start} or {remedy}"


@pytest.mark.parametrize(
    ("reply", "stream", "kind"),
    [
        (Reply(drop=True), False, "unreachable"),
        (Reply(body=ending("half"), drop=True), False, "incomplete"),
        (Reply(body=b'{"model": "llama3.1:8b", "mess'), False, "incomplete"),
        (Reply(chunks=[delta("half")], drop=True), True, "incomplete"),
        (Reply(chunks=[delta("half"), b'{"model": "lla']), True, "incomplete"),
        (Reply(body=b"<html>welcome</html>"), False, "bad_response"),
        (Reply(body=b""), False, "bad_response"),
        (Reply(body=[1, 2]), False, "bad_response"),
        (Reply(body={"choices": []}), False, "bad_response"),
        (Reply(body={"message": {"content": ["a"]}, "done": True}), False, "bad_response"),
        (Reply(chunks=[b"data: {}\n"]), True, "bad_response"),
        (Reply(body=b"junk", headers={"Content-Encoding": "gzip"}), False, "incomplete"),
    ],
)
def test_a_broken_answer_is_told_from_a_foreign_one(
    ollama_server: OllamaServer, ollama_model: Any, reply: Reply, stream: bool, kind: str
) -> None:
    ollama_server.fault(reply)

    assert failure(ollama_model(), stream=stream).kind == kind


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_silence_ends_in_a_timeout(
    ollama_server: OllamaServer, ollama_model: Any, stream: bool, begun: bool
) -> None:
    never = threading.Event()
    reply = Reply(chunks=[delta("half"), never]) if begun else Reply(hold=never)
    ollama_server.fault(reply)

    error = failure(ollama_model(timeout_s=0.1), stream=stream)
    never.set()

    assert (error.kind, "timeout_s" in (error.hint or "")) == ("timeout", True)


def test_an_answer_that_drips_ends_with_the_time_of_one_call(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    gate = threading.Event()
    ollama_server.fault(Reply(chunks=[delta("a"), gate, delta("b"), ending()]))
    pieces = ollama_model(timeout_s=0.3).chunks(HELLO, stream=True)
    next(pieces)
    time.sleep(0.35)  # outside of any read, so that only the time of the whole call is over
    gate.set()

    with pytest.raises(CallError) as caught:
        list(pieces)
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize("url", ["ftp://somewhere", "http://[::1"])
def test_an_address_that_is_none_is_a_row_error(ollama_model: Any, url: str) -> None:
    assert failure(ollama_model(base_url=url)).kind == "invalid_request"


def test_lines_and_characters_may_be_split_anywhere(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    text = "ñandú \u202f🦙"
    pieces = [delta(text), delta(" fin"), ending()]
    raw = "\n\n".join(json.dumps(piece, ensure_ascii=False) for piece in pieces).encode()
    ollama_server.fault(Reply(chunks=[raw[i : i + 3] for i in range(0, len(raw), 3)]))

    *texts, completion = ollama_model().stream(HELLO)

    assert (texts, completion.text) == ([text, " fin"], f"{text} fin")


def test_a_stream_that_is_abandoned_closes_its_connection(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    gate = threading.Event()
    ollama_server.fault(Reply(chunks=[delta("a"), gate, *[delta("b" * 9999)] * 999]))
    pieces = ollama_model().stream(HELLO)
    assert next(pieces) == "a"

    pieces.close()
    gate.set()

    assert ollama_server.left.wait(10)


def test_many_threads_share_one_model(ollama_server: OllamaServer, ollama_model: Any) -> None:
    model = ollama_model(concurrency=32)
    requests = [Request(({"role": "user", "content": f"n{i}"},)) for i in range(64)]

    with ThreadPoolExecutor(32) as pool:
        answers = [completion.text for completion in pool.map(model.complete, requests)]

    assert answers == [f"You said: n{i}" for i in range(64)]
