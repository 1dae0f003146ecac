"""A session as it goes into MLflow, reply by reply, without keeping whoever talks waiting."""

import threading
from queue import SimpleQueue
from typing import Literal

from llm_models.errors import scrub, shorten
from steps.core.chat.turn import Reply

Status = Literal["FINISHED", "FAILED", "KILLED"]


class Recorder:
    """Writes in a thread of its own: to import MLflow alone takes seconds.

    `failure` says what went wrong there, after which nothing more is written.
    """

    def __init__(self, experiment: str) -> None:
        self.experiment = experiment
        self.failure: str | None = None
        self.told: list[str] = []  # once closed: where the session is to be found
        self._replies: SimpleQueue[Reply | Status] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def add(self, reply: Reply) -> None:
        self._replies.put(reply)

    def close(self, status: Status) -> None:
        """Wait until everything is written, and end the run."""
        self._replies.put(status)
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self.failure = "it was not waited for"
            raise

    def _work(self) -> None:
        try:
            from steps.core.chat.runs import record

            self.told = record(self._replies.get, self.experiment)
        except Exception as error:  # told by whoever talks
            self.failure = shorten(scrub(f"{type(error).__name__}: {error}"))
