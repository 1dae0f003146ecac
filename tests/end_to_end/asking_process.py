"""A command without MLflow, of which a test can start dozens: resolve, ask, tell the answers."""

import json
import os
from pathlib import Path

from steps.core.answering.candidates import resolve
from steps.core.answering.journal import Journal
from steps.core.answering.runner import Run
from steps.core.config import Candidate, Config
from steps.core.dataset import Row
from tests.servers.ollama import MODEL


def rows(count: int) -> list[Row]:
    return [Row(f"r{i}", {"prompt": f"question {i}"}, {}, {}) for i in range(count)]


def run(journal: Path, url: str, count: int) -> Run:
    candidate = Candidate(
        name="one", provider="ollama", model=MODEL, registered_name="llm_test", base_url=url
    )
    ready = resolve(candidate, Config(candidates=(candidate,)))
    return Run(ready, rows(count), Journal(journal))


def ask(journal: Path, url: str, count: int, name: str, told: Path) -> None:
    """Write {row id: answer} to `told`. The server sees `name` with every call."""
    os.environ["OLLAMA_API_KEY"] = name
    answers = {a.row.id: a.completion.text for a in run(journal, url, count).start()}
    told.write_text(json.dumps(answers))
