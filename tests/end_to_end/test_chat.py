"""`mlflow run . -e chat`, which hands its terminal or its pipe on to the session."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.end_to_end.lab import ROOT, Lab
from tests.servers.ollama import OllamaServer, Reply, delta, ending
from tests.terminal import CONTROL_C, CONTROL_D, CONTROL_Z, Terminal

CONFIG = """
candidates:
  - {name: one, provider: ollama, model: "llama3.1:8b", registered_name: llm_ollama_chat}
"""


@dataclass(frozen=True)
class Place:
    lab: Lab
    server: OllamaServer

    @property
    def command(self) -> list[str]:
        config = f"config={self.lab.folder / 'config.yaml'}"
        return ["mlflow", "run", str(ROOT), "-e", "chat", "--env-manager", "local", "-P", config]

    def only_run(self) -> Run:
        """The run that the project was given; what is below it is of log_models."""
        runs = MlflowClient(self.lab.store).search_runs(["0"])
        (own,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
        return own


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with OllamaServer() as server:
        yield Place(Lab(tmp_path, {"OLLAMA_HOST": server.url}), server)


def test_on_a_terminal_ctrl_c_stops_an_answer_and_neither_session_nor_project(
    place: Place,
) -> None:
    lab = place.lab
    with Terminal(place.command, lab.folder, lab.environment()) as terminal:
        never = threading.Event()
        place.server.fault(Reply(chunks=[delta("half"), never, ending()]))
        terminal.expect("/help lists the commands", seconds=120)
        terminal.expect("> ")
        terminal.type("first\n")
        terminal.expect("half")
        terminal.type(CONTROL_C)
        terminal.expect("one was stopped; what had come is kept")
        never.set()
        terminal.expect("> ")
        terminal.type(CONTROL_Z)  # nobody could bring it back
        terminal.type("second\n")
        terminal.expect("You said: second")
        terminal.expect("> ")
        terminal.type(CONTROL_D)
        terminal.expect("It is in the experiment 'Default', which `mlflow run` has chosen")
        assert terminal.wait() == 0
    run = place.only_run()
    assert (run.info.run_name, run.info.status) == ("Chat_llama3.1:8b", "FINISHED")
    assert run.data.params["model_name"] == "llama3.1:8b"
    assert run.data.params["experiment"] == "LLMS_Text_Generation"
    assert (run.data.metrics["rows"], run.data.metrics["stopped"]) == (2, 1)


def test_on_a_pipe_lines_are_questions(place: Place) -> None:
    lab = place.lab
    done = subprocess.run(
        place.command,
        cwd=lab.folder,
        env=lab.environment(),
        input="first\nsecond\n",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "You said: first\nYou said: second\n"
    run = place.only_run()
    assert (run.info.run_name, run.info.status) == ("Chat_llama3.1:8b", "FINISHED")
    assert run.data.metrics["rows"] == 2
