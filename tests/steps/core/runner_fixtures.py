"""Loopback servers that are asked again at once, and a journal of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_models import base
from steps.core.answering.journal import Journal
from tests.servers.gemini import KEY, GeminiServer
from tests.servers.ollama import OllamaServer
from tests.steps.core.runs import Gate


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.001)
    with OllamaServer() as server:
        yield server


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.001)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with GeminiServer() as server:
        yield server


@pytest.fixture
def gate(ollama: OllamaServer) -> Gate:
    ollama.answer = Gate()
    return ollama.answer


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Left open: calls that a stopped run has dropped may still write to it."""
    return Journal(tmp_path / "journal.sqlite")
