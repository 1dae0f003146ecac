"""Asking one speaker or several over real sockets: pieces as they come, stops and failures."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_models.schema import Message
from steps.core.chat.cast import Cast
from steps.core.chat.speakers import Speaker
from steps.core.chat.turn import STOPPED, Question, Turn
from steps.core.config import load
from tests.servers.ollama import OllamaServer, Reply, delta, ending

WAIT_S = 20


@pytest.fixture
def cast(server: OllamaServer, config: Path) -> Iterator[Cast]:
    with Cast(load(config)) as cast:
        yield cast


def ask(*speakers: Speaker, prompt: str = "hi", system: str | None = None) -> Turn:
    messages: tuple[Message, ...] = ({"role": "user", "content": prompt},)
    return Turn([Question(1, speaker, messages, system) for speaker in speakers])


def test_the_first_piece_is_there_before_the_answer_has_ended(
    server: OllamaServer, cast: Cast
) -> None:
    rest = threading.Event()
    server.fault(Reply(chunks=[delta("one "), rest, delta("two"), ending()]))
    turn = ask(*cast.meet("one"))
    pieces = turn.pieces("one")
    assert next(pieces) == "one "
    assert not turn.over
    rest.set()
    assert "".join(pieces) == "two"
    assert turn.over
    reply = turn.replies["one"]
    assert (reply.said, reply.completion.status) == ("one two", "ok")
    assert 0 < (reply.first_s or 0) <= (reply.completion.latency_s or 0) + 1


@pytest.mark.parametrize(
    ("system", "sent"), [(None, "Be brief."), ("Rhyme.", "Rhyme."), ("", None)]
)
def test_the_system_prompt_is_the_candidates_own_unless_another_is_set(
    server: OllamaServer, cast: Cast, system: str | None, sent: str | None
) -> None:
    list(ask(*cast.meet("one"), system=system).pieces("one"))
    first = server.requests[-1].body["messages"][0]
    assert (first["content"] if first["role"] == "system" else None) == sent


def test_speakers_side_by_side_are_asked_at_the_same_time(server: OllamaServer, cast: Cast) -> None:
    meeting = threading.Barrier(2)

    def answer(messages: list[Message]) -> str:
        meeting.wait(WAIT_S)  # broken unless both calls are under way
        return "both"

    server.answer = answer
    turn = ask(*cast.meet("one,two"))
    assert "".join(turn.pieces("two")) == "both"
    assert "".join(turn.pieces("one")) == "both"
    assert turn.replies["one"].said == turn.replies["two"].said == "both"


def test_a_stop_keeps_what_had_come_and_closes_the_connection(
    server: OllamaServer, cast: Cast
) -> None:
    rest = threading.Event()
    server.fault(Reply(chunks=[delta("half"), rest, *[delta(" more" * 1000)] * 1000, ending()]))
    turn = ask(*cast.meet("one"))
    assert next(turn.pieces("one")) == "half"
    turn.stop()
    reply = turn.replies["one"]
    assert reply.stopped
    assert (reply.said, reply.completion.text) == ("half", None)
    assert (reply.completion.status, reply.completion.error) == ("incomplete", STOPPED)
    rest.set()
    assert server.left.wait(WAIT_S)


def test_a_stop_leaves_answers_that_have_ended(server: OllamaServer, cast: Cast) -> None:
    never = threading.Event()

    def answer(messages: list[Message]) -> str:
        if messages[0]["content"] == "Wait.":
            never.wait(WAIT_S)
        return "whole"

    server.answer = answer
    messages: tuple[Message, ...] = ({"role": "user", "content": "hi"},)
    one, two = cast.meet("one,two")
    turn = Turn([Question(1, one, messages, "Wait."), Question(1, two, messages, "Do not.")])
    assert "".join(turn.pieces("two")) == "whole"
    turn.stop()
    never.set()
    assert (turn.replies["two"].stopped, turn.replies["two"].said) == (False, "whole")
    assert (turn.replies["one"].stopped, turn.replies["one"].said) == (True, None)


@pytest.mark.parametrize(
    ("fault", "kind", "partial"),
    [
        (Reply(status=500, body={"error": "boom"}), "server_error", None),
        (Reply(chunks=[delta("half"), {"error": "boom"}]), "server_error", "half"),
        (Reply(chunks=[delta("half")], drop=True), "incomplete", "half"),
    ],
)
def test_a_failed_call_is_no_answer(
    server: OllamaServer, cast: Cast, fault: Reply, kind: str, partial: str | None
) -> None:
    server.fault(fault)
    turn = ask(*cast.meet("one"))
    list(turn.pieces("one"))
    reply = turn.replies["one"]
    assert (reply.said, reply.stopped) == (None, False)
    assert (reply.completion.error_kind, reply.completion.partial) == (kind, partial)
