"""What is too much for a served model, and how an operator says so."""

import pytest

from llm_models.errors import KINDS, InputError, TooLargeError
from llm_models.payload import request_of
from llm_models.request_limits import Limits
from llm_models.schema import Request, Sampling

SMALL = Limits(body_bytes=10, rows=2, prompt_chars=8)


def asking(prompt: str, system: str | None = None) -> Request:
    return request_of({"prompt": prompt}, system, Sampling())


def test_the_environment_sets_each_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Limits.from_environment() == Limits()
    for number, name in enumerate(("BODY_BYTES", "ROWS", "PROMPT_CHARS", "REQUESTS"), start=5):
        monkeypatch.setenv(f"LLMFLOWLAB_MAX_{name}", str(number))
    assert Limits.from_environment() == Limits(5, 6, 7, 8)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "²"])
def test_a_limit_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LLMFLOWLAB_MAX_ROWS", value)
    with pytest.raises(InputError, match=f"LLMFLOWLAB_MAX_ROWS must be .* not '{value}'"):
        Limits.from_environment()


def test_what_is_just_within_the_limits_is_taken() -> None:
    SMALL.check_body(10)
    SMALL.check_rows(2)
    SMALL.check_prompts([asking("12345678"), asking("1234", "5678")])


def test_a_refusal_names_the_place_and_the_limit_and_quotes_nothing() -> None:
    with pytest.raises(TooLargeError, match="longer than 10 bytes"):
        SMALL.check_body(11)
    with pytest.raises(TooLargeError, match="3 rows in one request, 2 are taken"):
        SMALL.check_rows(3)
    with pytest.raises(TooLargeError, match=r"row 1: .* 9 characters, 8 are taken") as caught:
        SMALL.check_prompts([asking("12345678"), asking("secret-1", "s")])
    assert "secret" not in str(caught.value)
    assert KINDS[caught.value.kind].http == 413
