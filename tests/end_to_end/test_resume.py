"""`kill -9` at any moment, then the same command: what was answered is never asked again."""

import itertools
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

import pytest

from steps.core.answering.journal import Journal, answer_key
from tests.end_to_end.asking_process import ask, rows, run
from tests.servers.ollama import OllamaServer, Reply, Seen, ending

ROWS, KILLS = 300, 24
SECONDS = 30  # for what takes a moment: only a test that fails waits so long
Ask = Callable[[str], BaseProcess]


class AlarmServer(OllamaServer):
    """Sets `reached` when a request comes that is waited for."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._wanted: Callable[[Seen], bool] = lambda seen: False
        super().__init__(latency_s=0.002)

    def alarm(self, wanted: Callable[[Seen], bool]) -> None:
        with self._lock:
            self.reached.clear()
            self._wanted = wanted

    def see(self, seen: Seen) -> Reply:
        with self._lock:
            if self._wanted(seen):
                self.reached.set()
        return super().see(seen)

    def asked(self) -> Counter[tuple[str, str]]:
        """How often who sent which prompt, less what a kill cut off before its body."""
        sent = [seen for seen in list(self.requests) if seen.path == "/api/chat"]
        chats = [seen for seen in sent if seen.body]
        return Counter((name_of(seen), seen.body["messages"][-1]["content"]) for seen in chats)


def name_of(seen: Seen) -> str:
    return seen.headers.get("Authorization", "").removeprefix("Bearer ")


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
        left = itertools.count(drawn.randint(1, 24), -1)  # two come before the first question
        server.alarm(lambda seen, left=left: next(left) == 1)
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


def two(server: AlarmServer, start: Ask) -> tuple[BaseProcess, BaseProcess, threading.Event]:
    """One process in the middle of its calls until the event is set, and one beside it."""
    both_there = threading.Event()
    server.fault(Reply(body=ending("Paris"), hold=both_there))
    server.alarm(lambda seen: seen.path == "/api/chat")
    first = start("first")
    assert server.reached.wait(SECONDS)
    server.alarm(lambda seen: name_of(seen) == "second")
    second = start("second")
    assert server.reached.wait(SECONDS)
    return first, second, both_there


def test_two_processes_on_one_journal_ask_every_row_once(
    server: AlarmServer, start: Ask, tmp_path: Path
) -> None:
    first, second, both_there = two(server, start)
    both_there.set()
    assert [ended(first), ended(second)] == [0, 0]
    assert Counter(prompt for _, prompt in server.asked().elements()) == {
        row.inputs["prompt"]: 1 for row in rows(ROWS)
    }
    told = [json.loads((tmp_path / f"{n}.json").read_text()) for n in ("first", "second")]
    assert told[0] == told[1]
    assert told[0].keys() == {row.id for row in rows(ROWS)}


def test_a_process_that_waits_goes_on_where_another_is_killed(
    server: AlarmServer, start: Ask, tmp_path: Path
) -> None:
    first, second, both_there = two(server, start)
    assert {name for name, _ in server.asked()} == {"first"}
    first.kill()
    both_there.set()
    assert ended(second) == 0
    told = json.loads((tmp_path / "second.json").read_text())
    assert told.keys() == {row.id for row in rows(ROWS)}
    assert set(server.asked().values()) == {1}
