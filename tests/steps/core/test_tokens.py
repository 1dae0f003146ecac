"""Tokens are counted with the shipped vocabulary, and nothing is ever downloaded."""

import hashlib
import socket
from pathlib import Path
from typing import NoReturn

import pytest
import tiktoken

from llm_models.errors import InputError
from steps.core import language, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("tiktoken is great!", 6),
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 9),
    ],
)
def test_counts_are_those_openai_publishes(text: str, expected: int) -> None:
    assert tokens.count(text) == expected


def test_counts_equal_tiktokens_own_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / tokens.VOCABULARY.name).write_bytes(tokens.VOCABULARY.read_bytes())
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    reference = tiktoken.get_encoding("cl100k_base")
    for text in ("¿Qué tal, señor?\r\n\n  I'LL  go", "for i in x:\n\tpass  ", "👩‍🚀 12345", " "):
        assert tokens.count(text) == len(reference.encode_ordinary(text))


@pytest.mark.parametrize("text", ["<|endoftext|>", "a <|fim_prefix|> b", "broken \ud800 text"])
def test_text_that_tiktoken_treats_specially_is_ordinary(text: str) -> None:
    assert tokens.count(text) > 1


def test_a_chat_counts_its_frames_and_its_system_prompt() -> None:
    messages = [{"role": "user", "content": "tiktoken is great!"}]
    assert tokens.count_messages(None, messages) == 6 + 4 + 3
    assert tokens.count_messages("Be brief.", messages) == 6 + 4 + 3 + tokens.count("Be brief.") + 4


def test_a_damaged_vocabulary_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "vocabulary"
    damaged.write_bytes(tokens.VOCABULARY.read_bytes()[:-100])
    monkeypatch.setattr(tokens, "VOCABULARY", damaged)
    tokens._load.cache_clear()
    with pytest.raises(InputError, match="vocabulary is damaged"):
        tokens.count("hello")


def test_tokens_and_language_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> NoReturn:
        raise AssertionError(f"network used: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    tokens._load.cache_clear()
    language._load.cache_clear()
    assert tokens.count("tiktoken is great!") == 6
    assert language.detect("The capital of France is Paris.").code == "en"


@pytest.mark.parametrize("path", [tokens.VOCABULARY, language.SHIPPED], ids=lambda path: path.name)
def test_the_notice_states_the_digest_of_each_shipped_file(path: Path) -> None:
    notice = (path.parent / "NOTICE.md").read_text()
    assert path.name in notice
    assert hashlib.sha256(path.read_bytes()).hexdigest() in notice
