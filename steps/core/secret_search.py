"""Finds secrets in text and bytes: values of this environment, and shapes of well-known keys."""

import base64
import gzip
import json
import os
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from llm_models.errors import SECRET_VARIABLES

SHORTEST = 8  # characters; a shorter value is found in ordinary words
SQLITE = b"SQLite format 3\0"
SHAPES = {
    "a Google API key": r"AIza[\w-]{35}|\bAQ\.[\w-]{30,}",
    "a Google access token": r"ya29\.[\w-]{20,}",
    "an OpenAI-style key": r"\bsk-(?=[\w-]*\d)[\w-]{20,}",  # without a digit it is a word
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40,})",
    "an AWS access key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a bearer token": r"\bBearer (?=\S*\d)[\w.~+/-]{20,}",
    # Not where it is the word for one, as in examples.
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']+:"
    r"(?!(?i:(?:your|my|db)?[_-]?(?:password|passwd|pass|pwd|secret))@)"
    r"[^\s/@\"'*<{$]{3,}@[\w.-]+",
}
BROKEN = (zipfile.BadZipFile, zlib.error, pa.ArrowException, OSError, EOFError, RuntimeError)


class Secrets:
    """What to look for; a finding is named and never quoted."""

    def __init__(self) -> None:
        self._shapes = {name: re.compile(shape) for name, shape in SHAPES.items()}
        self._values = dict(_values())

    def within(self, content: str | Path) -> set[str]:
        """The names of what a text or a file holds, such as "the value of GEMINI_API_KEY"."""
        if isinstance(content, Path):
            return {name for text in _texts_of(content) for name in self.within(text)}
        found = {name for value, name in self._values.items() if value in content}
        return found | {name for name, shape in self._shapes.items() if shape.search(content)}

    def without(self, text: str) -> str:
        """The text with every secret in it masked."""
        for value in self._values:
            text = text.replace(value, "[secret]")
        for shape in self._shapes.values():
            text = shape.sub("[secret]", text)
        return text


def _values() -> Iterator[tuple[str, str]]:
    """Each secret of the environment in the forms it may have been written in."""
    for variable in SECRET_VARIABLES:
        value = os.environ.get(variable, "").strip()
        if len(value) >= SHORTEST:
            coded = base64.b64encode(value.encode()).decode().rstrip("=")
            for form in (value, quote(value, safe=""), json.dumps(value)[1:-1], coded):
                yield form, f"the value of {variable}"


def _texts_of(path: Path) -> Iterator[str]:
    """What a file says. Text in SQLite is split over pages."""
    with path.open("rb") as file:
        start = file.read(len(SQLITE))
    if start != SQLITE:
        yield from _texts_in(path.read_bytes())
        return
    try:
        yield from _sqlite(path)
    except sqlite3.DatabaseError:
        yield from _texts_in(path.read_bytes())


def _texts_in(data: bytes) -> Iterator[str]:
    """What bytes say, and what is packed in them; what cannot be unpacked has said all it can."""
    yield data.decode("utf-8", "replace")
    try:
        for inner in _unpacked(data):
            yield from _texts_in(inner)
    except BROKEN:
        return


def _unpacked(data: bytes) -> Iterator[bytes]:
    if data.startswith(b"PAR1"):
        with pq.ParquetFile(BytesIO(data)) as table:
            for batch in table.iter_batches(1000):
                yield json.dumps(batch.to_pylist(), default=str, ensure_ascii=False).encode()
    elif data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif zipfile.is_zipfile(BytesIO(data)):
        with zipfile.ZipFile(BytesIO(data)) as archive:
            yield from map(archive.read, archive.namelist())


def _sqlite(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
        db.text_factory = lambda data: data.decode("utf-8", "replace")
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        for (table,) in db.execute(tables).fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):  # noqa: S608, its own names
                yield " ".join(str(cell) for cell in row)
