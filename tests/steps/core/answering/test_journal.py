"""What was written is there after a kill, and two processes never ask for the same candidate."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steps.core.answering.journal import Journal, JournalError, answer_key

ROOT = Path(__file__).parents[4]
RECORD = {"status": "ok", "text": "007 😀 \x00 \ud83d", "cost_usd": None, "latency_s": 0.1}
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "journal.sqlite"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts a process with a `journal` on the same file; its output is a pipe or the one given."""
    started: list[subprocess.Popen[str]] = []

    def run(body: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        head = "import os, sys, signal\nfrom pathlib import Path\n"
        head += "from steps.core.answering.journal import Journal\n"
        head += "journal = Journal(Path(sys.argv[1]))\n"
        process = subprocess.Popen(
            [sys.executable, "-uc", head + body, str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=stdout,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=20)


def read(journal: Journal, *keys: str) -> dict[str, Any]:
    return dict(journal.read_answers(keys))


def test_answers_and_verdicts_are_read_back_after_reopening(path: Path) -> None:
    first = Journal(path)
    first.write_answers("f", {"a": RECORD, "b": RECORD | {"status": "error"}})
    first.write_verdict("v", {"value": 1})
    first.close()
    again = Journal(path)
    assert read(again, "a", "b", "c") == {"a": RECORD, "b": RECORD | {"status": "error"}}
    assert again.read_verdict("v") == {"value": 1}
    assert again.read_verdict("a") is None


def test_a_later_answer_replaces_the_earlier_one(path: Path) -> None:
    journal = Journal(path)
    for text in ("first", "second"):
        journal.write_answers("f", {"a": RECORD | {"text": text}})
        journal.write_verdict("v", {"rationale": text})
    assert read(journal, "a")["a"]["text"] == "second"
    assert journal.read_verdict("v") == {"rationale": "second"}


def test_what_was_written_survives_a_kill(path: Path, start: Start) -> None:
    body = "journal.write_answers('f', {'a': {'status': 'ok'}})\nos.kill(os.getpid(), 9)"
    assert start(body).wait(20) == -signal.SIGKILL
    assert read(Journal(path), "a") == {"a": {"status": "ok"}}


def test_more_keys_than_one_query_takes_are_read(path: Path) -> None:
    journal = Journal(path)
    records = {str(i): {"status": "ok", "text": str(i)} for i in range(1201)}
    journal.write_answers("f", records)
    assert read(journal, *records, "absent") == records


def test_threads_share_one_journal(path: Path) -> None:
    journal = Journal(path)

    def write(part: int) -> None:
        for i in range(20):
            journal.write_answers("f", {f"{part}-{i}": RECORD})
            assert read(journal, f"{part}-{i}")

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(journal, *(f"{p}-{i}" for p in range(4) for i in range(20)))) == 80


def test_an_answer_belongs_to_candidate_inputs_and_repeat() -> None:
    key = answer_key("f", {"prompt": "a", "system": "s"})
    assert key == answer_key("f", {"system": "s", "prompt": "a"})
    others = [
        answer_key("g", {"prompt": "a", "system": "s"}),
        answer_key("f", {"prompt": "a"}),
        answer_key("f", {"prompt": "a", "system": "s"}, repeat=1),
    ]
    assert len({key, *others}) == 4


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE answers (key TEXT)")
        other.execute("INSERT INTO answers VALUES ('theirs')")


def another_version(path: Path) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as journal:
        journal.execute("PRAGMA user_version=99")


def garbage(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)


def cut_off(path: Path) -> None:
    foreign(path)
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("make", [foreign, another_version, garbage, cut_off])
def test_a_file_that_is_no_journal_is_told_and_left_as_it_is(
    path: Path, make: Callable[[Path], None]
) -> None:
    path.parent.mkdir()
    make(path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"(?s)journal\.sqlite.*`journal` in config\.yaml"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_database_of_others_is_not_kept_locked(path: Path) -> None:
    path.parent.mkdir()
    foreign(path)
    with pytest.raises(JournalError) as caught:
        Journal(path)
    assert caught.value  # whoever keeps the error keeps the connection that it was raised from
    with sqlite3.connect(path, timeout=0) as other:
        assert other.execute("DELETE FROM answers").rowcount == 1


@pytest.mark.parametrize("written", [b"\xff", b"A"])
def test_a_damaged_journal_is_told_when_it_is_read(path: Path, written: bytes) -> None:
    journal = Journal(path)
    journal.write_answers("f", {f"k{n}": RECORD for n in range(500)})
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[:8192] + written * (len(content) - 8192))
    with pytest.raises(JournalError, match="is damaged"):
        read(Journal(path), *(f"k{n}" for n in range(500)))


@pytest.mark.parametrize("spoil", [Path.mkdir, Path.touch])
def test_a_path_that_cannot_hold_a_file_is_told(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """The journal's own name is taken by a folder, or its folder's name by a file."""
    spoil(tmp_path / "taken")
    path = tmp_path / "taken" if spoil is Path.mkdir else tmp_path / "taken" / "journal.sqlite"
    with pytest.raises(JournalError, match="taken"):
        Journal(path)


def test_all_that_are_first_to_open_a_journal_at_once_succeed(tmp_path: Path) -> None:
    """Threads here; SQLite keeps their connections apart as it does those of processes."""
    together = threading.Barrier(4)
    failures: list[JournalError] = []

    def open_many() -> None:
        for number in range(25):
            together.wait(20)
            try:
                Journal(tmp_path / str(number)).close()
            except JournalError as error:
                failures.append(error)

    threads = [threading.Thread(target=open_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


HOLD = "with journal.claim('f'):\n print('in', flush=True)\n sys.stdin.readline()"
TAKE_TURNS = """
print('ready')
sys.stdin.readline()
for _ in range(300):
    with journal.claim('f'):
        os.write(1, f'{os.getpid()} in\\n'.encode())
        os.sched_yield()
        os.write(1, f'{os.getpid()} out\\n'.encode())
"""


def test_one_process_at_a_time_holds_a_claim(start: Start) -> None:
    reader, writer = os.pipe()  # of both: what is read is in the order of events
    processes = [start(TAKE_TURNS, writer) for _ in range(2)]
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert [lines.readline() for _ in processes] == ["ready\n"] * 2
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        told = lines.read().split()
    assert told[1::4] == ["in"] * 600
    assert told[3::4] == ["out"] * 600
    assert told[0::4] == told[2::4]
    assert set(told[0::4]) == {str(process.pid) for process in processes}


def test_a_claim_ends_with_the_process_that_held_it(start: Start) -> None:
    holder, asking = start(HOLD), start("sys.stdin.readline()\n" + HOLD)
    assert holder.stdout.readline() == "in\n"
    asking.stdin.write("go\n")
    asking.stdin.flush()
    holder.kill()
    assert asking.stdout.readline() == "in\n"


def test_claims_of_different_candidates_do_not_wait(start: Start, path: Path) -> None:
    holder = start(HOLD)
    assert holder.stdout.readline() == "in\n"
    with Journal(path).claim("g"):
        assert holder.poll() is None
