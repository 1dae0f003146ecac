"""The front over real sockets, with Gemini behind it through the real SDK."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from llm_models.desk import Desk
from llm_models.front import Front
from llm_models.gemini import Gemini
from llm_models.model import LLMModel
from llm_models.request_limits import Limits
from tests.servers.gemini import KEY, MODEL, GeminiServer, Reply, candidate, error, reply

pytest_plugins = ["tests.llm_models.gemini_fixtures"]

PRIVATE = "words that are private"
Answer = tuple[int, Any, Any]  # status, headers, JSON
Ask = Callable[..., Answer]


class Listening:
    """A front under uvicorn in a thread of this process."""

    def __init__(self, front: Front) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(front, log_level="critical"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def ask(self, body: Any, **headers: str) -> Answer:
        known = {"Content-Type": "application/json"} | headers
        raw = body if not isinstance(body, dict) else json.dumps(body).encode()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as client:
            client.request("POST", "/invocations", raw, known)
            got = client.getresponse()
            return got.status, got.headers, json.loads(got.read())

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()


def broken_app() -> FastAPI:
    """A server that crashes on whatever the front leaves to it."""
    app = FastAPI()

    @app.post("/invocations")
    async def crash() -> None:
        raise RuntimeError(PRIVATE)

    return app


@pytest.fixture
def listen() -> Iterator[Callable[..., Listening]]:
    opened = []

    def start(ask: Any, **limits: int) -> Listening:
        opened.append(Listening(Front(broken_app(), ask, Desk(Limits(**limits), timeout_s=10))))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def model(gemini_server: GeminiServer) -> LLMModel:
    config = {"candidate": "g", "provider": "gemini", "model": MODEL}
    loaded = LLMModel(Gemini)
    config |= {"base_url": gemini_server.url}
    loaded.load_context(SimpleNamespace(model_config=config, artifacts=None))
    return loaded


def test_a_missing_key_is_told_and_one_that_is_set_later_counts(
    listen: Any, model: LLMModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = listen(model.answer)
    monkeypatch.delenv("GEMINI_API_KEY")
    status, _, told = served.ask({"prompt": PRIVATE})
    assert (status, told["kind"]) == (401, "unauthenticated")
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    status, _, told = served.ask({"prompt": PRIVATE})
    assert (status, told[0]["supplier"]) == (200, "gemini")


def quota(delay: str) -> dict[str, Any]:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return error(429, "RESOURCE_EXHAUSTED", f"slow down {PRIVATE}", info)


GONE = "model_not_found"
FAULTS: dict[str, tuple[Reply, int, str]] = {
    "blocked prompt": (Reply(body={"promptFeedback": {"blockReason": "SAFETY"}}), 422, "blocked"),
    "blocked answer": (Reply(body=reply(candidate(finish="SAFETY"))), 422, "blocked"),
    "too often": (Reply(429, quota("17.5s")), 429, "rate_limited"),
    "bad key": (Reply(403, error(403, "PERMISSION_DENIED", PRIVATE)), 403, "forbidden"),
    "retired": (
        Reply(404, error(404, "NOT_FOUND", "models/x is not found")),
        404,
        "model_not_found",
    ),
    "failed": (Reply(500, error(500, "INTERNAL", PRIVATE)), 502, "server_error"),
    "overloaded": (Reply(503, error(503, "UNAVAILABLE", PRIVATE)), 503, "overloaded"),
}


@pytest.mark.parametrize(("fault", "status", "kind"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_gemini_has_its_status(
    listen: Any, model: LLMModel, gemini_server: GeminiServer, fault: Reply, status: int, kind: str
) -> None:
    gemini_server.fault(*[fault] * 10)
    got, headers, told = listen(model.answer).ask({"prompt": PRIVATE})
    assert (got, told["kind"]) == (status, kind)
    assert headers["Retry-After"] == ("18" if kind == "rate_limited" else None)
    assert PRIVATE not in str(told)
    assert KEY not in str(told)


def test_a_place_is_free_although_the_sdk_cannot_be_interrupted(
    listen: Any, model: LLMModel, gemini_server: GeminiServer
) -> None:
    served = listen(model.answer, requests=1)
    release = threading.Event()
    gemini_server.fault(Reply(hold=release))
    raw = json.dumps({"prompt": PRIVATE}).encode()
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
        assert gemini_server.wait_for(1, "generateContent")
        status, headers, _ = served.ask({"prompt": PRIVATE})
        assert (status, headers["Retry-After"]) == (503, "1")
    asked = (served.ask({"prompt": PRIVATE})[0] for _ in range(1000))
    assert next((status for status in asked if status != 503), None) == 200  # once it is seen
    release.set()


def test_a_body_may_come_in_pieces(listen: Any, model: LLMModel) -> None:
    pieces = iter([b'{"prompt": "', b"say yes", b'"}'])
    status, _, told = listen(model.answer).ask(pieces)
    assert (status, told[0]["text"]) == (200, "You said: say yes")


@pytest.mark.parametrize("body", [{"prompt": PRIVATE}, {"prompt": 5}], ids=["ours", "MLflow's"])
def test_a_mistake_of_the_servers_own_is_no_fault_of_the_clients(
    listen: Any, body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: Any) -> Any:
        raise RuntimeError(PRIVATE)

    status, _, told = listen(crash).ask(body)
    assert (status, told["kind"]) == (500, "internal")
    assert PRIVATE not in str(told)
    assert "RuntimeError" in caplog.text
