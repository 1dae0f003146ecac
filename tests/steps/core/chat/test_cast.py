"""Who can be talked to, by name and by number."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_models.errors import InputError
from steps.core.chat.cast import Cast
from steps.core.config import load
from tests.servers.ollama import OllamaServer
from tests.steps.conftest import ConfigWriter, baseline


@pytest.fixture
def cast(server: OllamaServer, write_config: ConfigWriter, tmp_path: Path) -> Iterator[Cast]:
    absent = {"name": "absent", "model": "qwen3:4b"}
    config = write_config(
        {}, absent, {"name": "two", "model": "llama3.2:3b"}, baseline("good", tmp_path)
    )
    with Cast(load(config)) as cast:
        yield cast


def names(cast: Cast, spec: str) -> list[str]:
    return [speaker.name for speaker in cast.meet(spec)]


def test_the_available_ones_are_numbered_and_the_others_told_with_the_remedy(
    cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    met = cast.meet("available")
    assert [one.name for one in met] == ["one", "two", "good"]
    assert "absent skipped: " in (told := capsys.readouterr().err)
    assert "ollama pull qwen3:4b" in told
    assert cast.menu(met[1:2]).splitlines() == [
        "  1  one   llama3.1:8b by ollama",
        "* 2  two   llama3.2:3b by ollama",
        "  3  good  bm25 by baseline",
    ]
    assert names(cast, "3, two,3") == ["good", "two"]


def test_those_met_by_name_come_first_and_stay_the_same(cast: Cast) -> None:
    (two,) = cast.meet("two")
    assert list(cast.known) == ["two"]
    assert [one.name for one in cast.everyone()] == ["two", "one", "good"]
    assert cast.meet("two") == [two]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tow", r"unknown candidates: 'tow' \(did you mean 'two'\?\)"),
        ("absent", "ollama pull qwen3:4b"),
        ("2", "there is no number 2: /model lists them"),
        ("0", "there is no number 0"),
        (" , ", "unknown candidates: an empty list"),
    ],
)
def test_who_is_unknown_or_cannot_be_asked_is_refused(cast: Cast, spec: str, message: str) -> None:
    cast.meet("one")
    with pytest.raises(InputError, match=message):
        cast.meet(spec)
    assert list(cast.known) == ["one"]


def test_where_no_candidate_can_be_asked_those_already_met_remain(
    cast: Cast, server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    cast.config = cast.config.model_copy(update={"candidates": cast.config.candidates[:2]})
    (one,) = cast.meet("one")
    server.models = ()
    assert cast.everyone() == [one]
    assert "cannot be asked" in capsys.readouterr().err
