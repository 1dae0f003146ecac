"""What `serve` refuses before it becomes a server."""

from pathlib import Path

import pytest

from steps.serve import main as serve
from tests.steps.conftest import config_in, invoke

SERVED = {"model": "models:/llm_test@staging"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "such as models:/llm_test@staging"),
        ({"model": "llm_test"}, "such as models:/llm_test@staging"),
        (SERVED | {"port": "0"}, "port: '0' is not a whole number"),
        (SERVED | {"port": "65536"}, "port: '65536' is none"),
        (SERVED | {"workers": "many"}, "workers: 'many' is not a whole number"),
        (SERVED | {"limit": "x"}, "limit: 'x'"),
        (SERVED | {"data": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, given: dict[str, str], told: str) -> None:
    done = invoke(serve, config_in(tmp_path, {}), **given)
    assert done.exit_code == 1
    assert told in done.output


@pytest.mark.parametrize("token", ["short", "long enough, but ünusual"])
def test_a_token_that_is_none_is_refused_untold(
    tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMFLOWLAB_SERVE_TOKEN", token)
    done = invoke(serve, config_in(tmp_path, {}), **SERVED)
    assert done.exit_code == 1
    assert "LLMFLOWLAB_SERVE_TOKEN must have" in done.output
    assert token not in done.output
