"""`mlflow models serve` as its clients see it: every fault, every limit, and who hangs up."""

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from llm_models.errors import KINDS
from tests.end_to_end.lab import Lab
from tests.servers.ollama import MODEL, OllamaServer, Reply, ending

CONFIG = f"""
defaults: {{timeout_s: 30, concurrency: 2}}
candidates:
  - {{name: llama, provider: ollama, model: "{MODEL}", registered_name: llm_ollama_chat}}
"""
SECRET, PRIVATE = "a-key-nobody-may-see", "words that are private"
SAID = f"{PRIVATE} at /root/.ollama/models with Bearer {SECRET}"  # by a provider that tells all
LIMITS = {"BODY_BYTES": "10000", "ROWS": "3", "PROMPT_CHARS": "500", "REQUESTS": "2"}
JSON = {"Content-Type": "application/json"}
PLAIN = {"prompt": PRIVATE}
ROWS = {"dataframe_records": [{"prompt": PRIVATE}, {"prompt": PRIVATE}]}


class Served:
    """A running `mlflow models serve`, and the Ollama behind it."""

    def __init__(self, address: str, ollama: OllamaServer, log: Path) -> None:
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.ollama, self.log = ollama, log

    def ask(self, body: Any, headers: dict[str, str] = JSON) -> tuple[int, Any, str]:
        """(status, headers, body)"""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request("POST", "/invocations", raw, headers)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read().decode()
        finally:
            connection.close()

    @contextmanager
    def asking(self, body: Any) -> Iterator[socket.socket]:
        """A client that waits for its answer, until it hangs up at the end of the block."""
        raw = json.dumps(body).encode()
        head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        with socket.create_connection((self.host, self.port), timeout=60) as client:
            client.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
            yield client

    def fails(self, *replies: Reply) -> None:
        """Until `works`, every call ends like this."""
        self.works()
        self.ollama.fault(*replies * 10)

    def works(self) -> None:
        self.ollama.forget_faults()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("stock")
    (folder / "config.yaml").write_text(CONFIG)
    with OllamaServer() as ollama:
        lab = Lab(folder, {"OLLAMA_HOST": ollama.url, "OLLAMA_API_KEY": SECRET})
        logged = lab.step("log_models")
        assert logged.returncode == 0, logged.stderr
        uri = re.findall(r"models:/m-\w+", logged.stdout)[0]
        limits = {f"LLMFLOWLAB_MAX_{name}": value for name, value in LIMITS.items()}
        with lab.serving(uri, "--env-manager", "local", "-t", "3", **limits) as address:
            yield Served(address, ollama, folder / "models.log")


@pytest.fixture(autouse=True)
def clean(served: Served) -> Iterator[None]:
    served.ollama.left.clear()
    yield
    served.works()


def refused(reply: tuple[int, Any, str]) -> tuple[int, str]:
    """(status, kind) of an answer that is an error and tells nothing it should not."""
    status, headers, body = reply
    assert headers["Content-Type"] == "application/json"
    error = json.loads(body)
    assert error.keys() - {"retry_after_s"} == {"error_code", "kind", "message"}
    told = error["message"]
    for hidden in (PRIVATE, SECRET, "Traceback", "/root", "127.0.0.1", "secret"):
        assert hidden not in body
    assert "/" not in told.replace("application/json", "")
    assert status == KINDS[error["kind"]].http
    return status, error["kind"]


LATER = {"Retry-After": "30"}  # longer than the server retries for a client
UPSTREAM: dict[str, tuple[Reply, int, str]] = {
    "wrong": (Reply(400, {"error": SAID}), 400, "invalid_request"),
    "no key": (Reply(401, {"error": SAID}), 401, "unauthenticated"),
    "not allowed": (Reply(403, {"error": SAID}), 403, "forbidden"),
    "model gone": (Reply(404, {"error": f"model '{MODEL}' not found"}), 404, "model_not_found"),
    "too long": (Reply(400, {"error": f"prompt is too long: {SAID}"}), 413, "context_overflow"),
    "too often": (Reply(429, {"error": SAID}, headers=LATER), 429, "rate_limited"),
    "used up": (Reply(429, {"error": f"weekly usage limit {SAID}"}), 429, "quota_exhausted"),
    "failed": (Reply(500, {"error": SAID}, headers=LATER), 502, "server_error"),
    "no Ollama": (Reply(404, f"<html>{SAID}</html>"), 502, "bad_response"),
    "no JSON": (Reply(200, SAID), 502, "bad_response"),
    "broken off": (Reply(body=ending(PRIVATE), drop=True), 502, "incomplete"),
    "no text": (Reply(body=ending("")), 502, "empty"),
    "no memory": (
        Reply(500, {"error": f"model requires more system memory {SAID}"}),
        503,
        "model_load_failed",
    ),
    "queue full": (Reply(503, {"error": SAID}, headers=LATER), 503, "busy"),
    "reset": (Reply(drop=True), 503, "unreachable"),
}


@pytest.mark.parametrize(("fault", "status", "kind"), UPSTREAM.values(), ids=UPSTREAM)
def test_a_fault_of_the_provider_has_its_status_and_tells_no_secret(
    served: Served, fault: Reply, status: int, kind: str
) -> None:
    served.fails(fault)
    assert refused(served.ask(PLAIN)) == (status, kind)
    served.works()
    assert served.ask(PLAIN)[0] == 200


def test_the_log_tells_the_operator_what_clients_are_not_told(served: Served) -> None:
    served.ollama.fault(Reply(403, {"error": SAID}))
    served.ask(PLAIN)
    log = served.log.read_text()
    assert "forbidden: Ollama answered 403: words that are private at /root/" in log
    assert "Bearer [secret]" in log
    assert SECRET not in log


def test_a_client_is_told_when_to_try_again(served: Served) -> None:
    served.fails(Reply(429, {"error": "slow down"}, headers={"Retry-After": "7.2"}))
    _, headers, body = served.ask(PLAIN)
    assert headers["Retry-After"] == "8"
    assert json.loads(body)["retry_after_s"] == 7.2


def test_a_fault_that_passes_is_not_seen(served: Served) -> None:
    served.ollama.fault(Reply(503, {"error": "server busy"}), Reply(drop=True))
    status, _, body = served.ask(PLAIN)
    assert (status, json.loads(body)[0]["attempts"]) == (200, 3)


def test_a_failed_row_among_many_tells_no_secret_either(served: Served) -> None:
    served.ollama.fault(Reply(400, {"error": SAID}))
    status, _, body = served.ask(ROWS)
    rows = json.loads(body)["predictions"]
    assert (status, sorted(row["status"] for row in rows)) == (200, ["error", "ok"])
    assert SECRET not in body
    assert "/root" not in body
    failed = next(row for row in rows if row["status"] == "error")
    assert failed["error"] == KINDS["invalid_request"].told


def test_ollama_may_go_away_and_come_back(served: Served) -> None:
    port = int(served.ollama.url.rpartition(":")[2])
    served.ollama.__exit__()
    assert refused(served.ask(PLAIN)) == (503, "unreachable")
    served.ollama = OllamaServer(port=port).__enter__()
    assert served.ask(PLAIN)[0] == 200


TEXT = {"role": "user", "content": PRIVATE}
WRONG: dict[str, tuple[Any, dict[str, str], int]] = {
    "cut JSON": (f'{{"prompt": "{PRIVATE}'.encode(), JSON, 400),
    "no JSON": (PRIVATE.encode(), JSON, 400),
    "nothing": (b"", JSON, 400),
    "deep": (b"[" * 9000, JSON, 400),
    "no UTF-8": (b'{"prompt": "\xff"}', JSON, 400),
    "list": ([PRIVATE], JSON, 400),
    "text": (PRIVATE, JSON, 400),
    "unknown field": ({"question": PRIVATE}, JSON, 400),
    "two forms": ({"inputs": [PLAIN], "instances": [PLAIN]}, JSON, 400),
    "prompt number": ({"prompt": 5}, JSON, 400),
    "prompt list": ({"prompt": [PRIVATE, PRIVATE]}, JSON, 400),
    "empty prompt": ({"prompt": ""}, JSON, 400),
    "half a character": (b'{"prompt": "words that are private \\ud83d"}', JSON, 400),
    "both": (PLAIN | {"messages": [TEXT]}, JSON, 400),
    "messages text": ({"messages": PRIVATE}, JSON, 400),
    "message field": ({"messages": [TEXT | {"name": PRIVATE}]}, JSON, 400),
    "role": ({"messages": [TEXT | {"role": "tool"}]}, JSON, 400),
    "records text": ({"dataframe_records": PRIVATE}, JSON, 400),
    "split text": ({"dataframe_split": PRIVATE}, JSON, 400),
    "split uneven": ({"dataframe_split": {"columns": ["prompt"], "data": [[1, 2]]}}, JSON, 400),
    "parameter text": (PLAIN | {"temperature": PRIVATE}, JSON, 400),
    "parameter": (PLAIN | {"temperature": 9}, JSON, 400),
    "on_error": (PLAIN | {"on_error": PRIVATE}, JSON, 400),
    "params text": ({"inputs": [PLAIN], "params": PRIVATE}, JSON, 400),
    "long body": (b" " * 10_001, JSON, 413),
    "very long body": (b" " * 3_000_000, JSON, 413),
    "rows": ({"inputs": [PLAIN] * 4}, JSON, 413),
    "long prompt": ({"prompt": "x" * 501}, JSON, 413),
    "long row": ({"inputs": [PLAIN, {"prompt": "x" * 501}]}, JSON, 413),
    "no type": (PLAIN, {}, 415),
    "form": (PLAIN, {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "CSV": (f"prompt\n{PRIVATE}\n".encode(), {"Content-Type": "text/csv"}, 415),
    "Parquet": (PRIVATE.encode(), {"Content-Type": "application/vnd.apache.parquet"}, 415),
    "charset": (PLAIN, {"Content-Type": "application/json; charset=latin-1"}, 415),
}


@pytest.mark.parametrize(("body", "headers", "status"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_told_so_without_being_quoted(
    served: Served, body: Any, headers: dict[str, str], status: int
) -> None:
    before = served.ollama.calls["/api/chat"]
    assert refused(served.ask(body, headers))[0] == status
    assert served.ollama.calls["/api/chat"] == before


@pytest.mark.parametrize("row", [PLAIN, {"messages": [TEXT], "system": "Own."}], ids=str)
@pytest.mark.parametrize("count", [1, 2])
def test_instances_are_rows_too(served: Served, row: Any, count: int) -> None:
    status, _, body = served.ask({"instances": [row] * count, "params": {"seed": 3}})
    assert status == 200, body
    assert [row["text"] for row in json.loads(body)["predictions"]] == [
        f"You said: {PRIVATE}"
    ] * count
    assert served.ollama.requests[-1].body["options"]["seed"] == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "hi", "system": 5}, "system"),
        ({"prompt": "hi", "temperature": "hot"}, "temperature"),
        ({"prompt": "hi", "stop": "END"}, "stop"),
        ({"messages": [{"role": "user"}]}, "content"),
    ],
)
def test_what_mlflow_finds_wrong_is_named(served: Served, body: Any, field: str) -> None:
    told = json.loads(served.ask(body)[2])["message"]
    assert f"signature ({field})" in told


BOTH_WAYS = pytest.mark.parametrize("body", [PLAIN, ROWS], ids=["one question", "many"])


@BOTH_WAYS
def test_who_hangs_up_frees_the_place_and_ends_the_calls(served: Served, body: Any) -> None:
    served.fails(Reply(hold=threading.Event()))
    calls = served.ollama.calls["/api/chat"]
    with served.asking(body), served.asking(body):
        assert served.ollama.wait_for(calls + 2, "/api/chat")
        assert refused(served.ask(PLAIN)) == (503, "busy")
    assert served.ollama.left.wait(10)
    served.works()
    with served.asking(PLAIN) as one, served.asking(PLAIN) as other:
        assert one.recv(12) == other.recv(12) == b"HTTP/1.1 200"


@BOTH_WAYS
def test_an_answer_that_takes_too_long_frees_the_place_and_ends_the_calls(
    served: Served, body: Any
) -> None:
    served.fails(Reply(hold=threading.Event()))
    assert refused(served.ask(body)) == (504, "timeout")
    assert served.ollama.left.wait(10)


def test_a_body_that_does_not_arrive_is_not_waited_for(served: Served) -> None:
    with served.asking(PLAIN) as client:
        assert client.recv(12) == b"HTTP/1.1 200"
    head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection((served.host, served.port), timeout=60) as client:
        client.sendall(head.encode() + b"only so much")
        assert client.recv(12) == b"HTTP/1.1 408"


def test_other_routes_are_mlflows_own(served: Served) -> None:
    for path, status in (("/ping", 200), ("/health", 200), ("/version", 200), ("/nowhere", 404)):
        connection = http.client.HTTPConnection(served.host, served.port, timeout=60)
        connection.request("GET", path)
        assert connection.getresponse().status == status
        connection.close()
