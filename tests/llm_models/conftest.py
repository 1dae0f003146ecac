"""Loopback servers, a model that asks each, and logged models."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.pyfunc import PyFuncModel

from llm_models import base
from llm_models.ollama import Ollama
from llm_models.openai import OpenAI
from llm_models.schema import ModelConfig
from steps.core import tracking
from steps.core.answering.candidates import resolve_all
from steps.core.config import load
from steps.core.environment import DEFAULTS
from steps.core.logged_models import ensure_logged
from tests.servers import openai
from tests.servers.ollama import MODEL, OllamaServer
from tests.servers.openai import OpenAIServer

OllamaModel = Callable[..., Ollama]
OpenAIModel = Callable[..., OpenAI]
ASKED = "Which city is the capital of France?"
ANSWER = "Paris is the capital of France."
CONFIG = """
defaults: {temperature: 0.2, stop: [END], concurrency: 4, deadline_s: 5}
candidates:
  - {name: baseline, provider: baseline, model: bm25, registered_name: r,
     options: {knowledge: text.md}}
  - {name: ollama, provider: ollama, model: "llama3.1:8b", registered_name: r, system: Be brief.}
"""


@pytest.fixture
def ollama_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    for name in ("OLLAMA_HOST", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.01)
    with OllamaServer() as server:
        yield server


@pytest.fixture
def ollama_model(ollama_server: OllamaServer) -> OllamaModel:
    """Builds a model of the loopback server; keywords are fields of ModelConfig."""

    def build(**fields: Any) -> Ollama:
        known = {"model": MODEL, "base_url": ollama_server.url, "price": {"free": True}} | fields
        return Ollama(ModelConfig(candidate="test", provider="ollama", **known))

    return build


@pytest.fixture
def openai_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", openai.KEY)
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.01)
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def openai_model(openai_server: OpenAIServer) -> OpenAIModel:
    """Builds a model of the loopback server; keywords are fields of ModelConfig."""

    def build(**fields: Any) -> OpenAI:
        known = {"model": openai.MODEL, "base_url": openai_server.url} | fields
        return OpenAI(ModelConfig(candidate="test", provider="openai", **known))

    return build


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The folders of logged models by candidate; what they were packed from is gone."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "text.md").write_text(f"{ANSWER}\n\nBananas are yellow.\n")
    (folder / "config.yaml").write_text(CONFIG)
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch, OllamaServer() as server, chdir(folder):
        for name, value in (DEFAULTS | {"OLLAMA_HOST": server.url}).items():
            patch.setenv(name, value)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        try:
            client = tracking.connect()
            patch.setenv("MLFLOW_EXPERIMENT_ID", "0")
            ready, _ = resolve_all(load(folder / "config.yaml"), "all")
            made = {one.candidate.name: ensure_logged(client, one, "0")[0] for one in ready}
            models = {name: client.get_logged_model(model) for name, model in made.items()}
        finally:
            mlflow.set_tracking_uri(before)
    (folder / "text.md").unlink()
    return {name: Path(m.artifact_location.removeprefix("file://")) for name, m in models.items()}


@pytest.fixture(scope="session")
def baseline(packed: Mapping[str, Path]) -> PyFuncModel:
    return mlflow.pyfunc.load_model(str(packed["baseline"]))


@pytest.fixture
def ollama(
    packed: Mapping[str, Path], ollama_server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> PyFuncModel:
    monkeypatch.setenv("OLLAMA_HOST", ollama_server.url)
    return mlflow.pyfunc.load_model(str(packed["ollama"]))
