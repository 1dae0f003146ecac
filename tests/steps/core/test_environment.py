"""What every step makes of the variables of its environment."""

import os

import pytest

from steps.core.environment import prepare

ACCOUNT = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Whatever is set in it is as before once the test has ended."""
    for name in (*ACCOUNT, "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("uri", "kept", "account"),
    [
        ("http://lab:p%40ss@host:5000/x", "http://host:5000/x", ["lab", "p@ss"]),
        ("https://lab:p:w@host", "https://host", ["lab", "p:w"]),
        ("http://host:5000", "http://host:5000", [None, None]),
        ("postgresql://lab:pass@host/db", "postgresql://lab:pass@host/db", [None, None]),
    ],
)
def test_the_address_that_mlflow_prints_holds_no_password(
    environment: pytest.MonkeyPatch, uri: str, kept: str, account: list[str | None]
) -> None:
    environment.setenv("MLFLOW_TRACKING_URI", uri)

    prepare()

    assert os.environ["MLFLOW_TRACKING_URI"] == kept
    assert [os.environ.get(name) for name in ACCOUNT] == account


def test_an_account_in_variables_wins(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MLFLOW_TRACKING_URI", "http://lab:pass@host")
    environment.setenv("MLFLOW_TRACKING_PASSWORD", "another")

    prepare()

    assert [os.environ.get(name) for name in ACCOUNT] == ["lab", "another"]
