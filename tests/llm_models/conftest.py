"""Loopback servers, and a model that asks each."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_models import base
from llm_models.ollama import Ollama
from llm_models.openai import OpenAI
from llm_models.schema import ModelConfig
from tests.servers import openai
from tests.servers.ollama import MODEL, OllamaServer
from tests.servers.openai import OpenAIServer

OllamaModel = Callable[..., Ollama]
OpenAIModel = Callable[..., OpenAI]


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
