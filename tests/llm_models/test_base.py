"""What surrounds one provider call: retry, deadline, stop, options."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from llm_models.base import MAX_ATTEMPTS, Provider
from llm_models.errors import CallError, InputError
from llm_models.schema import Chunk, ModelConfig, Request
from tests.servers.ollama import OllamaServer, Reply, delta, ending

HELLO = Request(({"role": "user", "content": "hello"},))
BUSY = Reply(503, {"error": "server busy, please try again.  maximum pending requests exceeded"})
EMPTY = Reply(body=ending(""))


def test_a_transient_fault_is_asked_again_until_there_is_an_answer(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    ollama_server.fault(BUSY, Reply(500, {"error": "model runner has unexpectedly stopped"}))

    outcome = ollama_model().complete(HELLO)

    assert (outcome.status, outcome.text, outcome.attempts) == ("ok", "You said: hello", 3)
    assert outcome.error is None
    # The waits (0.005 s and 0.01 s at the least) count as retry, not as the call's own time.
    assert outcome.retry_s >= 0.015
    assert outcome.latency_s is not None


def test_a_first_answer_has_no_retry_time(ollama_model: Any) -> None:
    outcome = ollama_model().complete(HELLO)

    assert (outcome.attempts, outcome.retry_s) == (1, 0.0)


def test_the_server_says_how_long_to_wait(ollama_server: OllamaServer, ollama_model: Any) -> None:
    ollama_server.fault(replace(BUSY, headers={"Retry-After": "0.2"}))

    outcome = ollama_model().complete(HELLO)

    assert (outcome.status, outcome.attempts) == ("ok", 2)
    assert outcome.retry_s >= 0.2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Reply(400, {"error": "invalid option"}), "invalid_request"),
        (Reply(400, {"error": "the input length exceeds the context length"}), "context_overflow"),
        (Reply(401, {"error": "unauthorized"}), "unauthenticated"),
        (Reply(404, {"error": "model 'x' not found"}), "model_not_found"),
        (Reply(429, {"error": "weekly usage limit"}), "quota_exhausted"),
        (Reply(500, {"error": "model requires more system memory"}), "model_load_failed"),
        (Reply(404, b"404 page not found"), "bad_response"),
    ],
)
def test_a_permanent_fault_is_not_asked_again(
    ollama_server: OllamaServer, ollama_model: Any, fault: Reply, kind: str
) -> None:
    ollama_server.fault(fault)

    outcome = ollama_model().complete(HELLO)

    assert (outcome.status, outcome.error_kind, outcome.attempts) == ("error", kind, 1)
    assert (outcome.text, outcome.answered) == (None, False)
    assert ollama_server.calls["/api/chat"] == 1


def test_asking_again_ends_after_the_last_attempt(
    ollama_server: OllamaServer, ollama_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_models.base.FIRST_WAIT_S", 0.0)
    ollama_server.fault(*[BUSY] * (MAX_ATTEMPTS + 1))

    outcome = ollama_model().complete(HELLO)

    assert (outcome.error_kind, outcome.attempts) == ("busy", MAX_ATTEMPTS)
    assert ollama_server.calls["/api/chat"] == MAX_ATTEMPTS


def test_a_wait_beyond_the_deadline_is_not_begun(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    ollama_server.fault(replace(BUSY, headers={"Retry-After": "181"}))

    outcome = ollama_model(deadline_s=180.0).complete(HELLO)

    assert (outcome.error_kind, outcome.attempts) == ("busy", 1)


def test_stopping_ends_a_wait_at_once(ollama_server: OllamaServer, ollama_model: Any) -> None:
    ollama_server.fault(replace(BUSY, headers={"Retry-After": "100"}))
    model, waiting, outcomes = ollama_model(), threading.Event(), []
    thread = threading.Thread(
        target=lambda: outcomes.append(model.complete(HELLO, lambda *_: waiting.set()))
    )

    thread.start()
    assert waiting.wait(10)
    model.stopped.set()
    thread.join(10)

    assert [(outcome.error_kind, outcome.attempts) for outcome in outcomes] == [("busy", 1)]


@pytest.mark.parametrize(
    "first",
    [
        EMPTY,
        Reply(body=ending(" \n")),
        Reply(body=ending("half", done=False, done_reason=None)),
        Reply(body=ending("half"), drop=True),
        Reply(body=b"<html>welcome</html>"),
        Reply(drop=True),
    ],
)
def test_an_answer_that_is_none_is_asked_for_again(
    ollama_server: OllamaServer, ollama_model: Any, first: Reply
) -> None:
    ollama_server.fault(first)

    outcome = ollama_model().complete(HELLO)

    assert (outcome.status, outcome.attempts) == ("ok", 2)


@pytest.mark.parametrize(
    "first",
    [
        Reply(body=ending("", done_reason="length")),
        Reply(body=ending(message={"content": "", "tool_calls": [{"function": {}}]})),
    ],
)
def test_an_empty_answer_that_can_only_come_again_is_not(
    ollama_server: OllamaServer, ollama_model: Any, first: Reply
) -> None:
    ollama_server.fault(first)

    outcome = ollama_model().complete(HELLO)

    assert (outcome.status, outcome.text, outcome.attempts) == ("empty", None, 1)
    assert outcome.hint


def test_every_attempt_is_observed(ollama_server: OllamaServer, ollama_model: Any) -> None:
    ollama_server.fault(BUSY, EMPTY)
    seen: list[tuple[str | None, float]] = []

    def observe(failure: CallError | None, began: float, cost: float | None) -> None:
        assert cost == 0  # a local model
        seen.append((failure and failure.kind, began))

    last = ollama_model().complete(HELLO, observe)

    assert [kind for kind, _ in seen] == ["busy", "empty", None]
    assert sorted(began for _, began in seen) == [began for _, began in seen]
    assert (last.status, last.attempts) == ("ok", 3)


def test_a_body_nobody_foresaw_costs_its_own_row_only(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    ollama_server.fault(Reply(body=ending("Hi", done_reason={"type": "stop"})))

    outcome = ollama_model().complete(HELLO)

    assert (outcome.status, outcome.error_kind, outcome.attempts) == ("error", "bad_response", 1)


def test_half_an_answer_is_kept_apart_from_answers(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    ollama_server.fault(Reply(chunks=[delta("half "), delta("of"), {"error": "unexpected EOF"}]))

    *pieces, outcome = ollama_model().stream(HELLO)

    assert pieces == ["half ", "of"]
    assert (outcome.status, outcome.text, outcome.partial) == ("incomplete", None, "half of")
    assert ollama_server.calls["/api/chat"] == 1


class Brief(Provider):
    """A provider without options."""

    supplier = "brief"

    def identity(self) -> dict[str, Any]:
        return {}

    def chunks(self, request: Request, *, stream: bool) -> Iterator[Chunk]:
        yield Chunk("Hi", status="ok")


def test_an_unknown_option_is_named_with_the_known_ones(ollama_model: Any) -> None:
    with pytest.raises(InputError, match=r"ollama option 'num_ctxt'.*known options: .*num_ctx,"):
        ollama_model(options={"num_ctxt": 1})
    with pytest.raises(InputError, match=r"brief option 'x'.*known options: none"):
        Brief(ModelConfig("test", "brief", "b", options={"x": 1}))
