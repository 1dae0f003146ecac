"""Judges on a loopback Ollama that is asked again at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_models import base
from steps.core import environment
from steps.core.answering.journal import Journal
from steps.core.judges.judging import Judging
from tests.servers.ollama import OllamaServer
from tests.steps.core.judges.lab import YES, BuildJudging, config_of


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.001)
    for name, value in environment.DEFAULTS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer(answer=lambda messages: YES) as running:
        yield running


@pytest.fixture
def judging(server: OllamaServer, journal: Journal) -> BuildJudging:
    """Builds a judging on the loopback server; keywords are fields of the config's judge."""
    return lambda **fields: Judging([config_of(server, **fields)], journal)
