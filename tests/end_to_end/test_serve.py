"""`serve` as its clients see it, through OpenAI's own client, with Ollama behind it."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from openai import OpenAI

from tests.end_to_end.lab import ROOT, Lab, free_port, until, wait_until_up
from tests.servers.ollama import MODEL, OllamaServer, Reply, delta, ending

NAME = "llm_ollama_chat"
CONFIG = f"""
defaults: {{timeout_s: 30, concurrency: 2}}
candidates:
  - {{name: llama, provider: ollama, model: "{MODEL}", registered_name: {NAME}}}
"""
REGISTER = f"""
import sys, mlflow
made = mlflow.register_model(sys.argv[1], "{NAME}")
mlflow.MlflowClient().set_registered_model_alias("{NAME}", "staging", made.version)
"""
PACKED = """
import sys, mlflow
from mlflow.artifacts import download_artifacts
print(download_artifacts(sys.argv[1]))
"""
LOGGED_IN = f"""
import mlflow
print(mlflow.MlflowClient().get_model_version("{NAME}", "1").run_id)
"""
TOKEN = "a-token-that-is-long-enough"
PRIVATE = "words that are private"
ASKED: Any = [{"role": "user", "content": "say yes"}]
LATER = {"Retry-After": "7.2"}  # longer than the server retries for a client
TOLD = "the model's provider refused the request as wrong"
CHAT = "/v1/chat/completions"


class Served:
    """A running `serve`, and the Ollama behind it."""

    def __init__(self, address: str, ollama: OllamaServer) -> None:
        self.address, self.ollama = address, ollama
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "", parts.port or 0

    def client(self, token: str = "none") -> OpenAI:
        return OpenAI(base_url=f"{self.address}/v1", api_key=token, max_retries=0)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, str]:
        """(status, headers, body)"""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            known = {"Content-Type": "application/json"} | headers
            connection.request(method, path, body and json.dumps(body), known)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read().decode()
        finally:
            connection.close()

    def figure(self, name: str, **headers: str) -> float:
        """One line of /metrics; 0 where it has not been counted yet."""
        page = self.ask("GET", "/metrics", **headers)[2]
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def answered(self, status: int = 200) -> float:
        return self.figure(f'llmflowlab_requests_total{{route="{CHAT}",status="{status}"}}')


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, ollama: OllamaServer) -> Lab:
    """With a registered model, whose packed code says PACKED where the project's does not."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "config.yaml").write_text(CONFIG)
    lab = Lab(
        folder,
        {
            "OLLAMA_HOST": ollama.url,
            "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "3",
            "LLMFLOWLAB_MAX_BODY_BYTES": "10000",
        },
    )
    logged = lab.step("log_models")
    assert logged.returncode == 0, logged.stderr
    uri = re.findall(r"models:/m-\w+", logged.stdout)[0]
    where = lab.run(sys.executable, "-c", PACKED, uri)
    packed = Path(where.stdout.strip()) / "code" / "llm_models" / "errors.py"
    packed.write_text(packed.read_text().replace(TOLD, f"PACKED {TOLD}"))
    registered = lab.run(sys.executable, "-c", REGISTER, uri)
    assert registered.returncode == 0, registered.stderr
    return lab


@contextmanager
def serving(lab: Lab, *options: str, **more: str) -> Iterator[str]:
    port = free_port()
    given = ("--model", f"models:/{NAME}@staging", "--port", str(port), *options)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "steps.serve", *given]
    with lab.running(command, f"{address}/health", cwd=ROOT, **more):
        yield address


@pytest.fixture(scope="module")
def served(lab: Lab, ollama: OllamaServer) -> Iterator[Served]:
    with serving(lab) as address:
        served = Served(address, ollama)
        yield served
        served.ollama.__exit__()


@pytest.fixture(autouse=True)
def clean(served: Served) -> Iterator[None]:
    served.ollama.left.clear()
    yield
    served.ollama.forget_faults()


def test_an_answer_has_the_form_of_openai(served: Served) -> None:
    raw = served.client().chat.completions.with_raw_response.create(model=NAME, messages=ASKED)
    answer = raw.parse()
    assert raw.headers["x-model-version"] == f"{NAME}/1"
    assert answer.choices[0].message.content == "You said: say yes"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.system_fingerprint == raw.headers["x-model-fingerprint"]
    usage = answer.usage
    assert usage and usage.prompt_tokens + usage.completion_tokens == usage.total_tokens > 0


def test_a_stream_begins_with_the_role_and_ends_with_the_usage(served: Served) -> None:
    chunks = list(
        served.client().chat.completions.create(
            model=NAME, messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert [d.role for d in deltas] == ["assistant", *[None] * (len(deltas) - 1)]
    assert len(deltas) > 4
    assert "".join(d.content or "" for d in deltas) == "You said: say yes"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage and chunks[-1].usage.total_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_is_sent_as_it_is_written(served: Served) -> None:
    rest = threading.Event()
    served.ollama.fault(Reply(chunks=[delta("first"), rest, ending(" last")]))
    chunks = served.client().chat.completions.create(model=NAME, messages=ASKED, stream=True)
    texts = (chunk.choices[0].delta.content for chunk in chunks)
    assert next(text for text in texts if text) == "first"
    rest.set()
    assert [text for text in texts if text] == [" last"]


def test_sampling_options_reach_the_provider(served: Served) -> None:
    served.client().chat.completions.create(
        model=f"{NAME}@staging",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "say "}, {"type": "text", "text": "no"}],
            },
        ],
        temperature=0,
        top_p=0.5,
        max_completion_tokens=9,
        stop="END",
        seed=3,
        n=1,
        user="someone",
    )
    sent = served.ollama.requests[-1].body
    wanted = {"temperature": 0, "top_p": 0.5, "num_predict": 9, "stop": ["END"], "seed": 3}
    assert sent["options"].items() >= wanted.items()
    assert [m["content"] for m in sent["messages"]] == ["Be brief.", "say no"]


def test_the_names_of_the_model_are_listed(served: Served) -> None:
    client = served.client()
    names = [model.id for model in client.models.list()]
    assert names == [NAME, f"{NAME}@staging", f"{NAME}/1"]
    assert client.models.retrieve(f"{NAME}@staging").model_extra["version"] == "1"
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.chat.completions.create(model="gpt-5", messages=ASKED)


GONE = Reply(404, {"error": "model not found"})
FAULTS: dict[str, tuple[Reply, type[openai.APIStatusError], int, str]] = {
    "wrong": (Reply(400, {"error": PRIVATE}), openai.BadRequestError, 400, "invalid_request"),
    "no key": (Reply(401, {"error": PRIVATE}), openai.AuthenticationError, 401, "invalid_api_key"),
    "gone": (
        Reply(404, {"error": "model not found"}),
        openai.NotFoundError,
        404,
        "model_not_found",
    ),
    "often": (
        Reply(429, {"error": PRIVATE}, headers=LATER),
        openai.RateLimitError,
        429,
        "rate_limit_exceeded",
    ),
    "failed": (
        Reply(500, {"error": PRIVATE}, headers=LATER),
        openai.InternalServerError,
        502,
        "server_error",
    ),
    "silent": (Reply(hold=threading.Event()), openai.InternalServerError, 504, "timeout"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("fault", "kind", "status", "code"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_the_provider_is_openais_error(
    served: Served, fault: Reply, kind: type, status: int, code: str, stream: bool
) -> None:
    served.ollama.fault(*[fault] * 10)
    with pytest.raises(kind) as caught:
        served.client().chat.completions.create(model=NAME, messages=ASKED, stream=stream)
    error: Any = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert error.response.headers.get("retry-after") == (
        "8" if "Retry-After" in fault.headers else None
    )
    assert PRIVATE not in error.response.text


def test_a_429_always_tells_when_to_come_back(served: Served) -> None:
    served.ollama.fault(*[Reply(429, {"error": "slow down"})] * 10)
    for path, body in (
        (CHAT, {"model": NAME, "messages": ASKED}),
        ("/invocations", {"prompt": "x"}),
    ):
        status, headers, _ = served.ask("POST", path, body)
        assert (status, headers["Retry-After"]) == (429, "1")


def test_what_is_served_is_the_packed_code(served: Served) -> None:
    served.ollama.fault(Reply(400, {"error": "wrong"}))
    with pytest.raises(openai.BadRequestError, match=f"PACKED {TOLD}"):
        served.client().chat.completions.create(model=NAME, messages=ASKED)


def test_an_error_within_a_stream_is_told_in_it(served: Served) -> None:
    served.ollama.fault(Reply(chunks=[delta("one"), {"error": f"boom {PRIVATE}"}]))
    chunks = served.client().chat.completions.create(model=NAME, messages=ASKED, stream=True)
    got: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        got += [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert caught.value.code in ("server_error", "incomplete")
    assert PRIVATE not in str(caught.value.body)


def test_who_leaves_a_stream_ends_the_providers_answer(served: Served) -> None:
    rest = threading.Event()
    served.ollama.fault(Reply(chunks=[delta("one"), rest, *[delta("x" * 1000)] * 3000]))
    before = served.answered()
    chunks = served.client().chat.completions.create(model=NAME, messages=ASKED, stream=True)
    next(iter(chunks))
    chunks.close()
    assert until(lambda: served.answered() == before + 1)
    rest.set()
    assert served.ollama.left.wait(10)


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    served: Served, given: dict[str, Any], parameter: str
) -> None:
    before = served.ollama.calls["/api/chat"]
    with pytest.raises(openai.BadRequestError) as caught:
        served.client().chat.completions.create(**({"model": NAME, "messages": ASKED} | given))
    assert caught.value.param == parameter
    assert served.ollama.calls["/api/chat"] == before


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


def test_what_is_too_large_or_no_json_is_refused_in_openais_form(served: Served) -> None:
    text = {"model": NAME, "messages": [{"role": "user", "content": "x" * 10_001}]}
    status, _, body = served.ask("POST", CHAT, text)
    assert (status, json.loads(body)["error"]["code"]) == (413, "too_large")
    small = {"model": NAME, "messages": ASKED}
    status, _, body = served.ask("POST", CHAT, small, **{"Content-Type": "text/plain"})
    assert (status, json.loads(body)["error"]["code"]) == (415, "unknown_type")


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
def stock(lab: Lab, ollama: OllamaServer) -> Iterator[Served]:
    with lab.serving(f"models:/{NAME}@staging", "--env-manager", "local") as address:
        yield Served(address, ollama)


def test_two_processes_behind_a_token_count_together(lab: Lab, served: Served) -> None:
    with serving(lab, "--workers", "2", LLMFLOWLAB_SERVE_TOKEN=TOKEN) as address:
        served = Served(address, served.ollama)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
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


def test_a_sigterm_lets_answers_under_way_finish(lab: Lab, served: Served) -> None:
    """Of a model of a run, which has the candidate's name."""
    port, log = free_port(), lab.folder / "ended.log"
    run = lab.run(sys.executable, "-c", LOGGED_IN).stdout.strip()
    command = [sys.executable, "-m", "steps.serve", "--port", str(port)]
    command += ["--model", f"runs:/{run}/llama"]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=lab.environment(), stdout=out, stderr=out)
    served = Served(f"http://127.0.0.1:{port}", served.ollama)
    wait_until_up(f"{served.address}/health", process, log)
    rest = threading.Event()
    served.ollama.fault(Reply(chunks=[delta("one"), rest, ending(" last")]))
    chunks = served.client().chat.completions.create(model="llama", messages=ASKED, stream=True)
    texts = (chunk.choices[0].delta.content for chunk in chunks)
    assert next(text for text in texts if text) == "one"
    process.send_signal(signal.SIGTERM)
    assert until(lambda: not listens(port))
    rest.set()
    assert [text for text in texts if text] == [" last"]
    assert process.wait(30) in (0, -signal.SIGTERM)
    assert "Traceback" not in log.read_text()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_model_that_is_not_there_is_told_in_a_sentence(lab: Lab) -> None:
    port = str(free_port())
    done = lab.step("serve", "--model", "models:/none@staging", "--port", port)
    assert done.returncode == 1
    assert "models:/none@staging cannot be served" in done.stderr
    assert "Traceback" not in done.stderr
