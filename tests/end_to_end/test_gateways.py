"""Candidates and judges behind gateways: the real LiteLLM proxy and the real MLflow AI Gateway."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from mlflow import MlflowClient

from llm_models import base
from llm_models.errors import CallError
from llm_models.openai import OpenAI
from llm_models.schema import ModelConfig, Request, Sampling, Usage
from tests.end_to_end.conftest import ollama_that_knows
from tests.end_to_end.gateways import LITELLM, MASTER_KEY, litellm, mlflow_gateway
from tests.end_to_end.lab import Lab
from tests.servers import openai
from tests.servers.ollama import OllamaServer
from tests.servers.openai import (
    CHAT,
    MODEL,
    SNAPSHOT,
    OpenAIServer,
    Reply,
    completion,
    delta,
    error,
    event,
    streamed,
)

pytestmark = pytest.mark.skipif(not LITELLM.exists(), reason="LiteLLM is missing: make litellm")

HELLO = Request(({"role": "user", "content": "hello"},))
QUOTA = "You exceeded your current quota, please check your plan and billing details."
FLAGGED = "Invalid prompt: it was flagged as potentially violating our usage policy."
LONG = "This model's maximum context length is 8192 tokens."
CONFIG = """
defaults: {temperature: 0.2, max_tokens: 64, timeout_s: 20, system: Be right.}
candidates:
  - {name: by-litellm, provider: openai, model: gpt, base_url: LITELLM,
     registered_name: llm_gateway_chat}
  - {name: ollama-by-litellm, provider: openai, model: llama, base_url: LITELLM,
     registered_name: llm_gateway_chat}
  - {name: by-mlflow, provider: openai, model: gpt, base_url: MLFLOW,
     registered_name: llm_gateway_chat}
prices: {openai/gpt: {input: 1, output: 2}, openai/llama: {per_hour: 0}}
judge: {model: "openai:/judge", base_url: LITELLM, scorers: [correctness]}
gates: {staging: [{metric: correctness/mean, min: 0.5}]}
"""


@dataclass(frozen=True)
class Gateway:
    """Both names of one endpoint `gpt`, which asks `upstream`."""

    name: str
    url: str
    upstream: OpenAIServer

    def model(self, model: str = "gpt") -> OpenAI:
        made = OpenAI(ModelConfig("c", "openai", model, base_url=self.url, timeout_s=20))
        made.stopped.set()  # one attempt is enough
        return made

    def failure(self, reply: Reply, *, stream: bool = False) -> CallError:
        self.upstream.fault(reply)
        with pytest.raises(CallError) as caught:
            list(self.model().chunks(HELLO, stream=stream))
        return caught.value


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaServer]:
    with ollama_that_knows() as server:
        yield server


@pytest.fixture(scope="module")
def upstream(ollama: OllamaServer) -> Iterator[OpenAIServer]:
    with OpenAIServer(answer=ollama.answer) as server:
        yield server


@pytest.fixture(scope="module")
def folder_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("gateways"), {"OPENAI_API_KEY": MASTER_KEY})


@pytest.fixture(scope="module")
def urls(folder_lab: Lab, upstream: OpenAIServer, ollama: OllamaServer) -> Iterator[dict[str, str]]:
    def by_ollama(model: str) -> dict[str, str]:
        return {"model": f"ollama_chat/{model}", "api_base": ollama.url}

    by_openai = {"model": f"openai/{MODEL}", "api_base": upstream.url, "api_key": openai.KEY}
    models = {"gpt": by_openai, "llama": by_ollama("llama3.1:8b"), "judge": by_ollama("judge:8b")}
    with (
        litellm(folder_lab, models) as proxy,
        mlflow_gateway(folder_lab, "gpt", MODEL, upstream.url) as gateway,
    ):
        yield {"litellm": proxy, "mlflow": gateway}


@pytest.fixture(params=["litellm", "mlflow"])
def gateway(
    request: pytest.FixtureRequest,
    urls: dict[str, str],
    upstream: OpenAIServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Gateway:
    monkeypatch.setenv("OPENAI_API_KEY", MASTER_KEY)
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.01)
    return Gateway(request.param, urls[request.param], upstream)


def test_an_answer_comes_through_with_its_counts(gateway: Gateway) -> None:
    counts = {"prompt_tokens_details": {"cached_tokens": 20}}
    counts |= {"completion_tokens_details": {"reasoning_tokens": 9}}
    gateway.upstream.fault(Reply(body=completion("Hi", usage=openai.USAGE | counts)))

    outcome = gateway.model().complete(HELLO)

    assert (outcome.status, outcome.text, outcome.finish_reason) == ("ok", "Hi", "stop")
    assert outcome.usage == Usage(26, 3, 9, 20, 38)
    assert outcome.model_version == {"litellm": "gpt", "mlflow": SNAPSHOT}[gateway.name]


def test_a_stream_comes_through_piece_by_piece_with_its_counts(gateway: Gateway) -> None:
    pieces = [delta("You"), delta(" said"), delta(" hi"), delta(finish="stop")]
    gateway.upstream.fault(streamed(*pieces, event(usage=openai.USAGE)))

    *texts, outcome = gateway.model().stream(HELLO)

    assert (texts, outcome.status) == (["You", " said", " hi"], "ok")
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (26, 12)


def test_who_answers_is_told_before_anything_is_asked(gateway: Gateway) -> None:
    before = gateway.upstream.calls[CHAT]

    identity = gateway.model().identity()
    with pytest.raises(CallError, match=r"has no model 'gpt-5'; it has gpt") as caught:
        gateway.model("gpt-5").identity()

    behind = {"serves": f"openai/{MODEL}"} if gateway.name == "litellm" else {}
    assert identity == {"server": gateway.url} | behind
    assert caught.value.kind == "model_not_found"
    assert gateway.upstream.calls[CHAT] == before


FAULTS: dict[str, tuple[Reply, str]] = {
    "rate limit": (Reply(429, error("slower", "requests")), "rate_limited"),
    "quota": (Reply(429, error(QUOTA, "insufficient_quota")), "quota_exhausted"),
    "too long": (Reply(400, error(LONG, code="context_length_exceeded")), "context_overflow"),
    "bad key": (Reply(401, error("Incorrect API key")), "unauthenticated"),
    "no model": (Reply(404, error("The model `x` does not exist")), "model_not_found"),
    "blocked": (Reply(400, error(FLAGGED, code="invalid_prompt")), "blocked"),
    "5xx": (Reply(500, error("boom", "server_error")), "server_error"),
    "overloaded": (Reply(503, error("overloaded")), "overloaded"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("reply", "kind"), FAULTS.values(), ids=FAULTS)
def test_a_refusal_of_the_supplier_is_classified(
    gateway: Gateway, reply: Reply, kind: str, stream: bool
) -> None:
    assert gateway.failure(reply, stream=stream).kind == kind


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(body=completion(None)), "empty"),
        (Reply(body=completion("Hi", finish="length")), "truncated"),
        (Reply(body=completion("", finish="content_filter")), "blocked"),
        (Reply(502, "<html><h1>Bad gateway</h1></html>"), "error"),
    ],
)
def test_an_answer_that_is_none_stays_none(gateway: Gateway, reply: Reply, status: str) -> None:
    gateway.upstream.fault(reply)

    assert gateway.model().complete(HELLO).status == status


def test_an_error_in_the_middle_of_a_stream_makes_no_answer(gateway: Gateway) -> None:
    gateway.upstream.fault(streamed(delta("half"), error("boom", "server_error")))

    *texts, outcome = gateway.model().stream(HELLO)

    assert (texts, outcome.status, outcome.text) == (["half"], "incomplete", None)


def test_a_field_that_the_supplier_refuses_is_sent_otherwise(gateway: Gateway) -> None:
    text = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    gateway.upstream.fault(Reply(400, error(text, param="max_tokens")))
    request = Request(HELLO.messages, sampling=Sampling(max_tokens=64))

    outcome = gateway.model().complete(request)

    assert outcome.status == "ok"
    assert gateway.upstream.requests[-1].body["max_completion_tokens"] == 64


@pytest.mark.parametrize(
    ("key", "kind"), [("sk-another-key-0123456789", "unauthenticated"), (None, "server_error")]
)
def test_litellm_without_the_right_key(
    urls: dict[str, str], monkeypatch: pytest.MonkeyPatch, key: str | None, kind: str
) -> None:
    if key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    model = OpenAI(ModelConfig("c", "openai", "gpt", base_url=urls["litellm"]))

    with pytest.raises(CallError) as caught:
        model.identity()

    assert caught.value.kind == kind
    assert "OPENAI_API_KEY" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(500, {"error": "model requires more system memory (9 GiB)"}), "model_load_failed"),
        (Reply(503, {"error": "server busy, please try again"}), "overloaded"),
        (Reply(404, {"error": "model 'llama3.1:8b' not found"}), "model_not_found"),
    ],
)
def test_what_ollama_says_through_litellm_is_understood(
    urls: dict[str, str],
    ollama: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
    kind: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", MASTER_KEY)
    model = OpenAI(ModelConfig("c", "openai", "llama", base_url=urls["litellm"]))
    ollama.fault(reply)

    with pytest.raises(CallError) as caught:
        list(model.chunks(HELLO, stream=False))

    assert caught.value.kind == kind


@pytest.fixture(scope="module")
def lab(folder_lab: Lab, urls: dict[str, str]) -> Lab:
    """Its tracking server is the one whose gateway it asks."""
    text = CONFIG.replace("LITELLM", urls["litellm"]).replace("MLFLOW", urls["mlflow"])
    (folder_lab.folder / "config.yaml").write_text(text)
    tracked = {"MLFLOW_TRACKING_URI": urls["mlflow"].removesuffix("/gateway/mlflow/v1")}
    return Lab(folder_lab.folder, folder_lab.variables | tracked)


@pytest.fixture(scope="module")
def main_job(lab: Lab) -> str:
    done = lab.step("main", "--limit", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_main_job_goes_through_both_with_a_judge_behind_one(main_job: str, lab: Lab) -> None:
    assert "models:/llm_gateway_chat@staging is version" in main_job
    client = MlflowClient(lab.variables["MLFLOW_TRACKING_URI"])
    runs = client.search_runs(["0"], "tags.kind = 'evaluation'")
    by_name = {run.data.tags["candidate"]: run.data for run in runs}
    assert by_name.keys() == {"by-litellm", "ollama-by-litellm", "by-mlflow"}
    for data in by_name.values():
        assert data.params["supplier"] == "openai"
        assert (data.metrics["status/ok"], data.metrics["error_rate"]) == (6, 0)
        assert data.metrics["correctness/mean"] == 1
        assert data.metrics["total_tokens"] > 0
    costs = {name: data.metrics["total_cost_estimate"] for name, data in by_name.items()}
    assert costs["by-litellm"] == costs["by-mlflow"] > costs["ollama-by-litellm"] == 0


def test_plan_and_doctor_know_both(lab: Lab) -> None:
    planned, found = lab.step("plan", "--limit", "6"), lab.step("doctor")

    assert planned.returncode == 0, planned.stderr
    assert found.returncode == 0, found.stdout
    for name in ("by-litellm", "ollama-by-litellm", "by-mlflow"):
        assert name in planned.stdout
        assert re.search(rf"{name} +can be asked: server http", found.stdout)
    assert "openai:/judge can be asked" in found.stdout


def test_no_key_is_kept_anywhere(main_job: str, lab: Lab) -> None:
    scanned = lab.step("scan")
    assert "llm_gateway_chat" in main_job
    assert scanned.stdout.splitlines()[-1] == "verdict: pass", scanned.stdout
