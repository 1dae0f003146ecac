"""A candidate is packed once for each fingerprint, whole, without a call, a secret or our paths."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModel

from steps.core import tracking
from steps.core.answering.candidates import Ready, resolve_all
from steps.core.config import load
from steps.core.logged_models import REQUIREMENTS, ensure_logged, find_logged, pinned, run_params
from tests.servers.gemini import GeminiServer
from tests.servers.ollama import OllamaServer
from tests.steps.conftest import ConfigWriter

ROOT = REQUIREMENTS.parent
SECRETS = {
    "GEMINI_API_KEY": "a-gemini-key-that-must-not-be-stored",
    "OLLAMA_API_KEY": "an-ollama-key-that-must-not-be-stored",
    "MLFLOW_TRACKING_TOKEN": "a-tracking-token-that-must-not-be-stored",
}
GEMINI = {"name": "cloud", "provider": "gemini", "model": "gemini-2.5-flash"}
OWN_PRICE = {"ollama/llama3.1:8b": {"per_hour": 0.35}}


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with OllamaServer() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    with GeminiServer(key=SECRETS["GEMINI_API_KEY"]) as server:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        yield server


def resolved(path: Path) -> Ready:
    (ready,), _ = resolve_all(load(path), "all")
    return ready


@pytest.fixture
def quoting(write_config: ConfigWriter, tmp_path: Path) -> Ready:
    """A baseline candidate; its text is a file of this machine."""
    (tmp_path / "knowledge.md").write_text("Some text.")
    options = {"knowledge": str(tmp_path / "knowledge.md")}
    candidate = {"provider": "baseline", "model": "bm25", "options": options}
    return resolved(write_config(candidate))


def logged(client: MlflowClient, ready: Ready, experiment: str) -> LoggedModel:
    model_id, _ = ensure_logged(client, ready, experiment)
    return client.get_logged_model(model_id)


def folder_of(model: LoggedModel) -> Path:
    return Path(model.artifact_location.removeprefix("file://"))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in nested data, with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, str(value)


def test_the_same_candidate_is_logged_once(
    client: MlflowClient, experiment: str, ollama: OllamaServer, write_config: ConfigWriter
) -> None:
    path = write_config({})
    assert find_logged(client, resolved(path), experiment) is None
    first, new = ensure_logged(client, resolved(path), experiment)
    assert new
    assert ensure_logged(client, resolved(path), experiment) == (first, False)
    assert [m.model_id for m in client.search_logged_models([experiment])] == [first]


def test_a_name_with_a_dot_is_kept_where_mlflow_takes_it(
    client: MlflowClient, experiment: str, ollama: OllamaServer, write_config: ConfigWriter
) -> None:
    model = logged(client, resolved(write_config({"name": "llama3.1"})), experiment)
    assert (model.name, model.tags["candidate"]) == ("llama3_1", "llama3.1")


def test_all_that_log_the_same_candidate_at_once_log_it_once(
    client: MlflowClient, experiment: str, quoting: Ready
) -> None:
    together = threading.Barrier(3)
    made: list[tuple[str, bool]] = []

    def log() -> None:
        together.wait(20)
        made.append(ensure_logged(client, quoting, experiment))

    threads = [threading.Thread(target=log) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({model_id for model_id, _ in made}) == 1
    assert [new for _, new in made].count(True) == 1


def test_another_price_is_another_logged_model_of_the_same_fingerprint(
    client: MlflowClient, experiment: str, ollama: OllamaServer, write_config: ConfigWriter
) -> None:
    free = logged(client, resolved(write_config({})), experiment)
    priced = logged(client, resolved(write_config({}, prices=OWN_PRICE)), experiment)
    assert priced.model_id != free.model_id
    assert priced.tags["fingerprint"] == free.tags["fingerprint"]
    assert priced.tags["price_hash"] != free.tags["price_hash"]
    packed = yaml.safe_load((folder_of(priced) / "MLmodel").read_text("utf-8"))
    assert packed["flavors"]["python_function"]["config"]["price"] == {"per_hour": 0.35}
    assert logged(client, resolved(write_config({})), experiment).model_id == free.model_id


def test_another_experiment_has_a_logged_model_of_its_own(
    client: MlflowClient, experiment: str, quoting: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = logged(client, quoting, experiment)
    folder = folder_of(first).parents[2].as_uri()
    other = client.create_experiment(f"other-than-{experiment}", folder)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", other)
    assert logged(client, quoting, other).experiment_id == other


def test_a_model_has_the_params_and_tags_people_look_for(
    client: MlflowClient, experiment: str, ollama: OllamaServer, write_config: ConfigWriter
) -> None:
    fields = {"task": "qa", "temperature": 0.0, "stop": ["END"], "options": {"num_ctx": 4096}}
    ready = resolved(write_config({"system": "Be brief."} | fields))
    model = logged(client, ready, experiment)
    assert model.name == "one"
    assert model.params == {k: str(v) for k, v in run_params(ready).items() if v is not None}
    known = {
        "model_name": "llama3.1:8b",
        "supplier": "ollama",
        "task": "qa",
        "temperature": "0.0",
        "system_prompt": "Be brief.",
        "option.num_ctx": "4096",
        "identity.digest": ready.config.identity["digest"],
    }
    assert known.items() <= model.params.items()
    assert not {"top_p", "top_k", "seed"} & model.params.keys()
    assert model.tags["fingerprint"] == ready.fingerprint
    assert model.tags["settings"] == ready.settings_hash
    assert (model.tags["candidate"], model.tags["registered_name"]) == ("one", "llm_test")


def test_logging_asks_nothing_and_stores_no_secret(
    client: MlflowClient,
    experiment: str,
    store: str,
    ollama: OllamaServer,
    gemini: GeminiServer,
    write_config: ConfigWriter,
) -> None:
    ready, _ = resolve_all(load(write_config({}, GEMINI)), "all")
    before = ollama.calls, gemini.calls
    folders = [folder_of(logged(client, one, experiment)) for one in ready]
    assert (ollama.calls, gemini.calls) == before
    assert not {"generateContent", "streamGenerateContent"} & gemini.calls.keys()
    database = Path(store.removeprefix("sqlite:///")).parent
    files = [path for folder in (*folders, database) for path in folder.rglob("*")]
    stored = b"".join(path.read_bytes() for path in files if path.is_file())
    assert b"gemini-2.5-flash" in stored
    assert [name for name, value in SECRETS.items() if value.encode() in stored] == []


@pytest.mark.parametrize("provider", ["baseline", "ollama", "gemini"])
def test_serving_needs_only_what_is_pinned(
    provider: str,
    client: MlflowClient,
    experiment: str,
    ollama: OllamaServer,
    gemini: GeminiServer,
    write_config: ConfigWriter,
    quoting: Ready,
) -> None:
    config = write_config(GEMINI if provider == "gemini" else {})
    ready = quoting if provider == "baseline" else resolved(config)
    folder = folder_of(logged(client, ready, experiment))
    lines = (folder / "requirements.txt").read_text("utf-8").splitlines()
    own = {"baseline": set(), "ollama": {"requests"}, "gemini": {"google-genai"}}[provider]
    assert lines.pop() == "-c constraints.txt"
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert {line.partition("==")[0] for line in lines} == {"mlflow", "pandas"} | own
    locked = REQUIREMENTS.read_text("utf-8").splitlines()
    assert set(lines) <= set(locked)
    assert (folder / "constraints.txt").read_text("utf-8").splitlines() == locked


def test_every_package_a_provider_names_is_in_the_lock_file() -> None:
    assert pinned(("no-such-package",)) == pinned(())
    names = {line.partition("==")[0] for line in pinned(("requests", "google-genai"))[:-1]}
    assert names == {"mlflow", "pandas", "requests", "google-genai"}


def test_a_model_holds_our_package_and_no_path_of_this_machine_but_mlflows_notes(
    client: MlflowClient, experiment: str, quoting: Ready, tmp_path: Path
) -> None:
    """MLflow notes where code and files came from, and never reads them there."""
    folder = folder_of(logged(client, quoting, experiment))
    packed = {path.name for path in (folder / "code" / "llm_models").iterdir()}
    assert packed == {path.name for path in (ROOT / "llm_models").glob("*.py")}
    paths = (str(ROOT), str(tmp_path), str(folder))
    holding = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and any(p in path.read_text("utf-8") for p in paths)
    }
    assert holding <= {"MLmodel"}
    noted = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
    assert {key for key, text in leaves(noted) if any(p in text for p in paths)} <= {
        "/artifact_path",
        "/flavors/python_function/artifacts/knowledge/uri",
        "/flavors/python_function/model_code_path",
    }


def test_a_model_is_logged_below_the_step_that_needs_it(
    client: MlflowClient, experiment: str, quoting: Ready
) -> None:
    with tracking.step_run("log_models", {}) as step:
        model = logged(client, quoting, experiment)
    run = client.get_run(model.source_run_id)
    assert run.data.tags["mlflow.parentRunId"] == step.info.run_id
    assert run.info.status == "FINISHED"
    assert "sampling/seed" not in client.get_run(step.info.run_id).data.params
