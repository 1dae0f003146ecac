"""What every test starts from: no key, no server, no store of the person who runs it."""

from collections.abc import Iterator

import pytest

from llm_models.errors import SECRET_VARIABLES

PROVIDER_VARIABLES = (
    "OLLAMA_HOST",
    "OPENAI_BASE_URL",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_CLOUD_PROJECT",
    "LLMFLOWLAB_LID_MODEL",
)
MLFLOW_VARIABLES = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*SECRET_VARIABLES, *PROVIDER_VARIABLES, *MLFLOW_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    yield
