"""`serve` through OpenAI's own client."""

import json
import socket
import threading
from typing import Any

import openai
import pytest

from tests.end_to_end.lab import until
from tests.end_to_end.served import ASKED, CHAT, LATER, NAME, PRIVATE, Served
from tests.servers.ollama import Reply, delta, ending

pytest_plugins = ["tests.end_to_end.serve_fixtures"]


def test_an_answer_has_the_form_of_openai(served: Served) -> None:
    raw = served.client().chat.completions.with_raw_response.create(model=NAME, messages=ASKED)
    answer = raw.parse()
    assert raw.headers["x-model-version"] == f"{NAME}/1"
    assert answer.choices[0].message.content == "You said: say yes"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.system_fingerprint == raw.headers["x-model-fingerprint"]
    usage = answer.usage
    assert usage and usage.prompt_tokens + usage.completion_tokens == usage.total_tokens > 0


def test_a_stream_begins_with_the_role_and_ends_with_the_usage(served: Served) -> None:
    chunks = list(
        served.client().chat.completions.create(
            model=NAME, messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert [d.role for d in deltas] == ["assistant", *[None] * (len(deltas) - 1)]
    assert len(deltas) > 4
    assert "".join(d.content or "" for d in deltas) == "You said: say yes"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage and chunks[-1].usage.total_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_is_sent_as_it_is_written(served: Served) -> None:
    rest = threading.Event()
    served.ollama.fault(Reply(chunks=[delta("first"), rest, ending(" last")]))
    chunks = served.client().chat.completions.create(model=NAME, messages=ASKED, stream=True)
    texts = (chunk.choices[0].delta.content for chunk in chunks)
    assert next(text for text in texts if text) == "first"
    rest.set()
    assert [text for text in texts if text] == [" last"]


def test_sampling_options_reach_the_provider(served: Served) -> None:
    served.client().chat.completions.create(
        model=f"{NAME}@staging",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "say "}, {"type": "text", "text": "no"}],
            },
        ],
        temperature=0,
        top_p=0.5,
        max_completion_tokens=9,
        stop="END",
        seed=3,
        n=1,
        user="someone",
    )
    sent = served.ollama.requests[-1].body
    wanted = {"temperature": 0, "top_p": 0.5, "num_predict": 9, "stop": ["END"], "seed": 3}
    assert sent["options"].items() >= wanted.items()
    assert [m["content"] for m in sent["messages"]] == ["Be brief.", "say no"]


def test_the_names_of_the_model_are_listed(served: Served) -> None:
    client = served.client()
    names = [model.id for model in client.models.list()]
    assert names == [NAME, f"{NAME}@staging", f"{NAME}/1"]
    assert client.models.retrieve(f"{NAME}@staging").model_extra["version"] == "1"
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.chat.completions.create(model="gpt-5", messages=ASKED)


GONE = Reply(404, {"error": "model not found"})
FAULTS: dict[str, tuple[Reply, type[openai.APIStatusError], int, str]] = {
    "wrong": (Reply(400, {"error": PRIVATE}), openai.BadRequestError, 400, "invalid_request"),
    "no key": (Reply(401, {"error": PRIVATE}), openai.AuthenticationError, 401, "invalid_api_key"),
    "gone": (
        Reply(404, {"error": "model not found"}),
        openai.NotFoundError,
        404,
        "model_not_found",
    ),
    "often": (
        Reply(429, {"error": PRIVATE}, headers=LATER),
        openai.RateLimitError,
        429,
        "rate_limit_exceeded",
    ),
    "failed": (
        Reply(500, {"error": PRIVATE}, headers=LATER),
        openai.InternalServerError,
        502,
        "server_error",
    ),
    "silent": (Reply(hold=threading.Event()), openai.InternalServerError, 504, "timeout"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("fault", "kind", "status", "code"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_the_provider_is_openais_error(
    served: Served, fault: Reply, kind: type, status: int, code: str, stream: bool
) -> None:
    served.ollama.fault(*[fault] * 10)
    with pytest.raises(kind) as caught:
        served.client().chat.completions.create(model=NAME, messages=ASKED, stream=stream)
    error: Any = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert error.response.headers.get("retry-after") == (
        "8" if "Retry-After" in fault.headers else None
    )
    assert PRIVATE not in error.response.text


def test_a_429_always_tells_when_to_come_back(served: Served) -> None:
    served.ollama.fault(*[Reply(429, {"error": "slow down"})] * 10)
    for path, body in (
        (CHAT, {"model": NAME, "messages": ASKED}),
        ("/invocations", {"prompt": "x"}),
    ):
        status, headers, _ = served.ask("POST", path, body)
        assert (status, headers["Retry-After"]) == (429, "1")


def test_an_error_within_a_stream_is_told_in_it(served: Served) -> None:
    served.ollama.fault(Reply(chunks=[delta("one"), {"error": f"boom {PRIVATE}"}]))
    chunks = served.client().chat.completions.create(model=NAME, messages=ASKED, stream=True)
    got: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        got += [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert caught.value.code in ("server_error", "incomplete")
    assert PRIVATE not in str(caught.value.body)


def test_who_leaves_a_stream_ends_the_providers_answer(served: Served) -> None:
    rest = threading.Event()
    served.ollama.fault(Reply(chunks=[delta("one"), rest, *[delta("x" * 1000)] * 3000]))
    before = served.answered()
    chunks = served.client().chat.completions.create(model=NAME, messages=ASKED, stream=True)
    next(iter(chunks))
    chunks.close()
    assert until(lambda: served.answered() == before + 1)
    rest.set()
    assert served.ollama.left.wait(10)


def test_who_does_not_read_a_stream_frees_the_place(served: Served) -> None:
    served.ollama.fault(Reply(chunks=[*[delta("x" * 10_000)] * 1000, ending()]))
    before = served.answered()
    body = json.dumps({"model": NAME, "messages": ASKED, "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((served.host, served.port))
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert until(lambda: served.answered() == before + 1)


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    served: Served, given: dict[str, Any], parameter: str
) -> None:
    before = served.ollama.calls["/api/chat"]
    with pytest.raises(openai.BadRequestError) as caught:
        served.client().chat.completions.create(**({"model": NAME, "messages": ASKED} | given))
    assert caught.value.param == parameter
    assert served.ollama.calls["/api/chat"] == before


def test_what_is_too_large_or_no_json_is_refused_in_openais_form(served: Served) -> None:
    text = {"model": NAME, "messages": [{"role": "user", "content": "x" * 10_001}]}
    status, _, body = served.ask("POST", CHAT, text)
    assert (status, json.loads(body)["error"]["code"]) == (413, "too_large")
    small = {"model": NAME, "messages": ASKED}
    status, _, body = served.ask("POST", CHAT, small, **{"Content-Type": "text/plain"})
    assert (status, json.loads(body)["error"]["code"]) == (415, "unknown_type")
