"""What is wrong on the command line or in a file is told in a sentence before any call is made."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from mlflow import MlflowClient

from tests.servers.ollama import OllamaServer
from tests.steps.conftest import ConfigWriter, invoke, pointing_at

ROOT = Path(__file__).parents[2]
ASKING = ("run_prompts", "evaluate", "main")
STEPS = (*ASKING, "log_models", "register", "promote", "compare", "info", "chat")


def command(step: str) -> click.Command:
    found: click.Command = importlib.import_module(f"steps.{step}").main
    return found


@pytest.fixture
def server(experiment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def config(write_config: ConfigWriter) -> Path:
    gates = {"staging": [{"metric": "rows", "min": 1}]}
    return write_config({}, {"name": "two"}, gates=gates)


def refused(server: OllamaServer, step: str, config: Path, **options: Any) -> str:
    """What a step says when it ends with an error; nothing was asked of the server."""
    done = invoke(command(step), config, **options)
    assert isinstance(done.exception, SystemExit), done.output
    assert done.exit_code == 1  # not 2, which would be the verdict of a gate
    assert server.requests == []
    assert done.output.count("Error: ") == 1
    assert "Traceback" not in done.output
    return done.output.partition("Error: ")[2].strip()


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "option": ({"model": "one"}, "No such option"),
    "name": ({"models": "nope"}, "unknown candidates: 'nope'; config.yaml has one, two"),
    "typo": ({"models": "one,tow"}, "unknown candidates: 'tow' (did you mean 'two'?)"),
    "no name": ({"models": " , "}, "unknown candidates: an empty list"),
    "data": ({"data": "no-such-file.csv"}, "no-such-file.csv: no such file"),
    "limit abc": ({"limit": "abc"}, "limit: 'abc' is not a whole number of at least 1"),
    "limit 0": ({"limit": "0"}, "limit: '0' is not a whole number of at least 1"),
}
ASKED_WRONGLY: dict[str, tuple[dict[str, str], str]] = {
    "cache": ({"cache": "never"}, "'never' is not one of"),
    "trace": ({"trace": "some"}, "'some' is not one of"),
    "retry_errors": ({"retry_errors": "maybe"}, "retry_errors: 'maybe' is neither true nor false"),
    "repeats": ({"repeats": "0"}, "repeats: '0' is not a whole number of at least 1"),
    "max_cost -1": ({"max_cost": "-1"}, "max_cost: '-1' is not a number of USD above 0"),
    "max_cost nan": ({"max_cost": "nan"}, "max_cost: 'nan' is not a number of USD above 0"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_an_option_that_is_wrong_is_named(
    server: OllamaServer, config: Path, step: str, options: dict[str, str], message: str
) -> None:
    assert message in refused(server, step, config, **options)


@pytest.mark.parametrize("step", ASKING)
@pytest.mark.parametrize(("options", "message"), ASKED_WRONGLY.values(), ids=ASKED_WRONGLY)
def test_a_way_of_asking_that_is_wrong_is_named(
    server: OllamaServer, config: Path, step: str, options: dict[str, str], message: str
) -> None:
    assert message in refused(server, step, config, **options)


@pytest.mark.parametrize("step", STEPS)
def test_a_config_that_is_missing_is_named(server: OllamaServer, tmp_path: Path, step: str) -> None:
    told = refused(server, step, tmp_path / "absent.yaml")
    assert told.startswith(f"{tmp_path}/absent.yaml: No such file")
    assert "\n" not in told


@pytest.mark.parametrize("step", STEPS)
def test_a_key_that_the_config_does_not_know_is_named_with_its_line(
    server: OllamaServer, write_config: ConfigWriter, step: str
) -> None:
    config = write_config({"temprature": 0.2})
    told = refused(server, step, config)
    assert told.startswith(f"{config}:1: ")
    assert "temprature: unknown key (did you mean 'temperature'?)" in told
    assert "\n" not in told


@pytest.mark.parametrize("step", STEPS)
def test_a_row_that_is_wrong_is_named_with_its_line(
    server: OllamaServer, config: Path, tmp_path: Path, step: str
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"prompt": "a"}\n{"promt": "b"}\n')
    assert refused(server, step, config, data=data).startswith(f"{data}:2: ")


def test_a_candidate_that_cannot_be_asked_is_told_with_the_remedy(
    server: OllamaServer, write_config: ConfigWriter, questions: Path
) -> None:
    config = write_config({}, {"name": "absent", "model": "qwen3:4b"})
    done = invoke(command("evaluate"), config, data=questions, models="all")
    assert done.exit_code == 1
    assert "absent skipped: " in done.output
    assert "ollama pull qwen3:4b" in done.output
    assert not server.calls["/api/chat"]


@pytest.mark.parametrize("step", ["register", "promote", "compare"])
def test_a_step_that_needs_an_evaluation_says_which_command_makes_one(
    server: OllamaServer, client: MlflowClient, experiment: str, config: Path, step: str
) -> None:
    assert "`mlflow run . -e evaluate`" in refused(server, step, config, models="one")
    (run,) = client.search_runs([experiment])
    assert (run.data.tags["step"], run.info.status) == (step, "FAILED")


def test_as_a_process_it_exits_with_1_and_one_line_and_makes_no_store(
    server: OllamaServer, config: Path, tmp_path: Path
) -> None:
    store = tmp_path / "new.db"
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{store}", "OLLAMA_HOST": server.url}
    done = subprocess.run(
        [sys.executable, "-m", "steps.evaluate", "--config", config, "--limit", "x"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "Error: limit: 'x' is not a whole number of at least 1\n"
    assert done.stdout == ""
    assert not store.exists()
    assert server.requests == []


def test_a_store_that_is_no_database_is_told_in_a_sentence(
    write_config: ConfigWriter, tmp_path: Path
) -> None:
    store = tmp_path / "notes.db"
    store.write_text("Some notes, and nothing that a database would begin with.")
    with pointing_at(f"sqlite:///{store}"):
        done = invoke(command("history"), write_config({}))
    assert done.exit_code == 1
    assert "Error: MLflow: (sqlite3.DatabaseError) file is not a database" in done.output
    assert store.read_text().startswith("Some notes")


def test_a_terminal_that_lacks_the_lines_of_tables_still_gets_the_figures(
    server: OllamaServer, config: Path
) -> None:
    variables = {"PYTHONIOENCODING": "latin-1", "OLLAMA_HOST": server.url}
    done = subprocess.run(
        [sys.executable, "-m", "steps.plan", "--config", config, "--limit", "2"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"? two       ?" in done.stdout
