"""A caller who leaves ends the calls that are made for it, and no others."""

import socket
import threading
from contextvars import copy_context

import pytest

from llm_models.caller import CALLER, Caller
from llm_models.request_limits import Limits
from llm_models.schema import Completion, Request
from tests.llm_models.conftest import OllamaModel
from tests.servers.ollama import OllamaServer, Reply

HELLO = Request(({"role": "user", "content": "hello"},))


@pytest.fixture
def caller() -> Caller:
    return Caller(Limits())


def complete_for(caller: Caller, model: OllamaModel) -> Completion:
    def complete() -> Completion:
        CALLER.set(caller)
        return model().complete(HELLO)

    return copy_context().run(complete)


def test_leaving_breaks_a_wait_and_every_later_one(caller: Caller) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        with caller.waiting(ours):
            caller.leave()
            assert ours.recv(1) == b""
    again, theirs = socket.socketpair()
    with again, theirs:
        again.settimeout(10)
        with caller.waiting(again):
            assert again.recv(1) == b""


def test_a_connection_that_is_no_longer_waited_for_stays_open(caller: Caller) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with caller.waiting(ours):
            pass
        caller.leave()
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"


def test_a_connection_that_has_ended_by_itself_is_no_error(caller: Caller) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with caller.waiting(ours):
        ours.close()
        caller.leave()
    assert caller.left.is_set()


def test_who_leaves_ends_the_call_and_its_retries(
    caller: Caller, ollama_server: OllamaServer, ollama_model: OllamaModel
) -> None:
    ollama_server.fault(Reply(hold=threading.Event()))
    asking = threading.Thread(target=complete_for, args=(caller, ollama_model))
    asking.start()
    assert ollama_server.wait_for(1, "/api/chat")
    caller.leave()
    asking.join(10)
    assert not asking.is_alive()
    assert ollama_server.left.wait(10)
    assert ollama_server.calls["/api/chat"] == 1


def test_nothing_is_asked_for_one_who_has_left(
    caller: Caller, ollama_server: OllamaServer, ollama_model: OllamaModel
) -> None:
    caller.leave()
    completion = complete_for(caller, ollama_model)
    assert (completion.status, completion.error_kind) == ("error", "left")
    assert completion.cost_usd == 0
    assert not ollama_server.requests


def test_a_caller_is_told_to_wait_and_not_kept_waiting(
    caller: Caller, ollama_server: OllamaServer, ollama_model: OllamaModel
) -> None:
    ollama_server.fault(Reply(503, {"error": "server busy"}, headers={"Retry-After": "5"}))
    completion = complete_for(caller, ollama_model)
    assert (completion.error_kind, completion.attempts) == ("busy", 1)
    assert completion.retry_after_s == 5
