"""The scoring server gets a front, and no other process notices anything."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

from llm_models import serving
from llm_models.errors import InputError

ORDINARY = """
import sys, threading, asyncio
import mlflow, mlflow.pyfunc.scoring_server as server
before = dict(vars(server))
model = mlflow.pyfunc.load_model(sys.argv[1])
assert dict(vars(server)) == before
assert "mlflow.pyfunc.scoring_server.app" not in sys.modules
assert "llm_models.front" not in sys.modules
assert threading.active_count() == 1, threading.enumerate()
"""


def test_a_model_that_is_loaded_elsewhere_changes_nothing(packed: Mapping[str, Path]) -> None:
    subprocess.run([sys.executable, "-c", ORDINARY, packed["ollama"]], check=True, timeout=120)


def test_the_server_is_the_one_that_it_was_compared_with() -> None:
    """A later MLflow is served as it serves itself, until someone has compared the two."""
    assert version("mlflow") == serving.COMPARED


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """MLflow's module, as far as it has come when the model is being loaded."""
    module = ModuleType(serving.SERVER)
    monkeypatch.setitem(sys.modules, serving.SERVER, module)
    return module


def test_the_front_takes_the_place_of_the_app(server: ModuleType) -> None:
    serving.stand_before_server(print)
    vars(server)["app"] = "what MLflow makes after it has loaded the model"
    assert type(server.app).__name__ == "Front"
    assert server.app is server.app


def test_a_server_that_has_its_app_already_is_left_alone(server: ModuleType) -> None:
    vars(server)["app"] = "made"
    serving.stand_before_server(print)
    assert server.app == "made"


def test_another_mlflow_serves_as_it_does_itself(
    server: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "COMPARED", "3.0.0")
    serving.stand_before_server(print)
    vars(server)["app"] = "made"
    assert server.app == "made"
    assert "known is 3.0.0" in caplog.text


@pytest.mark.parametrize("value", ["0", "-5", "nan", "inf", "soon"])
def test_a_time_out_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(serving.TIMEOUT, value)
    with pytest.raises(InputError, match=f"{serving.TIMEOUT} must be .* not '{value}'"):
        serving.open_desk()
