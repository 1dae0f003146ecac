"""Language detection says nothing rather than something it does not know."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llm_models.errors import InputError
from steps.core import language
from steps.core.language import Language, detect


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The capital of France is Paris.", "en"),
        ("ESTO ES UNA PRUEBA", "es"),
        ("La capital de Francia es París.", "es"),
        ("La capitale de la France est Paris.", "fr"),
        ("Primera línea.\nSegunda línea.\r\n\tTercera.", "es"),
        ("こんにちは、元気ですか", "ja"),
        ("No lo sé", "es"),
        ("The answer is \ud800 forty-two, I think.", "en"),
    ],
)
def test_a_sentence_has_its_language(text: str, code: str) -> None:
    found = detect(text)
    assert found.code == code
    assert language.MIN_PROBABILITY <= found.probability <= 1


@pytest.mark.parametrize("text", ["", "12345", "42 km", "Sí", "a) b\n2)", "|---|", "Paris"])
def test_what_is_too_short_or_unclear_has_none(text: str) -> None:
    assert detect(text).code is None


@pytest.mark.parametrize(
    ("name", "code"), [("EN", "en"), ("es-MX", "es"), ("pt_BR", "pt"), (" fr ", "fr")]
)
def test_a_locale_becomes_a_code(name: str, code: str) -> None:
    assert language.code(name) == code


def test_the_name_of_a_language_is_no_code() -> None:
    with pytest.raises(InputError, match="'Spanish' is not a language code"):
        language.code("Spanish")


def test_the_users_model_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "lid.176.bin"
    monkeypatch.setenv(language.VARIABLE, str(own))
    with pytest.raises(InputError, match=r"lid\.176\.bin cannot be read"):
        detect("A sentence in English.")
    own.write_bytes(language.SHIPPED.read_bytes())
    assert detect("A sentence in English.").code == "en"


def test_a_path_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(language.VARIABLE, "/nowhere/lid.176.bin")
    assert detect("A sentence in English.", path=str(language.SHIPPED)).code == "en"


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    pointer = tmp_path / "lid.bin"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match=r"lid\.bin cannot be read.*wrong file format"):
        detect("A sentence in English.", path=str(pointer))


def test_threads_share_one_silent_load(capfd: pytest.CaptureFixture[str]) -> None:
    language._load.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(detect, ["La capital de Francia es París."] * 40))
    assert len(found) == 1
    assert isinstance(found.pop(), Language)
    assert language._load.cache_info().misses == 1
    assert capfd.readouterr() == ("", "")
