"""Every shape of a 200 answer that real servers have sent, through the real SDK."""

from typing import Any

import pytest

from llm_models.base import MAX_ATTEMPTS
from llm_models.schema import Completion, Request, Usage
from tests.servers.gemini import GeminiServer, Reply, candidate, reply

pytest_plugins = ["tests.llm_models.gemini_fixtures"]

HELLO = Request(({"role": "user", "content": "hello"},))
COUNTS = {"promptTokenCount": 9, "totalTokenCount": 9}
THOUGHT = {"text": "Let me see.", "thought": True}
CALL = {"functionCall": {"name": "search", "args": {"q": "x"}}}
CODE = {"executableCode": {"language": "PYTHON", "code": "print(6 * 7)"}}
RAN = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}}
SHORT = "raise max_output_tokens or lower the thinking budget"

ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "blocked prompt": (
        {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": COUNTS},
        {"status": "blocked", "error_kind": "blocked", "finish_reason": "PROHIBITED_CONTENT"},
    ),
    "blocked prompt, new reason": (
        {"promptFeedback": {"blockReason": "SOMETHING_NEW"}},
        {"status": "blocked", "finish_reason": "SOMETHING_NEW"},
    ),
    "content without a key": (
        reply({"content": {}, "finishReason": "SAFETY", "index": 0}),
        {"status": "blocked", "finish_reason": "SAFETY", "partial": None},
    ),
    "no content": (
        reply({"finishReason": "OTHER"}),
        {"status": "error", "error_kind": "bad_response"},
    ),
    "content without parts": (
        reply({"content": {"role": "model"}, "finishReason": "STOP"}),
        {"status": "empty", "error_kind": "empty"},
    ),
    "thinking took all, no parts": (
        reply(
            {"content": {"role": "model"}, "finishReason": "MAX_TOKENS"},
            usage={"promptTokenCount": 9, "thoughtsTokenCount": 50, "totalTokenCount": 59},
        ),
        {"status": "empty", "hint": SHORT, "attempts": 1, "usage": Usage(9, 0, 50, None, 59)},
    ),
    "thinking took all, thoughts only": (
        reply(candidate(THOUGHT, finish="MAX_TOKENS")),
        {"status": "empty", "hint": SHORT, "attempts": 1, "partial": None},
    ),
    "cut short": (
        reply(candidate("Once upon", finish="MAX_TOKENS")),
        {"status": "truncated", "text": "Once upon", "error": None},
    ),
    "stub, then safety": (
        reply(candidate("I think", finish="SAFETY")),
        {"status": "blocked", "text": None, "partial": "I think", "attempts": 1},
    ),
    "stub, then recitation": (
        reply(candidate("Call me", finish="RECITATION")),
        {"status": "blocked", "text": None, "partial": "Call me"},
    ),
    "thoughts before the answer": (reply(candidate(THOUGHT, '{"n": 4}')), {"text": '{"n": 4}'}),
    "tool call without text": (
        reply(candidate(CALL)),
        {"status": "empty", "attempts": 1, "hint": "tool"},
    ),
    "malformed tool call": (
        reply({"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}),
        {"status": "error", "finish_reason": "MALFORMED_FUNCTION_CALL", "hint": "tool"},
    ),
    "unexpected tool call": (
        reply(candidate("Let me", finish="UNEXPECTED_TOOL_CALL")),
        {"status": "error", "text": None, "partial": "Let me"},
    ),
    "several parts and candidates": (
        reply(candidate("It is", CODE, RAN, " 42."), candidate("No.", index=1)),
        {"status": "ok", "text": "It is 42."},
    ),
    "finish reason of the future": (
        reply(candidate("Hi", finish="SOMETHING_NEW")),
        {"status": "error", "text": None, "finish_reason": "SOMETHING_NEW"},
    ),
    "no finish reason": (
        reply(candidate("Half an", finish=None)),
        {"status": "incomplete", "text": None, "partial": "Half an", "error_kind": "incomplete"},
    ),
    "prefixed version": (
        reply(candidate("Hi"), modelVersion="models/gemini-2.5-flash-002"),
        {"status": "ok", "model_version": "gemini-2.5-flash-002"},
    ),
    "fenced JSON, not ASCII": (
        reply(candidate('```json\n{"ort": "Köln", "気": "\u2028"}\n```')),
        {"status": "ok", "text": '```json\n{"ort": "Köln", "気": "\u2028"}\n```'},
    ),
}


def assert_is(completion: Completion, expected: dict[str, Any]) -> None:
    expected = dict(expected)
    assert expected.pop("hint", "") in (completion.hint or "")
    assert {name: getattr(completion, name) for name in expected} == expected


@pytest.mark.parametrize(("body", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_200_ends_in_the_right_status(
    body: dict[str, Any],
    expected: dict[str, Any],
    gemini_server: GeminiServer,
    gemini_model: Any,
    ask: Any,
) -> None:
    gemini_server.fault(*[Reply(body=body)] * MAX_ATTEMPTS)

    assert_is(ask(gemini_model()), expected)


def test_an_empty_answer_is_asked_again_and_a_block_is_not(
    gemini_server: GeminiServer, gemini_model: Any
) -> None:
    model = gemini_model()
    gemini_server.fault(Reply(body=reply(candidate())), Reply(body=reply(candidate("No"))))
    assert (model.complete(HELLO).text, gemini_server.calls.total()) == ("No", 2)

    gemini_server.fault(Reply(body=reply(candidate(finish="SAFETY"))))
    assert (model.complete(HELLO).attempts, gemini_server.calls.total()) == (1, 3)


USAGES: dict[str, tuple[Any, dict[str, Any], Usage]] = {
    "all counts": (
        "Hi",
        {
            "promptTokenCount": 10,
            "toolUsePromptTokenCount": 5,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 30,
            "cachedContentTokenCount": 8,
            "totalTokenCount": 47,
        },
        Usage(15, 2, 30, 8, 47),
    ),
    "total without thoughts": (
        "Hi",
        {"promptTokenCount": 10, "candidatesTokenCount": 2, "thoughtsTokenCount": 30}
        | {"totalTokenCount": 12},
        Usage(10, 2, 30, None, 12),
    ),
    "nothing written": (
        None,
        {"promptTokenCount": 10, "totalTokenCount": 10},
        Usage(10, 0, total_tokens=10),
    ),
    "text, but no count of it": ("Hi", {"promptTokenCount": 10}, Usage(10, None)),
    "no prompt count": (None, {"totalTokenCount": 10}, Usage(total_tokens=10)),
    "text, and only its thoughts counted": (
        "Hi",
        {"promptTokenCount": 10, "thoughtsTokenCount": 30},
        Usage(10, None, 30),
    ),
    "no counts": ("Hi", {"trafficType": "ON_DEMAND"}, Usage()),
    "no usage": ("Hi", None, Usage()),
}


@pytest.mark.parametrize(("text", "counts", "expected"), USAGES.values(), ids=USAGES.keys())
def test_usage_is_what_the_server_counted(
    text: str | None,
    counts: dict[str, Any],
    expected: Usage,
    gemini_server: GeminiServer,
    gemini_model: Any,
    ask: Any,
) -> None:
    finished = candidate(*filter(None, [text]), finish="STOP" if text else "SAFETY")
    gemini_server.fault(Reply(body=reply(finished, usage=counts)))

    completion = ask(gemini_model())

    assert completion.usage == expected
    assert (completion.cost_usd is None) == (
        None in (expected.input_tokens, expected.output_tokens)
    )


def more(*parts: Any, finish: str | None = None, **counts: int) -> dict[str, Any]:
    """One event of a stream."""
    return reply(candidate(*parts, finish=finish), usage=counts)


STREAMS: dict[str, tuple[list[Any], list[str], dict[str, Any]]] = {
    "STOP comes twice": (
        [more("", finish="STOP"), more(CODE), more("It is 42."), more("", finish="STOP")],
        ["It is 42."],
        {"status": "ok", "text": "It is 42."},
    ),
    "the last finish reason counts": (
        [more("It", finish="STOP"), more(" is", finish="SAFETY")],
        ["It", " is"],
        {"status": "blocked", "partial": "It is"},
    ),
    "a signature at the end": (
        [more("Hi"), more({"text": "", "thoughtSignature": "c2ln"}, finish="STOP")],
        ["Hi"],
        {"status": "ok", "text": "Hi"},
    ),
    "no parts at the end": (
        [more("Hi"), reply({"content": {"role": "model"}, "finishReason": "STOP"})],
        ["Hi"],
        {"status": "ok", "text": "Hi"},
    ),
    "thoughts are not passed on": (
        [more(THOUGHT), more("4", finish="STOP")],
        ["4"],
        {"status": "ok", "text": "4"},
    ),
    "usage goes up and down": (
        [
            more("Hi", promptTokenCount=9, totalTokenCount=9),
            more(" there", promptTokenCount=9, candidatesTokenCount=7, thoughtsTokenCount=5),
            more("", finish="STOP", promptTokenCount=8, candidatesTokenCount=2, totalTokenCount=10),
        ],
        ["Hi", " there"],
        {"status": "ok", "usage": Usage(8, 2, None, None, 10)},
    ),
    "the count of a text sent before is missing": (
        [more("Hi"), more("", finish="STOP", promptTokenCount=8)],
        ["Hi"],
        {"status": "ok", "usage": Usage(8), "cost_usd": None},
    ),
}


@pytest.mark.parametrize(("events", "pieces", "expected"), STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_is_read_to_its_end(
    events: list[Any],
    pieces: list[str],
    expected: dict[str, Any],
    gemini_server: GeminiServer,
    gemini_model: Any,
) -> None:
    gemini_server.fault(Reply(chunks=events))

    *seen, completion = gemini_model().stream(HELLO)

    assert seen == pieces
    assert isinstance(completion, Completion)
    assert_is(completion, expected)
