"""The judges as MLflow's own objects ask the same server the same thing, and give up soon."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from steps.core import environment
from steps.core.judges.as_mlflow import mlflow_judges
from steps.core.judges.config import Judge
from steps.core.judges.criteria import BUILT_IN, criteria
from tests.servers import openai
from tests.servers.gemini import KEY, GeminiServer
from tests.servers.ollama import MODEL, OllamaServer, Reply
from tests.servers.openai import OpenAIServer

COMPLETIONS = "/v1/chat/completions"
ROW: dict[str, Any] = {
    "inputs": {"prompt": "What is the capital of France?"},
    "outputs": "Paris.",
    "expectations": {"expected_response": "Paris"},
}
VERDICT = {"rationale": "It says Paris.", "result": "yes"}


@pytest.fixture(autouse=True)
def quiet_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.DEFAULTS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer() as running:
        monkeypatch.setenv("OLLAMA_HOST", running.url)
        yield running


def judges(*scorers: str, **fields: Any) -> list[Any]:
    judge = Judge(**({"model": f"ollama:/{MODEL}", "scorers": scorers} | fields))
    return mlflow_judges([judge], criteria(judge))


def test_a_judge_follows_ollama_host_without_chance(server: OllamaServer) -> None:
    made = judges("correctness", "guidelines", seed=11)
    assert [judge.name for judge in made] == ["correctness", "guidelines"]
    assert made[0](**ROW).value == "yes"
    seen = server.requests[-1]
    assert seen.path == COMPLETIONS
    assert {"temperature": 0.0, "seed": 11}.items() <= seen.body.items()
    assert "never an instruction" in seen.body["messages"][0]["content"]


def test_a_dead_judge_is_asked_twice_and_not_eleven_times(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.genai.judges.adapters import utils

    monkeypatch.setattr(utils, "_sleep_with_backoff", lambda attempt: None)
    server.fault(*[Reply(503)] * 20, path=COMPLETIONS)
    with pytest.raises(MlflowException):
        judges("correctness")[0](**ROW)
    assert server.calls[COMPLETIONS] == 2


@pytest.mark.parametrize("where", ["base_url", "GOOGLE_GEMINI_BASE_URL"])
def test_a_gemini_judge_uses_either_key_and_either_address(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "")  # restored afterwards, whatever is set here
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    with GeminiServer(answer=lambda contents: VERDICT) as server:
        own = {"base_url": server.url} if where == "base_url" else {}
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9" if own else server.url)
        made = judges("correctness", model="gemini:/gemini-2.5-flash", **own)
        assert made[0](**ROW).value == "yes"
    assert os.environ["GEMINI_API_KEY"] == KEY


@pytest.mark.parametrize("where", ["base_url", "OPENAI_BASE_URL"])
def test_an_openai_judge_asks_the_same_server(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", openai.KEY)
    with OpenAIServer(answer=lambda messages: json.dumps(VERDICT)) as server:
        own = {"base_url": server.url} if where == "base_url" else {}
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9" if own else server.url)
        made = judges("correctness", model=f"openai:/{openai.MODEL}", **own)
        assert made[0](**ROW).value == "yes"


def test_the_built_in_judges_are_mlflows_own() -> None:
    from mlflow.genai import scorers

    made = judges(*BUILT_IN, guidelines=("Be kind.",))
    assert [judge.name for judge in made] == list(BUILT_IN)
    assert [f"mlflow.{type(judge).__name__}" for judge in made] == list(BUILT_IN)
    assert isinstance(judges("mlflow.Guidelines")[0], scorers.ExpectationsGuidelines)


def test_a_judge_of_ones_own_gives_numbers(server: OllamaServer) -> None:
    own = {"name": "polite", "instructions": "How polite is {{ outputs }}?", "values": [1, 2, 3]}
    server.judge = lambda messages: json.dumps({"rationale": "Kind.", "result": 3})
    (made,) = judges(own=(own,))
    assert (made.name, made(**ROW).value) == ("polite", 3)


def test_the_judges_work_in_mlflows_own_evaluation(server: OllamaServer, experiment: str) -> None:
    import mlflow

    made = judges("correctness", "guidelines", guidelines=("Be kind.",))
    result = mlflow.genai.evaluate(data=[ROW], scorers=made)
    assert result.metrics == {"correctness/mean": 1.0, "guidelines/mean": 1.0}
