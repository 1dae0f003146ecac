"""A place in which chat sessions are held as real processes, and what MLflow has of them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, Trace

from steps.core.tables import JSON
from tests.servers.ollama import OllamaServer
from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
WAIT_S = 60


@dataclass
class ChatLab:
    """A config, a server and an experiment, in which sessions are held."""

    folder: Path  # the experiment's artifacts and its name
    config: Path
    server: OllamaServer
    store: str

    def __post_init__(self) -> None:
        self.client = MlflowClient(self.store)
        artifacts = (self.folder / "artifacts").as_uri()
        self._id = self.client.create_experiment(self.experiment, artifacts)

    @property
    def experiment(self) -> str:
        return f"chat in {self.folder}"

    @property
    def command(self) -> list[str]:
        options = {"config": self.config, "experiment": self.experiment}
        given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [sys.executable, "-m", "steps.chat", *given]

    @property
    def environment(self) -> dict[str, str]:
        own = {"MLFLOW_TRACKING_URI": self.store, "OLLAMA_HOST": self.server.url}
        return {k: v for k, v in os.environ.items() if k != "MLFLOW_EXPERIMENT_ID"} | own

    def piped(self, *options: str, lines: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *options],
            cwd=ROOT,
            env=self.environment,
            input=lines,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def terminal(self, *options: str, size: tuple[int, int] = (40, 120)) -> Terminal:
        return Terminal([*self.command, *options], ROOT, self.environment, size)

    def runs(self) -> list[Run]:
        """The session's runs, the first one's first."""
        order = ["attributes.start_time"]
        found = self.client.search_runs([self._id], "tags.kind = 'chat'", order_by=order)
        return [self.client.get_run(run.info.run_id) for run in found]  # with their inputs

    def traces(self) -> list[Trace]:
        """The oldest first."""
        order = ["timestamp_ms"]
        return list(self.client.search_traces(locations=[self._id], order_by=order))

    def pairs(self, run: Run) -> list[dict[str, Any]]:
        """prompts_and_answers.json of a run."""
        with TemporaryDirectory() as folder:
            path = self.client.download_artifacts(run.info.run_id, JSON, folder)
            return list(json.loads(Path(path).read_text("utf-8")))

    def sent(self) -> list[list[str]]:
        """What each call held: the contents of its messages."""
        calls = [seen.body for seen in self.server.requests if seen.path == "/api/chat"]
        return [[message["content"] for message in body["messages"]] for body in calls]
