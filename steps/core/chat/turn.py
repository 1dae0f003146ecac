"""One question to one speaker or several at the same time, with their answers as they come."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from llm_models.cost import cost_usd
from llm_models.errors import LabError
from llm_models.schema import Completion, Message, Usage
from steps.core.chat.speakers import Speaker

STOPPED = "stopped by the user"


@dataclass(frozen=True)
class Question:
    """What one speaker is asked."""

    number: int  # within the session; speakers side by side are asked the same one
    speaker: Speaker
    messages: tuple[Message, ...]
    system: str | None  # None: the speaker's own

    @property
    def prompt(self) -> str:
        return self.messages[-1]["content"]

    @property
    def system_prompt(self) -> str | None:
        """Which one it is then."""
        return self.speaker.config.system if self.system is None else self.system

    @property
    def inputs(self) -> dict[str, Any]:
        """As a row of a dataset has them."""
        return {"messages": self.messages, "system": self.system}


@dataclass(frozen=True)
class Reply:
    """What came of a question."""

    question: Question
    completion: Completion
    asked_at: float  # seconds since 1970
    first_s: float | None  # seconds until the first piece

    @property
    def stopped(self) -> bool:
        return self.completion.error == STOPPED

    @property
    def said(self) -> str | None:
        """What belongs to the history: an answer, or what the user let it say of one."""
        return self.completion.partial if self.stopped else self.completion.text


class Turn:
    """Asks at once, in a thread for each question; what it gives is for one thread to read."""

    def __init__(self, questions: list[Question]) -> None:
        self.questions = {question.speaker.name: question for question in questions}
        self.texts = dict.fromkeys(self.questions, "")  # what has arrived
        self.replies: dict[str, Reply] = {}  # of those that have ended
        self._first_s: dict[str, float] = {}
        self._asked_at, self._began = time.time(), time.perf_counter()
        self._stopped = threading.Event()
        self._arrived: SimpleQueue[tuple[str, float, str | Completion | Exception]] = SimpleQueue()
        for name in self.questions:
            threading.Thread(target=self._ask, args=[name], daemon=True).start()

    @property
    def over(self) -> bool:
        return len(self.replies) == len(self.questions)

    def pieces(self, name: str) -> Iterator[str]:
        """One speaker's text as it arrives; that of the others is kept meanwhile."""
        given = 0
        while given < len(self.texts[name]) or name not in self.replies:
            if given == len(self.texts[name]):
                self.receive()
            else:
                piece, given = self.texts[name][given:], len(self.texts[name])
                yield piece

    def receive(self) -> None:
        """Wait for the next piece, or the end, of any answer."""
        name, after_s, news = self._arrived.get()
        if isinstance(news, Exception):
            raise news
        if isinstance(news, Completion):
            self._end(name, news)
        else:
            self._first_s.setdefault(name, after_s)
            self.texts[name] += news

    def stop(self) -> None:
        """End what is unfinished now; what has arrived of it is kept."""
        self._stopped.set()
        for name, question in self.questions.items():
            if name not in self.replies:
                question.speaker.stop()
                self._end(name, self._cut(question))

    def _end(self, name: str, completion: Completion) -> None:
        first_s = self._first_s.get(name)
        self.replies[name] = Reply(self.questions[name], completion, self._asked_at, first_s)

    def _cut(self, question: Question) -> Completion:
        """No count has come, so a price by tokens leaves the cost unknown."""
        elapsed = time.perf_counter() - self._began
        return Completion(
            "incomplete",
            partial=self.texts[question.speaker.name] or None,
            error=STOPPED,
            error_kind="incomplete",
            latency_s=elapsed,
            cost_usd=cost_usd(question.speaker.config.price, Usage(), elapsed),
        )

    def _ask(self, name: str) -> None:
        question = self.questions[name]
        try:
            with closing(question.speaker.ask(question.messages, question.system)) as answer:
                for piece in answer:
                    if self._stopped.is_set():
                        return  # closes the connection, so that the server stops as well
                    self._arrive(name, piece)
        except LabError as error:
            self._arrive(name, _failure(error))
        except Exception as error:  # raised again where the answer is read
            self._arrive(name, error)

    def _arrive(self, name: str, news: str | Completion | Exception) -> None:
        self._arrived.put((name, time.perf_counter() - self._began, news))


def _failure(error: LabError) -> Completion:
    return Completion(
        "error",
        error=str(error),
        error_kind=getattr(error, "kind", "invalid_request"),
        hint=getattr(error, "hint", None),
    )
