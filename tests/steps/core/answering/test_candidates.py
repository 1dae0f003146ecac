"""A fingerprint changes with what changes the answers, and with nothing else."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llm_models
from llm_models.errors import InputError
from steps.core.answering import candidates
from steps.core.answering.candidates import Ready, resolve_all
from steps.core.config import load
from steps.core.providers import providers
from tests.servers.ollama import OllamaServer, Reply
from tests.steps.conftest import ConfigWriter

PACKAGE = Path(llm_models.__file__).parent
GEMINI = {"name": "cloud", "provider": "gemini", "model": "gemini-2.5-flash"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer(("llama3.1:8b", "llama3.2:3b")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


def resolved(path: Path) -> Ready:
    (ready,), _ = resolve_all(load(path), "all")
    return ready


ANSWERS_CHANGE = {
    "model": {"model": "llama3.2:3b"},
    "system prompt": {"system": "Be brief."},
    "temperature": {"temperature": 0.3},
    "temperature 0": {"temperature": 0.0},
    "top_p": {"top_p": 0.5},
    "top_k": {"top_k": 3},
    "max_tokens": {"max_tokens": 5},
    "stop": {"stop": ["END"]},
    "seed": {"seed": 1},
    "option": {"options": {"num_ctx": 4096}},
}
ASKING_CHANGES = {
    "timeout": {"timeout_s": 5.0},
    "deadline": {"deadline_s": 5.0},
    "concurrency": {"concurrency": 9},
    "name": {"name": "another"},
}


@pytest.mark.parametrize("change", ANSWERS_CHANGE.values(), ids=ANSWERS_CHANGE)
def test_what_changes_the_answers_changes_the_fingerprint(
    server: OllamaServer, write_config: ConfigWriter, change: dict[str, Any]
) -> None:
    one, other = resolved(write_config({})), resolved(write_config(change))
    assert one.fingerprint != other.fingerprint
    assert one.settings_hash == other.settings_hash


@pytest.mark.parametrize("change", ASKING_CHANGES.values(), ids=ASKING_CHANGES)
def test_how_it_is_asked_changes_the_settings_alone(
    server: OllamaServer, write_config: ConfigWriter, change: dict[str, Any]
) -> None:
    one, other = resolved(write_config({})), resolved(write_config(change))
    assert one.fingerprint == other.fingerprint
    assert one.settings_hash != other.settings_hash


def test_a_price_changes_settings_and_price_hash_alone(
    server: OllamaServer, write_config: ConfigWriter
) -> None:
    free = resolved(write_config({}))
    priced = resolved(write_config({}, prices={"ollama/llama3.1:8b": {"per_hour": 0.35}}))
    assert free.fingerprint == priced.fingerprint
    assert free.settings_hash != priced.settings_hash
    assert free.price_hash != priced.price_hash


def test_a_tag_that_moved_to_other_weights_changes_the_fingerprint(
    server: OllamaServer, write_config: ConfigWriter
) -> None:
    path = write_config({})
    before = resolved(path)
    details = {"quantization_level": "Q4_K_M", "parameter_size": "8.0B"}
    listed = {"name": "llama3.1:8b", "digest": "f" * 64, "details": details}
    server.fault(Reply(body={"models": [listed]}), path="/api/tags")
    after = resolved(path)
    assert after.config.identity["digest"] == "f" * 64
    assert after.fingerprint != before.fingerprint
    assert resolved(path).fingerprint == before.fingerprint


def test_the_same_weights_on_another_machine_have_the_same_fingerprint(
    server: OllamaServer, write_config: ConfigWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = resolved(write_config({}))
    with OllamaServer() as elsewhere:
        monkeypatch.setenv("OLLAMA_HOST", elsewhere.url)
        assert resolved(write_config({})).fingerprint == here.fingerprint


def test_a_packed_text_counts_by_its_content_not_by_its_path(
    tmp_path: Path, write_config: ConfigWriter
) -> None:
    found = []
    for name, text in {"a": "Same.", "b": "Same.", "c": "Other."}.items():
        (tmp_path / f"{name}.md").write_text(text)
        options = {"knowledge": f"{name}.md"}
        found.append(resolved(write_config({"provider": "baseline", "options": options})))
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint


def imports_of(name: str) -> set[str]:
    """The modules of llm_models that importing one of them, and packing it, brings along."""
    found, todo = {"model"}, [name, "model"]
    while todo:
        current = todo.pop()
        found.add(current)
        for node in ast.walk(ast.parse((PACKAGE / f"{current}.py").read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llm_models."):
                todo += {(node.module or "").split(".")[1]} - found
    return found


@pytest.mark.parametrize("provider", providers())
def test_the_code_that_answers_is_in_the_fingerprint_and_other_providers_code_is_not(
    provider: str, tmp_path: Path, write_config: ConfigWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k.md").write_text("Some text.")
    options = {"options": {"knowledge": "k.md"}} if provider == "baseline" else {}
    given = load(write_config({"provider": provider, "model": "m"} | options)).candidates[0]
    kind = candidates.provider_class(provider)
    asked = kind(candidates.ModelConfig("c", provider, "m", options=given.options))
    monkeypatch.setattr(candidates, "PACKAGE", tmp_path / "llm_models")
    shutil.copytree(PACKAGE, tmp_path / "llm_models")
    before = candidates.fingerprint(asked)
    changed = set()
    for file in (tmp_path / "llm_models").glob("*.py"):
        text = file.read_text("utf-8")
        file.write_text(f"{text}\n", "utf-8")
        if candidates.fingerprint(asked) != before:
            changed.add(file.stem)
        file.write_text(text, "utf-8")
    assert changed == imports_of(provider)


def test_available_takes_who_answers_and_tells_one_line_for_each_other(
    server: OllamaServer, write_config: ConfigWriter
) -> None:
    absent = {"name": "absent", "model": "qwen3:4b"}
    down = {"name": "down", "base_url": "http://127.0.0.1:9"}
    ready, skipped = resolve_all(load(write_config({}, absent, down, GEMINI)), "available")
    assert [one.candidate.name for one in ready] == ["one"]
    lines = {skip.candidate.name: skip.line() for skip in skipped}
    remedies = {"absent": "ollama pull qwen3:4b", "down": "ollama serve", "cloud": "GEMINI_API_KEY"}
    assert lines.keys() == remedies.keys()
    for name, remedy in remedies.items():
        assert lines[name].startswith(f"{name} skipped: ")
        assert remedy in lines[name]
        assert "\n" not in lines[name]


@pytest.mark.parametrize("spec", ["all", "one,cloud", "cloud"])
def test_who_was_chosen_by_name_must_answer(
    server: OllamaServer, write_config: ConfigWriter, spec: str
) -> None:
    with pytest.raises(InputError, match=r"cloud skipped: .*GEMINI_API_KEY") as caught:
        resolve_all(load(write_config({}, GEMINI)), spec)
    assert "one skipped" not in str(caught.value)


def test_none_that_answers_is_an_error_even_for_available(write_config: ConfigWriter) -> None:
    with pytest.raises(InputError, match="GEMINI_API_KEY"):
        resolve_all(load(write_config(GEMINI)), "available")


def test_a_refusal_is_told_with_its_remedy(
    server: OllamaServer, write_config: ConfigWriter
) -> None:
    server.fault(Reply(401, {"error": "unauthorized"}), path="/api/tags")
    with pytest.raises(InputError, match="ollama signin"):
        resolve_all(load(write_config({})), "all")


def test_to_resolve_asks_for_no_answer(server: OllamaServer, write_config: ConfigWriter) -> None:
    resolved(write_config({}))
    assert set(server.calls) <= {"/api/tags", "/api/show", "/api/version"}
    assert all(seen.method == "GET" or seen.path == "/api/show" for seen in server.requests)
