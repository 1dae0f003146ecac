"""The MLflow runs of a session: its own for the first model, one below it for every other."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.core import tracking
from steps.core.chat.book import Book
from steps.core.chat.recording import Status
from steps.core.chat.speakers import Speaker
from steps.core.chat.turn import Reply
from steps.core.comparing.mlflow_views import server_url


def record(next_one: Callable[[], Reply | Status], experiment: str) -> list[str]:
    """Write every reply the moment it is handed over, until a status ends the session.

    A session without a reply leaves no run. Returns lines that tell where the session is.
    """
    client = tracking.connect()
    item = next_one()
    if not isinstance(item, Reply):
        return []
    with _session_run(experiment, item.question.speaker) as session, _books(client) as books:
        while isinstance(item, Reply):
            speaker = item.question.speaker
            if speaker.name not in books:
                run_id = _below(client, session, speaker) if books else session.info.run_id
                books[speaker.name] = Book(client, session, run_id, speaker)
            books[speaker.name].add(item)
            item = next_one()
        ended = [book.close(item) for book in books.values()]
        mlflow.end_run(ended[0])
    return _whereabouts(client, session, experiment)


@contextmanager
def _session_run(experiment: str, speaker: Speaker) -> Iterator[Run]:
    """The run that `mlflow run` has made, where it has, else one in `experiment`."""
    if "MLFLOW_RUN_ID" not in os.environ:
        mlflow.set_experiment(experiment)  # refused under `mlflow run`, which has chosen one
    with mlflow.start_run(run_name=_name(speaker)) as run:
        mlflow.set_tag("step", "chat")
        yield run


def _below(client: MlflowClient, session: Run, speaker: Speaker) -> str:
    return tracking.start_child(client, session, _name(speaker), {})


def _name(speaker: Speaker) -> str:
    return f"Chat_{speaker.config.model}"


@contextmanager
def _books(client: MlflowClient) -> Iterator[dict[str, Book]]:
    """Those whose session fails are closed with it."""
    books: dict[str, Book] = {}
    try:
        yield books
    except BaseException:
        for book in books.values():
            book.close("FAILED")
        raise


def _whereabouts(client: MlflowClient, session: Run, wanted: str) -> list[str]:
    experiment, run = client.get_experiment(session.info.experiment_id), session.info.run_id
    base = f"{server_url()}/#/experiments/{experiment.experiment_id}"
    told = [f"Run: {base}/runs/{run}", f"Conversation: {base}/chat-sessions/{run}"]
    if experiment.name != wanted:
        told.append(
            f"It is in the experiment '{experiment.name}', which `mlflow run` has chosen: "
            f"`--experiment-name {wanted}` chooses another"
        )
    return told
