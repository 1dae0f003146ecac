"""Requests and answers of the Ollama adapter, over real sockets."""

from typing import Any

import pytest

from llm_models.errors import InputError
from llm_models.ollama import Ollama
from llm_models.schema import Completion, ModelConfig, Request, Sampling
from tests.servers.ollama import MODEL, OllamaServer, Reply, delta, ending

HELLO = Request(({"role": "user", "content": "hello"},))


def streamed(model: Ollama, request: Request = HELLO) -> tuple[list[str], Completion]:
    *pieces, completion = model.stream(request)
    return pieces, completion


def test_a_request_is_translated_whole(ollama_server: OllamaServer, ollama_model: Any) -> None:
    model = ollama_model(
        options={"num_ctx": 8192, "keep_alive": "5m", "think": "low", "format": {"type": "object"}}
    )
    turns = (
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    )
    sampling = Sampling(temperature=0.0, top_p=0.9, top_k=40, max_tokens=64, stop=("\n\n",), seed=7)

    model.complete(Request(turns, "Be brief.", sampling))

    assert ollama_server.requests[0].body == {
        "model": MODEL,
        "messages": [{"role": "system", "content": "Be brief."}, *turns],
        "stream": False,
        "keep_alive": "5m",
        "think": "low",
        "format": {"type": "object"},
        "truncate": False,
        "shift": False,
        "options": {
            "num_ctx": 8192,
            "temperature": 0.0,
            "top_p": 0.9,
            "top_k": 40,
            "num_predict": 64,
            "stop": ["\n\n"],
            "seed": 7,
        },
    }


def test_what_is_not_set_is_left_to_the_server(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    streamed(ollama_model())

    assert ollama_server.requests[0].body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "options": {},
        "truncate": False,
        "shift": False,
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_ctxt": 8192}, "num_ctxt"),
        ({"num_ctx": 0}, "num_ctx"),
        ({"num_ctx": "8192"}, "num_ctx"),
        ({"num_ctx": True}, "num_ctx"),
        ({"keep_alive": "5 minutes"}, "keep_alive"),
        ({"think": "very"}, "think"),
        ({"format": "yaml"}, "format"),
        ({"min_p": 2.0}, "min_p"),
        ({"temperature": 0.1}, "temperature"),
    ],
)
def test_an_option_ollama_would_ignore_is_refused(
    ollama_model: Any, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"ollama option '{named}"):
        ollama_model(options=options)


@pytest.mark.parametrize("keep_alive", ["5m", "1h30m", "1.5h", "-1s", "0", 0, -1, 300])
def test_a_duration_of_ollamas_own_is_taken(ollama_model: Any, keep_alive: str | int) -> None:
    assert ollama_model(options={"keep_alive": keep_alive}).options.keep_alive == keep_alive


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_carries_counts_times_and_model(
    ollama_server: OllamaServer, ollama_model: Any, stream: bool
) -> None:
    last = ending("" if stream else "Hi there")
    ollama_server.fault(
        Reply(chunks=[delta("Hi"), delta(" there"), last]) if stream else Reply(body=last)
    )

    outcome = streamed(ollama_model())[1] if stream else ollama_model().complete(HELLO)

    assert (outcome.status, outcome.text, outcome.finish_reason) == ("ok", "Hi there", "stop")
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (26, 12)
    assert outcome.timing.load_s == pytest.approx(0.1)
    assert outcome.model_version == MODEL
    assert (outcome.error, outcome.hint, outcome.cost_usd) == (None, None, 0.0)


@pytest.mark.parametrize("kind", ["application/x-ndjson", "text/plain", "text/event-stream"])
def test_the_form_of_an_answer_follows_the_request_not_the_content_type(
    ollama_server: OllamaServer, ollama_model: Any, kind: str
) -> None:
    header = {"Content-Type": kind}
    ollama_server.fault(
        Reply(body=ending("whole"), headers=header),
        Reply(chunks=[delta("in "), delta("parts"), ending()], headers=header),
    )

    assert ollama_model().complete(HELLO).text == "whole"
    assert streamed(ollama_model())[0] == ["in ", "parts"]


@pytest.mark.parametrize(
    ("last", "status", "finish_reason"),
    [
        (ending("Hi"), "ok", "stop"),
        (ending("Hi", done_reason=None), "ok", None),
        (ending("Hi", done_reason=""), "ok", None),
        (ending("Hi", done_reason="length"), "truncated", "length"),
        (ending("Hi", done_reason="load"), "incomplete", "load"),
        (ending("Hi", done_reason="unload"), "incomplete", "unload"),
        (ending("Hi", done_reason="not_invented_yet"), "incomplete", "not_invented_yet"),
        (ending("Hi", done=False, done_reason=None), "incomplete", None),
        (ending("", eval_count=1), "empty", "stop"),
        (ending(message=None, done_reason="load"), "incomplete", "load"),
        (ending("Hi", created_at="2025-11-20T10:15:30.1234567+01:00"), "ok", "stop"),
        (ending("Hi", context=[1, 2, 3]), "ok", "stop"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_only_a_proper_ending_makes_an_answer(
    ollama_server: OllamaServer,
    ollama_model: Any,
    last: dict[str, Any],
    status: str,
    finish_reason: str | None,
    stream: bool,
) -> None:
    ollama_server.fault(Reply(chunks=[last]) if stream else Reply(body=last))
    model = ollama_model()
    model.stopped.set()  # one attempt is enough

    first = streamed(model)[1] if stream else model.complete(HELLO)

    assert (first.status, first.finish_reason) == (status, finish_reason)
    assert (first.text == "Hi") is (status in ("ok", "truncated"))


@pytest.mark.parametrize(
    ("last", "max_tokens", "hint"),
    [
        (ending("Hi", prompt_eval_count=512), 9, "prompt looks cut: raise num_ctx"),
        (ending("Hi", done_reason="length"), None, "filled the context window: raise num_ctx"),
        (ending("Hi", done_reason="length"), 12, "the answer was cut: raise max_tokens"),
        (ending("Hi"), 12, None),
    ],
)
def test_a_window_too_small_is_hinted_at(
    ollama_server: OllamaServer,
    ollama_model: Any,
    last: dict[str, Any],
    max_tokens: int | None,
    hint: str | None,
) -> None:
    ollama_server.fault(Reply(body=last))
    request = Request(HELLO.messages, sampling=Sampling(max_tokens=max_tokens))

    outcome = ollama_model(options={"num_ctx": 512}).complete(request)

    assert outcome.answered
    assert (outcome.hint or "").endswith(hint or "")
    assert bool(outcome.hint) is bool(hint)


@pytest.mark.parametrize(
    ("model", "host", "local"),
    [
        ("llama3.1:8b", None, True),
        ("cloud-8b", "192.168.1.5:11434", True),
        ("gpt-oss:120b-cloud", None, False),
        ("kimi-k2:cloud", None, False),
        ("gpt-oss:120b", "https://ollama.com", False),
    ],
)
def test_a_model_in_the_cloud_does_not_run_locally(
    model: str, host: str | None, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host:
        monkeypatch.setenv("OLLAMA_HOST", host)
    assert Ollama.runs_locally(ModelConfig("c", "ollama", model)) is local
