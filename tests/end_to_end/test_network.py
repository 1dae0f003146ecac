"""Nothing is reached but the configured providers: all else is refused, and would be noted."""

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.conftest import lab_in, ollama_that_knows
from tests.end_to_end.lab import Lab, post
from tests.servers.gemini import GeminiServer
from tests.servers.ollama import OllamaServer

FENCE = Path(__file__).parent / "fence"


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaServer]:
    with ollama_that_knows() as server:
        yield server


@pytest.fixture(scope="module")
def fenced(
    tmp_path_factory: pytest.TempPathFactory, ollama: OllamaServer, gemini: GeminiServer
) -> Lab:
    folder = tmp_path_factory.mktemp("fenced")
    allowed = ",".join(urlsplit(server.url).netloc for server in (ollama, gemini))
    fence = {"PYTHONPATH": str(FENCE), "FENCE_ALLOWED": allowed}
    return lab_in(folder, ollama, gemini, FENCE_LOG=str(folder / "reached.txt"), **fence)


def reached(lab: Lab) -> set[str]:
    return set(Path(lab.variables["FENCE_LOG"]).read_text("utf-8").split())


def test_the_fence_holds(fenced: Lab, tmp_path: Path) -> None:
    own = Lab(fenced.folder, fenced.variables | {"FENCE_LOG": str(tmp_path / "log")})
    program = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')"
    done = own.run(sys.executable, "-c", program)
    assert "fenced off: 127.0.0.1:9" in done.stderr
    assert reached(own) == {"127.0.0.1:9"}


def test_the_main_job_reaches_its_providers_alone(fenced: Lab) -> None:
    done = fenced.mlflow_run("main", limit="4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert reached(fenced) == set(fenced.variables["FENCE_ALLOWED"].split(","))


def test_a_served_model_reaches_its_provider_alone(
    fenced: Lab, ollama: OllamaServer, tmp_path: Path
) -> None:
    """Loopback stays open to the server itself: it watches over its own port."""
    log = tmp_path / "log"
    with fenced.serving(
        "models:/llm_ollama_chat@staging", "--env-manager", "local", FENCE_LOG=str(log)
    ) as address:
        status, _ = post(f"{address}/invocations", {"prompt": "2+2?"})
    assert status == 200
    assert set(log.read_text("utf-8").split()) == {urlsplit(ollama.url).netloc}
