"""A candidate's system prompt may be a version in MLflow's prompt registry, on a real store."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run

from llm_models.errors import InputError
from steps.core import surroundings
from steps.core.answering.candidates import Ready, resolve_all
from steps.core.config import load
from steps.core.prompts import find
from steps.doctor import main as doctor
from steps.evaluate import main as evaluate
from steps.plan import main as plan
from steps.register import main as register
from tests.servers.ollama import OllamaServer
from tests.servers.scripted import Seen
from tests.steps.conftest import ConfigWriter, invoke, pointing_at, versions_of

BRIEF, WORDY = "Answer in one word.", "Answer in a long sentence."
RIGHT = {
    "Which city is the capital of France?": "Paris",
    "Which city is the capital of Spain?": "Madrid",
}


@pytest.fixture
def ollama(experiment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer(answer=RIGHT) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def name(experiment: str) -> str:
    """A name in the registry that no other test uses."""
    return f"concise-{experiment}"


@pytest.fixture
def config(write_config: ConfigWriter, name: str, registered_name: str) -> Path:
    """One candidate, whose system prompt is whatever version has the alias `live`."""
    system = f"prompts:/{name}@live"
    own = {"registered_name": registered_name, "options": {"num_ctx": 4096}}
    return write_config({"system": system} | own)


def made(name: str, template: str | list[dict[str, Any]], alias: str = "") -> int:
    """Register a version as users do; return its number."""
    version = int(mlflow.genai.register_prompt(name, template).version)
    if alias:
        mlflow.genai.set_prompt_alias(name, alias, version)
    return version


def systems(server: OllamaServer) -> list[str]:
    """The system prompts of all calls."""
    chats: list[Seen] = [seen for seen in list(server.requests) if seen.path == "/api/chat"]
    return [seen.body["messages"][0]["content"] for seen in chats]


def evaluations(client: MlflowClient, experiment: str) -> list[Run]:
    """Newest first."""
    return list(client.search_runs([experiment], "tags.kind = 'evaluation'"))


def logged(client: MlflowClient, run: Run) -> LoggedModel:
    return client.get_logged_model(run.data.tags["model_id"])


def resolved(config: Path) -> Ready:
    (ready,), _ = resolve_all(load(config), "all")
    return ready


@pytest.mark.parametrize(
    "system",
    [
        "prompts:/concise",
        "prompts:/concise@",
        "prompts:/concise/latest",
        "prompts://concise@live",
        "prompt:/concise@live",
        "prompts:/concise@live\n",
        "prompts:/cançion@live",
    ],
)
def test_a_mistyped_name_is_told_with_its_line(write_config: ConfigWriter, system: str) -> None:
    config = write_config({"system": system})
    with pytest.raises(InputError, match=re.escape(f"{config}:1: candidates[0].system: expected")):
        load(config)


@pytest.mark.parametrize("system", ["Prompts are fun.", "See prompts:/x@y for more."])
def test_a_text_about_prompts_is_a_text(
    ollama: OllamaServer, write_config: ConfigWriter, system: str
) -> None:
    ready = resolved(write_config({"system": system}))
    assert (ready.config.system, ready.prompt) == (system, None)


def test_alias_number_and_latest_each_lead_to_one_version(experiment: str, name: str) -> None:
    made(name, BRIEF, "live")
    made(name, WORDY)
    found = {ref: find(f"prompts:/{name}{ref}") for ref in ("@live", "/1", "/2", "@latest")}
    assert {ref: (p.version, p.text) for ref, p in found.items()} == {
        "@live": (1, BRIEF),
        "/1": (1, BRIEF),
        "/2": (2, WORDY),
        "@latest": (2, WORDY),
    }


def test_an_alias_that_has_just_moved_is_not_read_from_mlflows_cache(
    experiment: str, name: str
) -> None:
    made(name, BRIEF, "live")
    mlflow.genai.load_prompt(f"prompts:/{name}@live")
    made(name, WORDY, "live")
    assert find(f"prompts:/{name}@live").text == WORDY


def test_a_chat_prompt_of_system_messages_is_taken(experiment: str, name: str) -> None:
    made(name, [{"role": "system", "content": BRIEF}, {"role": "system", "content": "Be kind."}])
    assert find(f"prompts:/{name}/1").text == f"{BRIEF}\n\nBe kind."


SYSTEM = {"role": "system", "content": BRIEF}
PART = {"type": "text", "text": BRIEF}
UNFIT: dict[str, tuple[str | list[dict[str, Any]], str]] = {
    "variables": ("Be {{ tone }} to {{who}}.", "nothing fills {{tone}}, {{who}}"),
    "variables of a chat": ([{"role": "system", "content": "Be {{tone}}."}], "fills {{tone}}"),
    "Jinja": ("{% if a %}Be brief.{% endif %}", "nothing fills its {% … %}"),
    "a user's turn": ([SYSTEM, {"role": "user", "content": "Hi"}], "messages of the role user"),
    "parts": ([{"role": "system", "content": [PART]}], "more than text"),
    "no content": ([{"role": "system"}], "an empty message"),
    "blank": (" \n", "an empty message"),
}


@pytest.mark.parametrize(("template", "said"), UNFIT.values(), ids=UNFIT)
def test_what_is_more_than_a_system_prompt_is_refused_before_any_call(
    ollama: OllamaServer, config: Path, questions: Path, name: str, template: Any, said: str
) -> None:
    made(name, template, "live")
    done = invoke(evaluate, config, data=questions)
    assert done.exit_code == 1
    assert f"Error: one: system: prompts:/{name}/1 " in done.output
    assert said in done.output
    assert "/api/chat" not in ollama.calls


def command_in(message: str) -> str:
    """The Python of the command that a message names."""
    found = re.search(r'`python -c "(.*)"`', message)
    assert found, message
    return found[1]


def test_what_is_missing_is_told_with_the_command_that_makes_it(
    ollama: OllamaServer, config: Path, questions: Path, name: str
) -> None:
    done = invoke(evaluate, config, data=questions)
    assert done.exit_code == 1
    assert f"one: system: prompts:/{name}@live cannot be had: Prompt with name=" in done.output
    assert "/api/chat" not in ollama.calls
    exec(command_in(done.output), {})
    assert resolved(config).config.system == "Its text."


def test_an_alias_or_version_that_is_missing_is_told_with_the_command_that_makes_it(
    experiment: str, name: str
) -> None:
    made(name, BRIEF)
    for reference in (f"prompts:/{name}@live", f"prompts:/{name}/2"):
        with pytest.raises(InputError, match="not found; make it with") as caught:
            find(reference)
        exec(command_in(str(caught.value)), {})
    assert find(f"prompts:/{name}@live").text == BRIEF
    assert find(f"prompts:/{name}@latest").version == 2


def test_a_registered_model_of_that_name_is_no_prompt(client: MlflowClient, name: str) -> None:
    client.create_registered_model(name)
    with pytest.raises(InputError, match="registered as a model, not a prompt"):
        find(f"prompts:/{name}@live")


def test_a_store_that_is_not_there_is_not_made(experiment: str, tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    with (
        pointing_at(f"sqlite:///{file}"),
        pytest.raises(InputError, match=r"prompts:/x/1 is not there; .*register_prompt\('x'"),
    ):
        find("prompts:/x/1")
    assert not file.exists()


def test_a_tracking_server_that_is_down_is_told_within_seconds(
    ollama: OllamaServer, config: Path
) -> None:
    with (
        pointing_at("http://127.0.0.1:9"),
        pytest.raises(InputError, match=r"one: system: http://127\.0\.0\.1:9 cannot be used"),
    ):
        resolve_all(load(config), "available")


def test_a_candidate_that_cannot_be_asked_needs_no_prompt(
    write_config: ConfigWriter, experiment: str
) -> None:
    away = {"base_url": "http://127.0.0.1:9", "system": "prompts:/nowhere@live"}
    with pytest.raises(InputError, match="one skipped: Ollama does not answer"):
        resolve_all(load(write_config(away)), "available")


def test_name_and_version_are_part_of_the_fingerprint(
    ollama: OllamaServer, write_config: ConfigWriter, config: Path, name: str
) -> None:
    found = []
    for _ in range(2):
        made(name, BRIEF, "live")
        found.append(resolved(config))
    literal = resolved(write_config({"system": BRIEF, "options": {"num_ctx": 4096}}))
    assert {one.config.system for one in (*found, literal)} == {BRIEF}
    assert len({one.fingerprint for one in (*found, literal)}) == 3


def test_only_an_alias_that_moved_asks_again(
    client: MlflowClient,
    experiment: str,
    ollama: OllamaServer,
    config: Path,
    questions: Path,
    name: str,
) -> None:
    def asked_by_evaluate() -> list[str]:
        ollama.requests.clear()
        done = invoke(evaluate, config, data=questions)
        assert done.exit_code == 0, done.output
        return systems(ollama)

    made(name, BRIEF, "live")
    assert asked_by_evaluate() == [BRIEF] * 2
    assert asked_by_evaluate() == []
    made(name, WORDY)
    assert asked_by_evaluate() == []
    mlflow.genai.set_prompt_alias(name, "live", 2)
    assert asked_by_evaluate() == [WORDY] * 2
    mlflow.genai.set_prompt_alias(name, "live", 1)
    assert asked_by_evaluate() == []

    back, moved, same, _, first = evaluations(client, experiment)
    runs = (first, same, moved, back)
    assert [run.data.params["prompt_version"] for run in runs] == ["1", "1", "2", "1"]
    models = [run.data.tags["model_id"] for run in runs]
    assert models[0] == models[1] == models[3] != models[2]


def test_the_text_is_packed_and_everything_made_with_it_leads_to_the_prompt(
    client: MlflowClient,
    experiment: str,
    ollama: OllamaServer,
    config: Path,
    questions: Path,
    name: str,
    registered_name: str,
) -> None:
    made(name, BRIEF, "live")
    for step in (evaluate, register):
        done = invoke(step, config, data=questions)
        assert done.exit_code == 0, done.output

    (run,) = evaluations(client, experiment)
    model = logged(client, run)
    (version,) = versions_of(client, registered_name)
    known = {"prompt_name": name, "prompt_version": "1"}
    for told in (run.data.params, run.data.tags, model.params, model.tags, version.tags):
        assert known.items() <= told.items()
    assert run.data.params["system_prompt"] == BRIEF
    for tags in (run.data.tags, model.tags):
        assert json.loads(tags["mlflow.linkedPrompts"]) == [{"name": name, "version": "1"}]
    page = f"#/experiments/{experiment}/prompts/{name}?promptVersion=1"
    assert f"[{name} version 1]({page})" in version.description
    assert f",{experiment}," in client.get_prompt(name).tags["_mlflow_experiment_ids"]
    traces = client.search_traces([experiment], f'prompt = "{name}/1"')
    assert len(traces) == len(RIGHT)

    folder = Path(model.artifact_location.removeprefix("file://"))
    packed = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
    assert packed["flavors"]["python_function"]["config"]["system"] == BRIEF


def test_the_defaults_may_name_a_prompt_and_a_candidate_another(
    ollama: OllamaServer, write_config: ConfigWriter, name: str
) -> None:
    made(name, BRIEF)
    defaults = {"system": f"prompts:/{name}/1"}
    config = write_config({}, {"name": "two", "system": WORDY}, defaults=defaults)
    ready, _ = resolve_all(load(config), "all")
    assert [one.config.system for one in ready] == [BRIEF, WORDY]


def test_plan_counts_the_text_and_doctor_names_the_version(
    store: str,
    ollama: OllamaServer,
    config: Path,
    questions: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(surroundings.URI, store)
    missing = invoke(doctor, config, data=questions, format="json")
    made(name, BRIEF, "live")
    shorter, longer = (_planned(config, questions, name, text) for text in (BRIEF, BRIEF * 9))
    found = invoke(doctor, config, data=questions, format="json")

    assert longer["input_tokens"] > shorter["input_tokens"]
    assert "/api/chat" not in ollama.calls
    (told,) = (each for each in json.loads(missing.output) if each["subject"] == "one")
    assert told["status"] == "problem"
    assert "register_prompt" in command_in(told["finding"])
    (told,) = (each for each in json.loads(found.output) if each["subject"] == "one")
    assert told["status"] == "ok"
    assert f"prompt_name {name}, prompt_version 3" in told["finding"]


def _planned(config: Path, questions: Path, name: str, text: str) -> dict[str, Any]:
    made(name, text, "live")
    done = invoke(plan, config, data=questions, format="json")
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.output)["models"]
    return dict(one)
