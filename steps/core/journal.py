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
from typing import Any

from llm_models.errors import LabError
from steps.core.hashing import sha256_of

APPLICATION_ID = 0x4C4C4D46  # "LLMF": tells our files from other people's databases
VERSION = 1
PIECE = 500  # keys in one query
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, answered INTEGER NOT NULL,
    written_at REAL NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (
    key TEXT PRIMARY KEY, written_at REAL NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
"""


class JournalError(LabError):
    """The journal file cannot be used; it is never overwritten."""


def answer_key(fingerprint: str, inputs: dict[str, Any], repeat: int = 0) -> str:
    """The identity of one question to one candidate (hex sha256)."""
    return sha256_of([fingerprint, inputs, repeat])


class Journal:
    """Safe to share between threads and between processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._open()
        except sqlite3.DatabaseError as error:
            raise JournalError(
                f"{path} is not a usable journal ({error}). It was left as it is: move it away, "
                "or name another file under `journal` in config.yaml."
            ) from None

    def _open(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if tables and (application, version) != (APPLICATION_ID, VERSION):
            raise JournalError(
                f"{self.path} is a database of something else, or of another version of "
                "LLMFlowLab. It was left as it is: name another file under `journal` in "
                "config.yaml."
            )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # survives a power cut, not only a kill
        self._db.executescript(
            f"BEGIN IMMEDIATE;{_SCHEMA}"
            f"PRAGMA application_id={APPLICATION_ID};PRAGMA user_version={VERSION};COMMIT;"
        )

    def close(self) -> None:
        self._db.close()

    def write_answers(self, fingerprint: str, records: dict[str, dict[str, Any]]) -> None:
        """Write records by key in one durable transaction."""
        now = time.time()
        rows = [
            (key, fingerprint, record["status"] in ("ok", "truncated"), now, json.dumps(record))
            for key, record in records.items()
        ]
        self._write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)

    def write_verdict(self, key: str, record: dict[str, Any]) -> None:
        row = (key, time.time(), json.dumps(record))
        self._write("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", [row])

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with self._lock, self._db:
            self._db.executemany(statement, rows)

    def read_answers(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """(key, record) of the keys that are held, in no particular order."""
        return self._read("answers", list(keys))

    def read_verdict(self, key: str) -> dict[str, Any] | None:
        return next((record for _, record in self._read("verdicts", [key])), None)

    def _read(self, table: str, keys: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for start in range(0, len(keys), PIECE):
            piece = keys[start : start + PIECE]
            marks = ",".join("?" * len(piece))
            query = f"SELECT key, record FROM {table} WHERE key IN ({marks})"  # noqa: S608 (own names)
            with self._lock:
                found = self._db.execute(query, piece).fetchall()
            for key, record in found:
                yield key, json.loads(record)

    @contextmanager
    def claim(self, fingerprint: str) -> Iterator[None]:
        """Hold the right to ask this fingerprint; the kernel lets go when a process dies."""
        path = self.path.with_name(f"{self.path.name}.{fingerprint[:16]}.lock")
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
