"""Which server is meant, whether it has the model, and what it tells of it, at no cost."""

import socket
from typing import Any

import pytest

from llm_models.errors import CallError
from llm_models.openai import OpenAI
from llm_models.schema import ModelConfig, Request
from tests.servers.openai import CHAT, MODEL, OpenAIServer, Reply, error
from tests.servers.scripted import ScriptedServer, Seen

HELLO = Request(({"role": "user", "content": "hello"},))
MODELS = "/v1/models"
INFO = "/v1/model/info"


def failure(model: OpenAI) -> CallError:
    with pytest.raises(CallError) as caught:
        model.identity()
    return caught.value


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("slash", ["", "/"])
def test_base_url_comes_before_the_environment(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, configured: bool, slash: str
) -> None:
    url = openai_server.url + slash
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1" if configured else f" {url} ")
    model = OpenAI(ModelConfig("c", "openai", MODEL, base_url=url if configured else None))

    assert model.complete(HELLO).status == "ok"
    assert openai_server.calls[CHAT] == 1
    assert model.identity() == {"server": openai_server.url}
    assert model.mlflow_judge_url() == f"{openai_server.url}/chat/completions"


def test_openai_itself_is_not_asked_without_a_key() -> None:
    model = OpenAI(ModelConfig("c", "openai", MODEL))

    assert failure(model).kind == "unauthenticated"
    assert model.complete(HELLO).error == (
        "no OpenAI API key in the environment: set OPENAI_API_KEY, or base_url for another server"
    )


def test_another_server_is_asked_without_one(
    openai_server: OpenAIServer, openai_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    openai_server.key = None

    assert openai_model().complete(HELLO).status == "ok"
    assert "Authorization" not in openai_server.requests[0].headers


@pytest.mark.parametrize(
    ("entry", "identity", "details"),
    [
        ({}, {}, {}),
        (  # vLLM
            {"root": "Qwen/Qwen2.5-7B-Instruct", "parent": None, "max_model_len": 32768},
            {"serves": "Qwen/Qwen2.5-7B-Instruct"},
            {"context_length": 32768},
        ),
        (  # llama.cpp
            {"meta": {"n_ctx_train": 131072, "n_params": 8030261312, "size": 4912898304}},
            {"n_params": 8030261312, "size": 4912898304},
            {},
        ),
        ({"context_length": 65536}, {}, {"context_length": 65536}),  # OpenRouter
        ({"context_window": 131072, "active": True}, {}, {"context_length": 131072}),  # Groq
    ],
)
def test_what_a_server_tells_of_a_model(
    openai_server: OpenAIServer, openai_model: Any, entry: Any, identity: Any, details: Any
) -> None:
    openai_server.listed = entry

    assert openai_model().identity() == {"server": openai_server.url} | identity
    assert openai_model().details() == details


@pytest.mark.parametrize(
    ("suppliers", "serves"),
    [
        (["ollama_chat/llama3.1:8b"], "ollama_chat/llama3.1:8b"),
        (["openai/b", "openai/a", "openai/b"], "openai/a, openai/b"),  # its load balancing
        ([], None),
    ],
)
def test_what_litellm_serves_under_a_name_is_part_of_the_identity(
    openai_server: OpenAIServer, openai_model: Any, suppliers: list[str], serves: str | None
) -> None:
    mine = [{"model_name": MODEL, "litellm_params": {"model": name}} for name in suppliers]
    other = {"model_name": "other", "litellm_params": {"model": "openai/other"}}
    openai_server.fault(Reply(body={"data": [*mine, other]}), path=INFO)

    assert openai_model().identity().get("serves") == serves


@pytest.mark.parametrize("listed", [MODEL, f"models/{MODEL}", "gpt-*", "*"])
def test_a_model_is_found_by_its_name_or_by_a_wildcard_of_litellms(
    openai_server: OpenAIServer, openai_model: Any, listed: str
) -> None:
    openai_server.models = ("other", listed)

    assert openai_model().identity() == {"server": openai_server.url}


def test_a_model_that_is_not_listed_is_told_with_those_that_are(
    openai_server: OpenAIServer, openai_model: Any
) -> None:
    failed = failure(openai_model(model="gpt-5"))

    assert failed.kind == "model_not_found"
    assert f"has no model 'gpt-5'; it has {MODEL}" in str(failed)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, b"404 page not found"),
        Reply(405, b""),
        Reply(body={"object": "list", "data": []}),
        Reply(body={"models": None}),
        Reply(body=b"<html></html>"),
    ],
)
def test_a_server_without_a_list_is_believed(
    openai_server: OpenAIServer, openai_model: Any, reply: Reply
) -> None:
    openai_server.fault(reply, reply, path=MODELS)

    assert openai_model().identity() == {"server": openai_server.url}
    assert openai_model().details() == {}


class Elsewhere(ScriptedServer):
    """Speaks HTTP, and not this format."""

    def reply(self, seen: Seen) -> Reply:
        return Reply(404, {"detail": "Not Found"})


def test_a_wrong_address_is_told_before_any_question_is_asked(openai_model: Any) -> None:
    with Elsewhere() as server:
        failed = failure(openai_model(base_url=server.url))

        assert (failed.kind, "Most end in /v1" in (failed.hint or "")) == ("bad_response", True)
        assert [seen.body for seen in server.requests] == [None, {}]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(401, error("no key")), "unauthenticated"),
        (Reply(403, error("not yours")), "forbidden"),
        (Reply(503, error("later")), "overloaded"),
    ],
)
def test_a_server_that_cannot_be_used_is_told(
    openai_server: OpenAIServer, openai_model: Any, reply: Reply, kind: str
) -> None:
    openai_server.fault(reply, path=MODELS)

    assert failure(openai_model()).kind == kind


@pytest.mark.parametrize("configured", [True, False])
def test_a_server_that_is_down_is_unreachable(
    monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", url)

    failed = failure(
        OpenAI(ModelConfig("c", "openai", MODEL, base_url=url if configured else None))
    )

    remedy = "correct base_url" if configured else "set OPENAI_BASE_URL"
    assert failed.kind == "unreachable"
    assert str(failed) == f"the server does not answer at {url}: start it or {remedy}"


def test_a_password_in_the_address_is_shown_nowhere(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.url.replace("://", "://me:hidden@"))
    model = OpenAI(ModelConfig("c", "openai", MODEL))
    openai_server.fault(Reply(400, error("no")))

    assert "hidden" not in str(model.identity())
    assert "hidden" not in str(model.complete(HELLO))
