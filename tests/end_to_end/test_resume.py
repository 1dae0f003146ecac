"""`kill -9` at any moment, then the same command: what was answered is never asked again."""

import json
import multiprocessing
import random
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from steps.core.journal import Journal, answer_key
from tests.end_to_end.asking_process import ask, rows, run
from tests.servers.ollama import OllamaServer, Reply, Seen

ROWS, KILLS = 300, 24
SECONDS = 30  # for what takes a moment: only a test that fails waits so long
Ask = Callable[[str], BaseProcess]
Asked = Counter[tuple[str, str]]  # (who, prompt)


class AlarmServer(OllamaServer):
    """Sets `reached` at the n-th request from now, of whatever kind."""

    def __init__(self) -> None:
        self.reached, self._left = threading.Event(), -1
        super().__init__(latency_s=0.002)

    def alarm_at(self, number: int) -> None:
        self.reached.clear()
        self._left = number

    def see(self, seen: Seen) -> Reply:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.reached.set()
        return super().see(seen)

    def asked(self) -> Asked:
        """Without the request that a kill cut off before its body."""
        sent = [seen for seen in list(self.requests) if seen.path == "/api/chat"]
        chats = [seen for seen in sent if seen.body]
        return Counter((_name(seen), seen.body["messages"][-1]["content"]) for seen in chats)


def _name(seen: Seen) -> str:
    return seen.headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def server() -> Iterator[AlarmServer]:
    with AlarmServer() as server:
        yield server


@pytest.fixture
def start(server: AlarmServer, tmp_path: Path) -> Iterator[Ask]:
    """Starts a process that asks all rows; it is forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.end_to_end.asking_process"])
    started: list[BaseProcess] = []

    def begin(name: str) -> BaseProcess:
        journal = tmp_path / ("other" if name == "unbroken" else "shared") / "journal.sqlite"
        given = (journal, server.url, ROWS, name, tmp_path / f"{name}.json")
        process = context.Process(target=ask, args=given)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join(SECONDS)


def ended(process: BaseProcess) -> int | None:
    process.join(SECONDS)
    return process.exitcode


def durable(server: AlarmServer, journal: Path) -> set[str]:
    """The prompts whose answers are in the journal."""
    fingerprint = run(journal, server.url, 0).ready.fingerprint
    keys = {answer_key(fingerprint, row.inputs): row.inputs["prompt"] for row in rows(ROWS)}
    opened = Journal(journal)
    held = {keys[key] for key, record in opened.read_answers(keys) if record["status"] == "ok"}
    opened.close()
    return held


def test_no_kill_makes_an_answered_row_be_asked_again(
    server: AlarmServer, start: Ask, tmp_path: Path
) -> None:
    drawn, kept = random.Random(3), []
    for number in range(KILLS):
        server.alarm_at(drawn.randint(1, 24))  # 3 of them come before the first question
        process = start(f"k{number}")
        assert server.reached.wait(SECONDS)
        process.kill()
        assert ended(process) == -signal.SIGKILL
        kept.append(durable(server, tmp_path / "shared" / "journal.sqlite"))
    assert ended(start("last")) == 0
    assert ended(start("unbroken")) == 0

    asked = server.asked()
    assert set(asked.values()) == {1}  # by one process
    in_flight: Counter[str] = Counter()
    for number, held in enumerate(kept):
        later = {f"k{after}" for after in range(number + 1, KILLS)} | {"last"}
        assert not {prompt for name, prompt in asked if name in later and prompt in held}
        in_flight.update(p for name, p in asked if name == f"k{number}" and p not in held)
    calls = Counter(prompt for name, prompt in asked if name != "unbroken")
    assert calls == Counter(row.inputs["prompt"] for row in rows(ROWS)) + in_flight
    told = [json.loads((tmp_path / f"{n}.json").read_text()) for n in ("last", "unbroken")]
    assert told[0] == told[1]
    assert len(told[0]) == ROWS
    with sqlite3.connect(tmp_path / "shared" / "journal.sqlite") as journal:
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
