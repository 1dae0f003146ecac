"""What exactly would answer, as far as the server tells it."""

from typing import Any

import pytest

from llm_models.errors import CallError
from tests.servers.ollama import MODEL, OllamaServer, Reply, digest


@pytest.mark.parametrize(
    ("name", "listed"),
    [(MODEL, MODEL), ("gemma3", "gemma3:latest"), ("Gemma3", "gemma3"), ("hf.co/a/b", "hf.co/a/b")],
)
def test_identity_is_what_the_server_would_run(ollama_model: Any, name: str, listed: str) -> None:
    with OllamaServer(models=[listed]) as server:
        found = ollama_model(model=name, base_url=server.url).identity()

    tagged = listed if ":" in listed else f"{listed}:latest"
    assert found == {
        "digest": digest(tagged),
        "quantization": "Q4_K_M",
        "parameter_size": "8.0B",
    }


@pytest.mark.parametrize(
    ("entry", "shown", "expected"),
    [
        ({"digest": "ab12"}, Reply(403, b"no"), {"digest": "ab12"}),
        ({"digest": "", "details": None}, Reply(500, b""), {}),
        (
            {"digest": "ab12", "details": {"quantization_level": "", "families": None}},
            Reply(body={"details": {"quantization_level": "FP8", "parameter_size": "480B"}}),
            {"digest": "ab12", "quantization": "FP8", "parameter_size": "480B"},
        ),
    ],
)
def test_identity_leaves_out_what_is_not_told(
    ollama_server: OllamaServer,
    ollama_model: Any,
    entry: dict[str, Any],
    shown: Reply,
    expected: dict[str, str],
) -> None:
    listing = {"models": [entry | {"name": MODEL}]}
    ollama_server.fault(Reply(body=listing), path="/api/tags")
    ollama_server.fault(shown, path="/api/show")

    assert ollama_model().identity() == expected


def test_identity_is_found_without_a_list_of_models(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    ollama_server.fault(Reply(404, b"404 page not found"), path="/api/tags")

    assert ollama_model().identity() == {"quantization": "Q4_K_M", "parameter_size": "8.0B"}


@pytest.mark.parametrize("has_list", [True, False])
def test_a_missing_model_is_named_with_its_remedy(
    ollama_server: OllamaServer, ollama_model: Any, has_list: bool
) -> None:
    if not has_list:
        ollama_server.fault(Reply(404, b"404 page not found"), path="/api/tags")

    with pytest.raises(CallError, match="run `ollama pull qwen3`") as caught:
        ollama_model(model="qwen3").identity()

    assert caught.value.kind == "model_not_found"


@pytest.mark.parametrize("version", ["0.12.6", "0.0.0", "0.10.0-rc0", "not a version"])
def test_details_tell_the_version_without_reading_it(ollama_model: Any, version: str) -> None:
    with OllamaServer(version=version) as server:
        found = ollama_model(base_url=server.url).details()

    assert found == {"family": "llama", "context_length": 131072, "server_version": version}


def test_details_never_fail(ollama_server: OllamaServer, ollama_model: Any) -> None:
    ollama_server.fault(Reply(404, b"404 page not found"), path="/api/version")
    ollama_server.fault(Reply(body={"model_info": None, "details": []}), path="/api/show")

    assert ollama_model().details() == {}
