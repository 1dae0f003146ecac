"""A real evaluation that is cut short, by Ctrl-C or by `kill -9`, and goes on where it was."""

import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.core.answering.asking import GRACE_S
from tests.end_to_end.conftest import expected_answers
from tests.end_to_end.lab import ROOT, Lab
from tests.servers.ollama import MODEL, OllamaServer

ROWS, ANSWERED, CONCURRENCY = 30, 12, 4
COMMAND = ("--data", "questions.jsonl", "--limit", str(ROWS))
CONFIG = f"""
candidates:
  - {{name: one, provider: ollama, model: "{MODEL}", registered_name: llm_ollama_chat,
     concurrency: {CONCURRENCY}}}
"""


# Tests that run in the background have Ctrl-C ignored, and what they start would inherit that.
HEED_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class SlowServer(OllamaServer):
    """Answers ANSWERED questions; the others wait until it is `released`."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self._right, self._quick = expected_answers(), set[str]()
        super().__init__(answer=self._answer)

    def _answer(self, messages: list[dict[str, Any]]) -> str:
        prompt = messages[-1]["content"]
        with self._lock:
            if len(self._quick) < ANSWERED:
                self._quick.add(prompt)
        if prompt not in self._quick:
            self.released.wait(60)
        return self._right.get(prompt, "I can't help with that.")

    def asked(self) -> Counter[str]:
        chats = [seen.body for seen in list(self.requests) if seen.path == "/api/chat"]
        return Counter(str(body["messages"]) for body in chats if body)


@dataclass(frozen=True)
class Place:
    """A laboratory and the server that it asks."""

    lab: Lab
    server: SlowServer

    def cut_short(self, by: signal.Signals) -> tuple[int, str]:
        """Start an evaluation, signal it once its run is open and all that is quick is kept."""
        config = str(self.lab.folder / "config.yaml")
        command = [sys.executable, "-m", "steps.evaluate", "--config", config, *COMMAND]
        process = subprocess.Popen(
            [sys.executable, "-c", HEED_CTRL_C, *command],
            cwd=self.lab.folder,
            env=self.lab.environment() | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            self._wait_for_the_middle(process)
            process.send_signal(by)
            told, _ = process.communicate(timeout=GRACE_S + 20)
        finally:
            process.kill()
            process.wait()
        return process.returncode, told

    def _wait_for_the_middle(self, process: "subprocess.Popen[str]") -> None:
        pause = threading.Event()
        while not (
            self._count(self.store, "tags WHERE key = 'candidate'") and self.held() == ANSWERED
        ):
            assert process.poll() is None, process.communicate()
            pause.wait(0.05)

    @property
    def store(self) -> Path:
        return self.lab.folder / "mlflow.db"

    def held(self) -> int:
        """Answers in the journal."""
        return self._count(self.lab.folder / ".llmflowlab" / "journal.sqlite", "answers")

    @staticmethod
    def _count(database: Path, rows: str) -> int:
        try:
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as opened:
                return int(opened.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])
        except sqlite3.OperationalError:  # it is not there yet
            return 0

    def runs(self) -> list[Run]:
        """The candidate's runs, the latest first."""
        client = MlflowClient(self.lab.store)
        return list(client.search_runs(["0"], "tags.candidate = 'one'"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with SlowServer() as server:
        yield Place(Lab(tmp_path, {"OLLAMA_HOST": server.url}), server)
        server.released.set()


def unlike_a_clock(metrics: dict[str, float]) -> dict[str, float]:
    """What a second run of the same answers must repeat: scores, counts and tokens."""
    counts = ("rows", "error_rate", "total_tokens", "input_tokens", "output_tokens")
    return {name: value for name, value in metrics.items() if "/" in name or name in counts}


def test_ctrl_c_ends_within_seconds_and_the_command_it_prints_goes_on(place: Place) -> None:
    code, told = place.cut_short(signal.SIGINT)
    assert code == 130
    run = place.runs()[0]
    assert run.info.status == "KILLED"
    parent = MlflowClient(place.lab.store).get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.info.status == "KILLED"
    assert place.held() == ANSWERED
    assert place.server.asked().total() == ANSWERED + CONCURRENCY

    place.server.released.set()
    command = shlex.split(told.strip().splitlines()[-1])
    done = place.lab.run(*command, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.runs()[0].info.status == "FINISHED"
    assert place.runs()[0].data.metrics["rows_reused"] == ANSWERED
    assert place.server.asked().total() == ROWS + CONCURRENCY


def test_after_a_kill_an_evaluation_ends_as_an_unbroken_one(place: Place) -> None:
    code, _ = place.cut_short(signal.SIGKILL)
    assert code == -signal.SIGKILL
    place.server.released.set()
    done = place.lab.step("evaluate", *COMMAND)
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.server.asked().total() == ROWS + CONCURRENCY
    assert max(place.server.asked().values()) == 2  # a call that was in flight

    unbroken = place.lab.step("evaluate", *COMMAND, "--cache", "off")
    assert unbroken.returncode == 0, unbroken.stdout + unbroken.stderr
    assert place.server.asked().total() == 2 * ROWS + CONCURRENCY
    whole, resumed, _ = (run.data.metrics for run in place.runs())
    assert resumed["rows_reused"] == ANSWERED
    assert unlike_a_clock(resumed) == unlike_a_clock(whole)
    assert whole["contains_facts/mean"] > 0.5
