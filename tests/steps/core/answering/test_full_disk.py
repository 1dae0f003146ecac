"""Where nothing can be written any more, nothing that was answered is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from steps.core.answering.journal import Journal, JournalError, answer_key
from steps.core.answering.runner import Run
from steps.run_prompts import main as run_prompts
from tests.servers.ollama import OllamaServer
from tests.steps.conftest import invoke
from tests.steps.core.runs import asked, files, finish, questions, resolved, until

pytest_plugins = ["tests.steps.core.runner_fixtures"]


def full(journal: Journal) -> None:
    """What SQLite does where the disk is: it answers SQLITE_FULL."""
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {pages + 4}")


def read_only(journal: Journal) -> None:
    journal._db.execute("PRAGMA query_only = ON")


@pytest.mark.parametrize(("spoil", "word"), [(full, "full"), (read_only, "readonly")])
def test_a_journal_that_cannot_be_written_stops_the_run_and_loses_nothing_answered(
    ollama: OllamaServer, journal: Journal, spoil: Callable[[Journal], None], word: str
) -> None:
    rows, delivered = questions(200), set()
    first = {row.inputs["prompt"] for row in rows[:100]}
    finish(Run(resolved(ollama), rows[:20], journal))
    spoil(journal)
    run = Run(resolved(ollama), rows, journal)

    def answer(said: list[dict[str, Any]]) -> str:
        return "Paris" if said[-1]["content"] in first else str(run.ready.provider.stopped.wait(9))

    ollama.answer = answer
    with pytest.raises(JournalError, match=rf"(?s)journal\.sqlite.*{word}"):
        for given in run.start():
            delivered.add(given.row.id)
    assert run.stopped is not None
    assert "journal" in run.stopped.reason
    assert asked(ollama).total() <= 100 + run.ready.config.concurrency
    reopened = Journal(journal.path)  # as a later command does, when there is room again
    keys = {answer_key(run.ready.fingerprint, row.inputs): row.id for row in rows}
    kept = {keys[key] for key, _ in reopened.read_answers(keys)}
    assert delivered <= kept
    answers = finish(Run(resolved(ollama), rows, reopened))
    assert kept <= {given.row.id for given in answers if given.reused}
    assert len(answers) == 200


def test_a_store_that_cannot_be_written_is_told_and_no_row_is_asked_again(
    ollama: OllamaServer, client: MlflowClient, experiment: str, tmp_path: Path
) -> None:
    config, data = files(tmp_path, 10, ollama.url)
    artifacts = Path(urlsplit(client.get_experiment(experiment).artifact_location).path)
    shutil.rmtree(artifacts)
    artifacts.touch()  # root may write anywhere, but not below a file
    told = invoke(run_prompts, config, data=data)
    assert told.exit_code == 1
    until(lambda: asked(ollama).total() == 10)

    artifacts.unlink()
    assert invoke(run_prompts, config, data=data).exit_code == 0
    assert set(asked(ollama).values()) == {1}
    assert isinstance(told.exception, SystemExit), repr(told.exception)
    assert told.output.startswith("Error: ")
