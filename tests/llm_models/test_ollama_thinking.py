"""Where models hide their thinking, models that cannot think, and tool calls for an answer."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llm_models.schema import Completion, Request
from tests.servers.ollama import MODEL, OllamaServer, Reply, Seen, delta, ending

HELLO = Request(({"role": "user", "content": "hello"},))
CANNOT_THINK = Reply(400, {"error": f'"{MODEL}" does not support thinking'})


def streamed(model: Any) -> tuple[list[str], Completion]:
    *pieces, completion = model.stream(HELLO)
    return pieces, completion


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>Let me see.</think>\n\nParis", "Paris"),
        ("Let me see.</think>Paris", "Paris"),
        ("<think>a</think>b<think>c</think> Paris\n", "Paris\n"),
        ("<think></think>\n\nParis", "Paris"),
        (" Paris\u202f\t🦙\n", " Paris\u202f\t🦙\n"),
        ('```json\n{"a": 1}\n```\t\n', '```json\n{"a": 1}\n```\t\n'),
        ("a < b and <thinking>", "a < b and <thinking>"),
        ('{"tag": "</think>"}', '{"tag": "</think>"}'),
        ('<think>{"a"</think>\n{"tag": "</think>"}', '{"tag": "</think>"}'),
        ('{"a": 1}</think>Paris', "Paris"),
    ],
)
def test_the_answer_is_what_follows_the_thinking(
    ollama_server: OllamaServer, ollama_model: Any, text: str, answer: str
) -> None:
    ollama_server.fault(Reply(body=ending(text)))

    assert ollama_model().complete(HELLO).text == answer


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>Let me see, I would say"},
        {"content": "<think>Let me see.</think>\n"},
        {"content": "", "thinking": "Let me see"},
    ],
)
def test_thinking_alone_is_not_an_answer(
    ollama_server: OllamaServer, ollama_model: Any, message: dict[str, str]
) -> None:
    last = ending(message={"role": "assistant"} | message, done_reason="length")
    ollama_server.fault(Reply(body=last))

    outcome = ollama_model(options={"num_ctx": 4096}).complete(HELLO)

    assert (outcome.status, outcome.text, outcome.attempts) == ("empty", None, 1)
    assert outcome.error == "thinking used up the whole answer"
    assert "num_ctx" in (outcome.hint or "")


def test_thoughts_beside_the_answer_are_not_kept(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    thought = delta("", thinking="Let me see. ")
    ollama_server.fault(Reply(chunks=[thought, thought, delta("Paris"), ending()]))

    assert streamed(ollama_model())[0] == ["Paris"]


@pytest.mark.parametrize(
    "text",
    [
        f'"{MODEL}" does not support thinking',
        f"registry.ollama.ai/library/{MODEL} does not support thinking",
        'think value "low" is not supported for this model',
    ],
)
def test_a_model_that_cannot_think_is_asked_without_once_and_for_all(
    ollama_server: OllamaServer,
    ollama_model: Any,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ollama_server.fault(Reply(400, {"error": text}))
    model = ollama_model(options={"think": "low"})

    with caplog.at_level(logging.WARNING, "llm_models.ollama"):
        first, second = model.complete(HELLO), model.complete(HELLO)

    assert [first.status, second.status, first.attempts] == ["ok", "ok", 1]
    assert ["think" in seen.body for seen in ollama_server.requests] == [True, False, False]
    assert len(caplog.records) == 1


class UnthinkingServer(OllamaServer):
    """Refuses `think`, once as many calls with it have come in as the barrier waits for."""

    met = threading.Barrier(8)

    def reply(self, seen: Seen) -> Reply:
        if "think" not in seen.body:
            return super().reply(seen)
        self.met.wait(10)
        return CANNOT_THINK


def test_threads_that_all_meet_the_refusal_all_get_an_answer(ollama_model: Any) -> None:
    with UnthinkingServer() as server, ThreadPoolExecutor(8) as pool:
        model = ollama_model(base_url=server.url, options={"think": True})
        outcomes = list(pool.map(model.complete, [HELLO] * 9))

    assert [(outcome.status, outcome.attempts) for outcome in outcomes] == [("ok", 1)] * 9
    assert sum("think" in seen.body for seen in server.requests) == 8


def test_a_model_that_never_thought_is_not_asked_again(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    ollama_server.fault(CANNOT_THINK)

    outcome = ollama_model().complete(HELLO)

    assert (outcome.status, outcome.error_kind) == ("error", "invalid_request")
    assert ollama_server.calls["/api/chat"] == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("text", "status"), [("", "empty"), ("I looked it up: 4", "ok")])
def test_a_tool_call_without_text_says_so(
    ollama_server: OllamaServer, ollama_model: Any, stream: bool, text: str, status: str
) -> None:
    calls = [{"function": {"name": "search", "arguments": {"q": "2+2"}}}]
    message = {"role": "assistant", "content": text, "tool_calls": calls}
    ollama_server.fault(
        Reply(chunks=[delta("", tool_calls=calls), delta(text), ending()])
        if stream
        else Reply(body=ending(message=message))
    )

    outcome = streamed(ollama_model())[1] if stream else ollama_model().complete(HELLO)

    hint = "the model answered with a tool call" if status == "empty" else None
    assert (outcome.status, outcome.hint, outcome.attempts) == (status, hint, 1)
