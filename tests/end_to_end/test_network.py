"""Nothing is reached but the configured providers: all else is refused, and would be noted."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.lab import Lab, post
from tests.servers.ollama import OllamaServer


@pytest.fixture
def fenced(lab: Lab, fence: dict[str, str], tmp_path: Path) -> Lab:
    """The main job's folder, with a log of the test's own."""
    return Lab(lab.folder, lab.variables | fence | {"FENCE_LOG": str(tmp_path / "log")})


def reached(lab: Lab) -> set[str]:
    return set(Path(lab.variables["FENCE_LOG"]).read_text("utf-8").split())


def test_the_fence_holds(fenced: Lab) -> None:
    program = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')"
    done = fenced.run(sys.executable, "-c", program)
    assert "fenced off: 127.0.0.1:9" in done.stderr
    assert reached(fenced) == {"127.0.0.1:9"}


def test_the_main_job_reaches_its_providers_alone(main_job: str, fence: dict[str, str]) -> None:
    assert "is version" in main_job
    noted = set(Path(fence["FENCE_LOG"]).read_text("utf-8").split())
    assert noted == set(fence["FENCE_ALLOWED"].split(","))


def test_a_served_model_reaches_its_provider_alone(
    main_job: str, fenced: Lab, ollama: OllamaServer
) -> None:
    """Loopback stays open to the server itself: it watches over its own port."""
    alias = "models:/llm_ollama_chat@staging"
    assert alias in main_job
    with fenced.serving(alias, "--env-manager", "local") as address:
        status, _ = post(f"{address}/invocations", {"prompt": "2+2?"})
    assert status == 200
    assert reached(fenced) == {urlsplit(ollama.url).netloc}
