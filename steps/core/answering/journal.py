"""Every answer and every verdict, written the moment it arrives: cache, resume and crash safety.

One SQLite file in WAL mode. An answer's key is the candidate's fingerprint, the row's inputs and
the repeat; a verdict's key is the judge's hash and all it was shown. Whoever asks for a
fingerprint holds its lock, so that two processes never pay for the same row.
"""

import fcntl
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from llm_models.errors import LabError
from llm_models.schema import ANSWERED
from steps.core.hashing import sha256_of

APPLICATION_ID = 0x4C4C4D46  # "LLMF": tells our files from other people's databases
VERSION = 1
PIECE = 500  # keys in one query
POLL_S = 0.05  # between two looks at a lock that another process holds
_MARKS = ("application_id", "user_version")
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, "
    "answered INTEGER NOT NULL, written_at REAL NOT NULL, record TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, written_at REAL NOT NULL, "
    "record TEXT NOT NULL) WITHOUT ROWID",
)


class JournalError(LabError):
    """The journal file cannot be used; it is never overwritten."""


def answer_key(fingerprint: str, inputs: dict[str, Any], repeat: int = 0) -> str:
    """The identity of one question to one candidate (hex sha256)."""
    return sha256_of([fingerprint, inputs, repeat])


class Journal:
    """Safe to share between threads and between processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, check_same_thread=False)
            with self.claim("opening"):  # turning WAL on waits for nobody
                self._open()
        except JournalError:
            self._db.close()  # and with it the lock on somebody else's database
            raise
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"{path} is not a usable journal ({error}). It was left as it is: move it away, "
                "or name another file under `journal` in config.yaml."
            ) from None

    def _open(self) -> None:
        """Check whose file it is, and make the tables of a new one, in one transaction."""
        self._db.isolation_level = None
        self._db.execute("PRAGMA synchronous=FULL")  # survives a power cut, not only a kill
        self._db.execute("BEGIN IMMEDIATE")
        ours = (APPLICATION_ID, VERSION)
        found = tuple(self._pragma(name) for name in _MARKS)
        if found != ours and self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise JournalError(
                f"{self.path} is a database of something else, or of another version of "
                "LLMFlowLab. It was left as it is: name another file under `journal` in "
                "config.yaml."
            )
        for statement in (
            *_SCHEMA,
            *(f"PRAGMA {k}={v}" for k, v in zip(_MARKS, ours, strict=True)),
        ):
            self._db.execute(statement)
        self._db.execute("COMMIT")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.isolation_level = "IMMEDIATE"

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def close(self) -> None:
        with self._lock:  # SQLite crashes when it is closed under a writing thread
            self._db.close()

    def write_answers(self, fingerprint: str, records: dict[str, dict[str, Any]]) -> None:
        """Write records by key in one durable transaction."""
        now = time.time()
        rows = [
            (key, fingerprint, record["status"] in ANSWERED, now, json.dumps(record))
            for key, record in records.items()
        ]
        self._write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)

    def write_verdict(self, key: str, record: dict[str, Any]) -> None:
        row = (key, time.time(), json.dumps(record))
        self._write("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", [row])

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        try:
            with self._lock, self._db:
                self._db.executemany(statement, rows)
        except sqlite3.Error as error:
            raise JournalError(
                f"{self.path} cannot be written ({error}). What it holds is kept: make room, or "
                "name another file under `journal` in config.yaml, and run the command again."
            ) from error

    def read_answers(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """(key, record) of the keys that are held, in no particular order."""
        return self._read("answers", list(keys))

    def read_verdict(self, key: str) -> dict[str, Any] | None:
        return next((record for _, record in self.read_verdicts([key])), None)

    def read_verdicts(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        return self._read("verdicts", list(keys))

    def _read(self, table: str, keys: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for start in range(0, len(keys), PIECE):
            piece = keys[start : start + PIECE]
            marks = ",".join("?" * len(piece))
            query = f"SELECT key, record FROM {table} WHERE key IN ({marks})"  # noqa: S608 (own names)
            try:
                with self._lock:
                    found = self._db.execute(query, piece).fetchall()
                records = [(key, json.loads(record)) for key, record in found]
            except (sqlite3.Error, ValueError) as error:  # a damaged page, or text on it
                raise JournalError(
                    f"{self.path} is damaged ({error}). It was left as it is: save it with "
                    "`sqlite3 FILE .recover`, or name another file under `journal` in config.yaml."
                ) from None
            yield from records

    @contextmanager
    def claim(self, name: str, give_up: threading.Event | None = None) -> Iterator[bool]:
        """Hold what `name` names, such as the right to ask a fingerprint, against all others.

        Yields False when `give_up` was set first. The kernel lets go when a process dies.
        """
        path = self.path.with_name(f"{self.path.name}.{name[:16]}.lock")
        give_up = give_up or threading.Event()
        with path.open("w") as file:
            while not (held := _try_lock(file)) and not give_up.wait(POLL_S):
                pass
            yield held


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
