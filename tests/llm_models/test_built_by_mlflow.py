"""A provider's file is all that MLflow needs to build a model that answers."""

from pathlib import Path
from types import ModuleType

import pytest
from mlflow.pyfunc import load_model, save_model
from pandas import DataFrame

from llm_models import gemini, ollama, openai
from llm_models.model import signature

pytest_plugins = ["tests.llm_models.gemini_fixtures"]


# An example would be answered while the model is saved.
@pytest.mark.filterwarnings("ignore:.*input example was not provided")
@pytest.mark.parametrize("provider", [gemini, ollama, openai], ids=["gemini", "ollama", "openai"])
def test_mlflow_builds_the_model_from_its_file(
    request: pytest.FixtureRequest, tmp_path: Path, provider: ModuleType
) -> None:
    name = provider.__name__.rpartition(".")[2]
    server = request.getfixturevalue(f"{name}_server")
    config = {"candidate": "c", "provider": name, "model": server.models[0]}
    config |= {"base_url": server.url}
    save_model(
        tmp_path / "model",
        python_model=provider.__file__,
        signature=signature(),
        pip_requirements=[],
        model_config=config,
    )

    answers = load_model(str(tmp_path / "model")).predict(DataFrame({"prompt": ["hello"]}))

    assert list(answers["text"]) == ["You said: hello"]
