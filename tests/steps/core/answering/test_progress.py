"""Lines of progress where there is no terminal."""

import io
import sys
from typing import Any

import pytest

from llm_models.schema import Completion
from steps.core.answering.progress import progress
from steps.core.answering.runner import Answer
from steps.core.dataset import Row


class Pieces(io.BytesIO):
    """Keeps each write apart, as other threads could write between two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, piece: Any) -> int:
        self.written.append(bytes(piece))
        return len(piece)


def test_a_line_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are asked in threads: what `print` ends a line with could follow another's line."""
    out = Pieces()
    unbuffered = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", unbuffered)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    failed = Answer(Row("1", {"prompt": "hi"}, {}, {}), Completion("error"), 0.0, reused=False)
    with progress() as track:
        tick = track("one", 2)
        tick(failed)
        tick(failed)
    assert b"one: 2/2 rows, 2 errors\n" in out.written
