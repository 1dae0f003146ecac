"""A loopback Gemini and a model that asks it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_models import base
from llm_models.gemini import Gemini
from llm_models.schema import Completion, ModelConfig, Request
from tests.servers.gemini import KEY, MODEL, GeminiServer

PRICE = {"input": 1.0, "output": 1.0}
HELLO = Request(({"role": "user", "content": "hello"},))


@pytest.fixture
def gemini_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    for name in ("GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.001)
    with GeminiServer() as server:
        yield server


@pytest.fixture
def gemini_model(gemini_server: GeminiServer) -> Callable[..., Gemini]:
    """Builds a model of the loopback server; keywords are fields of ModelConfig."""

    def build(**fields: Any) -> Gemini:
        known = {"model": MODEL, "base_url": gemini_server.url, "price": PRICE} | fields
        return Gemini(ModelConfig(candidate="test", provider="gemini", **known))

    return build


@pytest.fixture(params=["complete", "stream"])
def ask(request: pytest.FixtureRequest) -> Callable[[Gemini], Completion]:
    """Either way of asking; both end in one Completion."""
    if request.param == "complete":
        return lambda model: model.complete(HELLO)
    return lambda model: list(model.stream(HELLO))[-1]  # type: ignore[return-value]
