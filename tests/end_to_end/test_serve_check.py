"""`serve_check` against a running `serve`, whose Ollama answers as it was evaluated, or not."""

import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import Result

from steps.serve_check import main as serve_check
from tests.end_to_end.lab import ROOT, Lab, free_port, until
from tests.servers.ollama import MODEL, OllamaServer, Reply
from tests.steps.conftest import invoke, pointing_at

NAME, TOKEN = "llm_ollama_chat", "a-token-that-is-long-enough"
CONFIG = f"""
defaults: {{timeout_s: 30, seed: 7, concurrency: 2}}
candidates:
  - {{name: llama, provider: ollama, model: "{MODEL}", registered_name: {NAME}}}
  - {{name: brief, provider: ollama, model: "{MODEL}", registered_name: {NAME}, system: Be brief.}}
scorers: [contains_facts, language_match]
"""
ROWS = [
    {"id": f"row-{i}", "prompt": f"What is {i}?", "expected_facts": [f"number {i}"]}
    for i in range(8)
]


def right(messages: list[dict[str, Any]]) -> str:
    return f"It is the number {re.findall(r'[0-9]+', messages[-1]['content'])[0]}."


def right_in_other_words(messages: list[dict[str, Any]]) -> str:
    return f"Well: {right(messages)}"


def wrong(_: list[dict[str, Any]]) -> str:
    return "It is no number."


Check = Callable[..., Result]


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaServer]:
    with OllamaServer(answer=right) as server:
        yield server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, ollama: OllamaServer) -> Lab:
    """With a version of each candidate, the first and the second."""
    folder = tmp_path_factory.mktemp("serve_check")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    lab = Lab(folder, {"OLLAMA_HOST": ollama.url, "LLMFLOWLAB_SERVE_TOKEN": TOKEN})
    for name in ("evaluate", "register"):
        done = lab.step(name, "--data", str(folder / "rows.jsonl"))
        assert done.returncode == 0, done.stdout + done.stderr
    return lab


@pytest.fixture(scope="module")
def address(lab: Lab) -> Iterator[str]:
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "steps.serve", "--model", f"models:/{NAME}/1"]
    command += ["--port", address.rpartition(":")[2]]
    with lab.running(command, f"{address}/health", cwd=ROOT):
        yield address


@pytest.fixture
def check(
    lab: Lab, address: str, ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Check]:
    monkeypatch.setenv("LLMFLOWLAB_SERVE_TOKEN", TOKEN)
    config, data = lab.folder / "config.yaml", lab.folder / "rows.jsonl"
    with pointing_at(lab.store):
        yield lambda **given: invoke(
            serve_check, config, **({"data": data, "url": address} | given)
        )
    ollama.answer = right
    ollama.forget_faults()


def test_a_server_that_answers_as_evaluated_passes(check: Check, ollama: OllamaServer) -> None:
    before = ollama.calls["/api/chat"]
    done = check()
    assert done.exit_code == 0, done.output
    assert "all 5 answers are those evaluated, word by word" in done.output
    assert done.output.splitlines()[-1] == "verdict: pass"
    assert ollama.calls["/api/chat"] == before + 5


def test_the_address_may_be_the_one_that_openais_client_takes(check: Check, address: str) -> None:
    assert check(url=f"{address}/v1").exit_code == 0


def test_a_password_in_the_address_is_neither_shown_nor_kept(check: Check, address: str) -> None:
    done = check(url=address.replace("//", "//someone:a-password@"))
    kept = mlflow.search_runs(search_all_experiments=True, max_results=1)
    assert "[secret]@127.0.0.1" in kept["params.url"][0]
    assert "a-password" not in done.output


@pytest.mark.parametrize(
    ("answer", "options", "code", "told"),
    [
        (right_in_other_words, {}, 2, "5 of 5 answers differ, though nothing is left to chance"),
        (right_in_other_words, {"exact": "no", "limit": 8}, 0, "contains_facts: no difference"),
        (wrong, {"exact": "no", "limit": 8}, 2, "contains_facts: worse by 1.00"),
        (wrong, {"exact": "no"}, 3, "contains_facts: not enough rows: 5 scored for both"),
    ],
    ids=["other words", "as good", "worse", "few rows"],
)
def test_other_answers_are_judged(
    check: Check, ollama: OllamaServer, answer: Any, options: Any, code: int, told: str
) -> None:
    ollama.answer = answer
    done = check(**options)
    assert (done.exit_code, told in done.output) == (code, True), done.output


def test_another_version_fails_although_it_answers_the_same(check: Check) -> None:
    done = check(model=f"models:/{NAME}/2")
    assert done.exit_code == 2
    assert "another model is served: fingerprint" in done.output


def test_another_model_under_the_same_name_fails(
    check: Check, address: str, ollama: OllamaServer
) -> None:
    def same() -> bool:  # the server keeps for a second what it has been told
        with urllib.request.urlopen(f"{address}/ready") as reply:
            return bool(json.loads(reply.read())["same_identity"])

    entry = {"name": MODEL, "model": MODEL, "digest": "f" * 64}
    ollama.fault(*[Reply(body={"models": [entry]})] * 50, path="/api/tags")
    assert until(lambda: not same())
    done = check()
    assert done.exit_code == 2
    assert "the provider has another model under that name" in done.output
    ollama.forget_faults()
    assert until(same)


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        (Reply(429, {"error": "slow"}, headers={"Retry-After": "30"}), 3, "not answered: 429"),
        (Reply(401, {"error": "no"}), 2, "not answered: 401"),
    ],
)
def test_a_row_that_is_not_answered_is_told(
    check: Check, ollama: OllamaServer, fault: Reply, code: int, told: str
) -> None:
    ollama.fault(fault)
    done = check()
    assert (done.exit_code, told in done.output) == (code, True), done.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": "127.0.0.1:5001"}, "url: '127.0.0.1:5001' is none"),
        ({"url": "http://127.0.0.1:9"}, "nothing answers at http://127.0.0.1:9"),
        ({"model": "llama"}, "model: 'llama' is no version"),
        ({"model": f"models:/{NAME}/99"}, f"there is no models:/{NAME}/99"),
        ({"data": "questions.jsonl"}, "no row of questions was answered"),
    ],
)
def test_what_cannot_be_checked_is_told(check: Check, options: Any, told: str) -> None:
    done = check(**options)
    assert (done.exit_code, told in done.output) == (1, True), done.output


def test_a_server_that_does_not_tell_its_version_needs_to_be_told(
    check: Check, lab: Lab, tmp_path: Path
) -> None:
    with lab.serving(f"models:/{NAME}/1", "--env-manager", "local") as stock:
        assert "this server does not tell its version" in check(url=stock).output
        done = check(url=f"{stock}/invocations", model=f"models:/{NAME}/1")
        assert done.exit_code == 0, done.output
