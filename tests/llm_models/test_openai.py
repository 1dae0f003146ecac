"""Requests and answers of the OpenAI adapter, over real sockets."""

from typing import Any

import pytest

from llm_models.cost import cost_usd
from llm_models.errors import InputError
from llm_models.openai import OpenAI
from llm_models.schema import Completion, ModelConfig, Request, Sampling, Usage
from tests.servers.openai import (
    CHAT,
    MODEL,
    SNAPSHOT,
    OpenAIServer,
    Reply,
    completion,
    delta,
    error,
    event,
    streamed,
)

HELLO = Request(({"role": "user", "content": "hello"},))
SCHEMA = {"type": "object", "properties": {"result": {"type": "string"}}}


def asked(model: OpenAI, *, stream: bool, request: Request = HELLO) -> Completion:
    return list(model.stream(request))[-1] if stream else model.complete(request)


def test_a_request_is_translated_whole(openai_server: OpenAIServer, openai_model: Any) -> None:
    options = {
        "reasoning_effort": "low",
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "response_schema": SCHEMA,
        "extra_body": {"min_p": 0.1, "chat_template_kwargs": {"enable_thinking": False}},
    }
    turns = (
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    )
    sampling = Sampling(temperature=0.0, top_p=0.9, top_k=40, max_tokens=64, stop=("\n\n",), seed=7)

    openai_model(options=options).complete(Request(turns, "Be brief.", sampling))

    assert openai_server.requests[0].body == {
        "model": MODEL,
        "messages": [{"role": "system", "content": "Be brief."}, *turns],
        "stream": False,
        "reasoning_effort": "low",
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
        "min_p": 0.1,
        "chat_template_kwargs": {"enable_thinking": False},
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "max_tokens": 64,
        "stop": ["\n\n"],
        "seed": 7,
    }


def test_what_is_not_set_is_left_to_the_server(
    openai_server: OpenAIServer, openai_model: Any
) -> None:
    asked(openai_model(), stream=True)

    assert openai_server.requests[0].body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"reasoning": "low"}, "reasoning"),
        ({"reasoning_effort": "very"}, "reasoning_effort"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"response_schema": "json"}, "response_schema"),
        ({"temperature": 0.1}, "temperature"),
    ],
)
def test_an_unknown_option_is_refused(
    openai_model: Any, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"openai option '{named}"):
        openai_model(options=options)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_carries_counts_and_the_model_that_gave_it(
    openai_server: OpenAIServer, openai_model: Any, stream: bool
) -> None:
    outcome = asked(openai_model(price={"input": 1, "output": 2}), stream=stream)

    assert (outcome.status, outcome.text) == ("ok", "You said: hello")
    assert (outcome.finish_reason, outcome.model_version) == ("stop", SNAPSHOT)
    assert outcome.usage == Usage(input_tokens=2, output_tokens=4, total_tokens=6)
    assert outcome.cost_usd == pytest.approx(10e-6)
    assert (outcome.error, outcome.hint) == (None, None)


WHOLE = [
    (completion("Hi"), "ok", "Hi"),
    (completion("Hi", finish=None), "ok", "Hi"),
    (completion("Hi", finish="length"), "truncated", "Hi"),
    (completion("Hi", finish="eos"), "ok", "Hi"),
    (completion("Hi", finish="model_length"), "truncated", "Hi"),
    (completion("Hi", finish="insufficient_system_resource"), "incomplete", None),
    (completion("Hi", finish="content_filter"), "blocked", None),
    (completion("Hi", finish="not_invented_yet"), "error", None),
    (completion(None), "empty", None),
    (completion("  \n"), "empty", None),
    (completion([{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]), "ok", "Hi"),
    (event(), "empty", None),
    ({"object": "chat.completion", "choices": [{"message": None}]}, "empty", None),
    ({"object": "chat.completion", "choices": [None]}, "empty", None),
]


@pytest.mark.parametrize(("body", "status", "text"), WHOLE)
def test_a_whole_answer_ends_in_one_status(
    openai_server: OpenAIServer, openai_model: Any, body: Any, status: str, text: str | None
) -> None:
    openai_server.fault(Reply(body=body))
    model = openai_model()
    model.stopped.set()  # one attempt is enough

    outcome = model.complete(HELLO)

    assert (outcome.status, outcome.text) == (status, text)
    assert bool(outcome.error) is (text is None)


@pytest.mark.parametrize(
    ("events", "status", "text"),
    [
        ([delta("H"), delta("i"), delta(finish="stop")], "ok", "Hi"),
        ([delta("Hi"), delta(finish="length")], "truncated", "Hi"),
        ([delta("Hi"), delta(finish="content_filter")], "blocked", None),
        ([delta("Hi")], "incomplete", None),
        ([delta("Hi"), event()], "incomplete", None),
        ([delta(finish="stop")], "empty", None),
        ([delta("Hi", finish="stop"), event(usage={"prompt_tokens": 1})], "ok", "Hi"),
        ([b": OPENROUTER PROCESSING\n\n", b"event: x\n", delta("Hi", "stop")], "ok", "Hi"),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_only_a_finish_reason_ends_a_stream(
    openai_server: OpenAIServer,
    openai_model: Any,
    events: list[Any],
    status: str,
    text: str | None,
    done: bool,
) -> None:
    openai_server.fault(streamed(*events, done=done))

    outcome = asked(openai_model(), stream=True)

    assert (outcome.status, outcome.text) == (status, text)


def test_a_server_that_does_not_stream_is_read_all_the_same(
    openai_server: OpenAIServer, openai_model: Any
) -> None:
    openai_server.fault(Reply(body=completion("Hi")))

    assert next(openai_model().stream(HELLO)) == "Hi"


def test_lines_and_characters_of_a_stream_may_be_split_anywhere(
    openai_server: OpenAIServer, openai_model: Any
) -> None:
    whole = b"".join(streamed(delta("ñandú \u202f🦙"), delta(" fin", "stop")).chunks or ())
    raw = whole.replace(b"data: ", b"data:").replace(b"\n", b"\r\n")
    openai_server.fault(Reply(chunks=[raw[i : i + 3] for i in range(0, len(raw), 3)]))

    assert asked(openai_model(), stream=True).text == "ñandú \u202f🦙 fin"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("message", "status", "text"),
    [
        ({"content": "<think>Hm.</think>\n\nParis"}, "ok", "Paris"),
        ({"content": "Paris", "reasoning_content": "Hm."}, "ok", "Paris"),
        ({"content": "Paris", "reasoning": "Hm."}, "ok", "Paris"),
        ({"content": None, "reasoning_content": "Hm."}, "empty", None),
        ({"content": "<think>Hm."}, "empty", None),
        ({"content": [{"type": "thinking"}, {"type": "text", "text": "Paris"}]}, "ok", "Paris"),
    ],
)
def test_thinking_is_not_part_of_the_answer(
    openai_server: OpenAIServer,
    openai_model: Any,
    message: dict[str, Any],
    status: str,
    text: str | None,
    stream: bool,
) -> None:
    ending = "length" if text is None else "stop"
    whole = Reply(body=completion(finish=ending, **message))
    openai_server.fault(streamed(delta(finish=ending, **message)) if stream else whole)

    outcome = asked(openai_model(), stream=stream)

    assert (outcome.status, outcome.text) == (status, text)
    if text is None:
        assert outcome.error == "thinking used up the whole answer"
        assert "raise max_tokens" in (outcome.hint or "")


NO = {"refusal": "I can't help with that."}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", [NO, {"provider_specific_fields": NO}], ids=["OpenAI", "LiteLLM"])
def test_a_refusal_is_the_answer_and_is_marked(
    openai_server: OpenAIServer, openai_model: Any, said: dict[str, Any], stream: bool
) -> None:
    openai_server.fault(
        streamed(delta(**said), delta(finish="stop")) if stream else Reply(body=completion(**said))
    )

    outcome = asked(openai_model(), stream=stream)

    assert (outcome.status, outcome.text) == ("ok", "I can't help with that.")
    assert outcome.hint == "the model refused to answer"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("text", "status"), [(None, "empty"), ("Let me look.", "ok")])
@pytest.mark.parametrize("ending", ["tool_calls", "function_call"])
def test_a_tool_call_is_told(
    openai_server: OpenAIServer,
    openai_model: Any,
    ending: str,
    text: str | None,
    status: str,
    stream: bool,
) -> None:
    openai_server.fault(
        streamed(delta(text), delta(finish=ending))
        if stream
        else Reply(body=completion(text, finish=ending))
    )

    outcome = asked(openai_model(), stream=stream)

    assert (outcome.status, outcome.text, outcome.attempts) == (status, text, 1)
    assert outcome.hint == "the model answered with a tool call"


def counted(prompt: Any, output: Any, total: Any, thinking: Any = None, cached: Any = None) -> Any:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": total,
        "completion_tokens_details": thinking and {"reasoning_tokens": thinking},
        "prompt_tokens_details": cached and {"cached_tokens": cached, "audio_tokens": 0},
    }


@pytest.mark.parametrize(
    ("told", "usage", "billed"),
    [
        (counted(26, 12, 38), Usage(26, 12, total_tokens=38), 26 + 2 * 12),
        (counted(26, 12, 38, thinking=9), Usage(26, 3, 9, total_tokens=38), 26 + 2 * 12),
        (counted(26, 12, 38, cached=20), Usage(26, 12, None, 20, 38), 6 + 0.5 * 20 + 2 * 12),
        # xAI, and Gemini behind some proxies, count reasoning beside the completion.
        (counted(26, 12, 47, thinking=9), Usage(26, 12, 9, total_tokens=47), 26 + 2 * 21),
        (counted(21, 0, 81, thinking=60), Usage(21, 0, 60, total_tokens=81), 21 + 2 * 60),
        (counted(26, 12, None), Usage(26, 12), 26 + 2 * 12),
        (counted(26, None, None), Usage(26), None),
        (counted(0, 0, 0), Usage(), None),
        (counted("26", 12, 38), Usage(), None),
        (counted(26, -1, -1), Usage(26), None),
        (None, Usage(), None),
        ([], Usage(), None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_is_billed_once_and_what_is_not_counted_is_unknown(
    openai_server: OpenAIServer,
    openai_model: Any,
    told: Any,
    usage: Usage,
    billed: float | None,
    stream: bool,
) -> None:
    whole = Reply(body=completion("Hi", usage=told))
    openai_server.fault(streamed(delta("Hi", "stop"), event(usage=told)) if stream else whole)
    price = {"input": 1e6, "output": 2e6, "cached_input": 0.5e6}

    outcome = asked(openai_model(price=price), stream=stream)

    assert outcome.usage == usage
    assert outcome.cost_usd == billed == cost_usd(price, usage, None)


REFUSED = {
    "OpenAI's reasoning models": (
        "max_tokens",
        Reply(
            400,
            error(
                "Unsupported parameter: 'max_tokens' is not supported with this model."
                " Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            ),
        ),
    ),
    "Mistral": (
        "stream_options",
        Reply(
            422,
            {
                "object": "error",
                "message": {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "stream_options", "include_usage"],
                            "msg": "Extra inputs are not permitted",
                            "input": True,
                        }
                    ]
                },
                "type": "invalid_request_error",
            },
        ),
    ),
}


@pytest.mark.parametrize(("field", "refusal"), REFUSED.values(), ids=REFUSED)
def test_a_field_that_changes_no_answer_is_sent_otherwise_once_it_was_refused(
    openai_server: OpenAIServer, openai_model: Any, field: str, refusal: Reply
) -> None:
    openai_server.fault(refusal)
    model = openai_model()
    request = Request(HELLO.messages, sampling=Sampling(max_tokens=64, temperature=0.2))

    outcomes = [asked(model, stream=True, request=request) for _ in range(2)]

    assert [outcome.status for outcome in outcomes] == ["ok", "ok"]
    first, *later = (seen.body for seen in openai_server.requests)
    assert field in first
    assert len(later) == 2
    for body in later:
        assert field not in body
        assert body["temperature"] == 0.2
        assert body.get("max_tokens", body.get("max_completion_tokens")) == 64


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("Unsupported value: 'temperature' does not support 0.2 with this model.", "temperature"),
        ("Unrecognized request argument supplied: top_k", "top_k"),
        ("litellm.UnsupportedParamsError: does not support parameters: ['seed']", "seed"),
        ("max_tokens is too large: 512. This model supports at most 100", "max_tokens"),
    ],
)
def test_a_sampling_option_that_is_refused_is_never_left_out_unasked(
    openai_server: OpenAIServer, openai_model: Any, text: str, option: str
) -> None:
    openai_server.fault(Reply(400, error(text, param=option)))
    sampling = Sampling(temperature=0.2, top_k=40, max_tokens=512, seed=7)

    outcome = openai_model().complete(Request(HELLO.messages, sampling=sampling))

    assert (outcome.status, outcome.error_kind, outcome.attempts) == ("error", "invalid_request", 1)
    assert outcome.hint == f"set {option} to null, or to what that model takes"
    assert openai_server.calls[CHAT] == 1


def test_nothing_is_free_unless_the_user_says_so() -> None:
    """A proxy on loopback may ask a provider that bills."""
    config = ModelConfig("c", "openai", MODEL, base_url="http://127.0.0.1:4000")
    assert OpenAI.runs_locally(config) is False
