"""What every test starts from: nothing of the person who runs it, and nothing left to them."""

import tempfile
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


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What locks, browsers and `mlflow` leave in the temporary folder goes when the tests end."""
    tmp_path_factory.getbasetemp()  # is outside, kept for who looks into a failure
    with (
        tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)  # where it is remembered
        yield


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*SECRET_VARIABLES, *PROVIDER_VARIABLES, *MLFLOW_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    yield
