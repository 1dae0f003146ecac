"""`serve` as what runs it sees it: readiness, metrics, token, processes, and MLflow's route."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from mlflow import MlflowClient

from tests.end_to_end.lab import ROOT, Lab, free_port, until, wait_until_up
from tests.end_to_end.served import (
    ASKED,
    CHAT,
    NAME,
    TOKEN,
    TOLD,
    Served,
    serving,
)
from tests.servers.ollama import OllamaServer, Reply, delta, ending

pytest_plugins = ["tests.end_to_end.serve_fixtures"]


def test_what_is_served_is_the_packed_code(served: Served) -> None:
    served.ollama.fault(Reply(400, {"error": "wrong"}))
    with pytest.raises(openai.BadRequestError, match=f"PACKED {TOLD}"):
        served.client().chat.completions.create(model=NAME, messages=ASKED)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/x", 404),
    ],
)
def test_other_addresses_are_refused(served: Served, method: str, path: str, status: int) -> None:
    assert served.ask(method, path)[0] == status


def test_metrics_tell_requests_tokens_and_cost(served: Served) -> None:
    tokens = 'llmflowlab_tokens_total{kind="output"}'
    before, counted = served.answered(), served.figure(tokens)
    refused = served.answered(400)
    answer = served.client().chat.completions.create(model=NAME, messages=ASKED)
    rows = {"inputs": [{"prompt": "a"}, {"prompt": "b"}]}
    batch = json.loads(served.ask("POST", "/invocations", rows)[2])["predictions"]
    served.ask("POST", CHAT, {"model": NAME})
    told = answer.usage.completion_tokens + sum(row["output_tokens"] for row in batch)
    assert served.figure(tokens) == counted + told
    assert (served.answered(), served.answered(400)) == (before + 1, refused + 1)
    assert served.figure("llmflowlab_requests_in_flight") == 1  # this one
    assert served.figure("llmflowlab_cost_usd_total") == 0
    assert served.figure(f'llmflowlab_request_seconds_bucket{{le="+Inf",route="{CHAT}"}}') > 0


def test_ready_tells_whether_the_provider_is_there_now(served: Served) -> None:
    assert until(lambda: served.ask("GET", "/ready")[0] == 200)
    assert json.loads(served.ask("GET", "/ready")[2]) == {"ready": True, "same_identity": True}
    port = int(served.ollama.url.rpartition(":")[2])
    served.ollama.__exit__()
    assert until(lambda: served.ask("GET", "/ready")[0] == 503)
    assert "127.0.0.1" not in served.ask("GET", "/ready")[2]
    assert served.ask("GET", "/health")[0] == 200
    served.ollama = OllamaServer(port=port).__enter__()
    assert until(lambda: served.ask("GET", "/ready")[0] == 200)
    assert served.ollama.calls["/api/chat"] == 0


def test_a_provider_that_tells_nonsense_is_not_ready(served: Served) -> None:
    served.ollama.fault(*[Reply(body={"models": ["x"]})] * 100, path="/api/tags")
    assert until(lambda: served.ask("GET", "/ready")[0] != 200)
    status, _, body = served.ask("GET", "/ready")
    assert (status, json.loads(body)["kind"]) == (503, "bad_response")
    served.ollama.forget_faults()
    assert until(lambda: served.ask("GET", "/ready")[0] == 200)


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "hi"},
        {"messages": ASKED, "temperature": 0},
        {"dataframe_split": {"columns": ["prompt"], "data": [["a"], ["b"]]}},
        {"prompt": 5},
    ],
)
def test_invocations_are_answered_as_by_mlflows_server(
    served: Served, stock: Served, body: dict[str, Any]
) -> None:
    def answered(server: Served) -> tuple[int, Any]:
        status, _, text = server.ask("POST", "/invocations", body)
        return status, re.sub(r'"latency_s": [^,]*', "", text)

    assert answered(served) == answered(stock)


@pytest.fixture(scope="module")
def stock(serve_lab: Lab, serve_ollama: OllamaServer) -> Iterator[Served]:
    with serve_lab.serving(f"models:/{NAME}@staging", "--env-manager", "local") as address:
        yield Served(address, serve_ollama)


def test_two_processes_behind_a_token_count_together(serve_lab: Lab, served: Served) -> None:
    with serving(serve_lab, "--workers", "2", LLMFLOWLAB_SERVE_TOKEN=TOKEN) as address:
        served = Served(address, served.ollama)
        bearer = {"authorization": f"bearer {TOKEN}"}  # HTTP knows no case in either
        for path in ("/health", "/ready"):
            assert served.ask("GET", path)[0] == 200
        for method, path in (("GET", "/metrics"), ("POST", "/invocations"), ("POST", CHAT)):
            status, headers, body = served.ask(method, path)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
            assert TOKEN not in body
        with pytest.raises(openai.AuthenticationError, match="its own bearer token"):
            served.client("another").models.list()
        for _ in range(8):
            served.client(TOKEN).chat.completions.create(model=NAME, messages=ASKED)
        counted = f'llmflowlab_requests_total{{route="{CHAT}",status="200"}}'
        assert served.figure(counted, **bearer) == 8
        assert served.figure("llmflowlab_requests_in_flight", **bearer) == 1


@pytest.mark.parametrize("ending_by", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_answers_under_way_are_finished_at_the_end(
    serve_lab: Lab, served: Served, ending_by: signal.Signals
) -> None:
    """Of a model of a run, which has the candidate's name."""
    port, log = free_port(), serve_lab.folder / "ended.log"
    run = MlflowClient(serve_lab.store).get_model_version(NAME, "1").run_id
    command = [sys.executable, "-m", "steps.serve", "--port", str(port)]
    command += ["--model", f"runs:/{run}/llama"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=serve_lab.environment(), stdout=out, stderr=out
        )
    try:
        served = Served(f"http://127.0.0.1:{port}", served.ollama)
        wait_until_up(f"{served.address}/health", process, log)
        rest = threading.Event()
        served.ollama.fault(Reply(chunks=[delta("one"), rest, ending(" last")]))
        chunks = served.client().chat.completions.create(model="llama", messages=ASKED, stream=True)
        texts = (chunk.choices[0].delta.content for chunk in chunks)
        assert next(text for text in texts if text) == "one"
        process.send_signal(ending_by)
        assert until(lambda: not listens(port))
        rest.set()
        assert [text for text in texts if text] == [" last"]
        assert process.wait(30) in (0, -signal.SIGTERM)
    finally:
        process.kill()
    assert "Traceback" not in log.read_text()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_model_that_is_not_there_is_told_in_a_sentence(serve_lab: Lab) -> None:
    port = str(free_port())
    done = serve_lab.step("serve", "--model", "models:/none@staging", "--port", port)
    assert done.returncode == 1
    assert "models:/none@staging cannot be served" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_cannot_be_reached_is_told_without_its_password(serve_lab: Lab) -> None:
    store = "http://someone:a-password@127.0.0.1:9"
    env = serve_lab.environment() | {
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    given = ("--model", f"models:/{NAME}/1", "--port", str(free_port()))
    done = serve_lab.step("serve", *given, env=env, cwd=ROOT)
    assert done.returncode == 1
    assert "cannot be served: API request to http://127.0.0.1:9" in done.stderr
    assert "a-password" not in done.stderr
    assert "Traceback" not in done.stderr
