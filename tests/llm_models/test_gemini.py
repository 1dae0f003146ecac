"""The Gemini adapter as its users meet it: keys, many threads, identity, Vertex AI, MLflow."""

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm_models.errors import CallError
from llm_models.schema import Request
from tests.servers.gemini import KEY, GeminiServer, Reply, candidate, error, reply

pytest_plugins = ["tests.llm_models.gemini_fixtures"]

HELLO = Request(({"role": "user", "content": "hello"},))


def test_every_thread_gets_its_own_answer(gemini_server: GeminiServer, gemini_model: Any) -> None:
    model = gemini_model()

    def ask(number: int) -> str | None:
        request = Request(({"role": "user", "content": f"number {number}"},))
        if number % 2:
            return model.complete(request).text
        return "".join(piece for piece in model.stream(request) if isinstance(piece, str))

    with ThreadPoolExecutor(32) as pool:
        texts = list(pool.map(ask, range(96)))

    assert texts == [f"You said: number {number}" for number in range(96)]
    assert gemini_server.calls.total() == 96


def test_the_connection_outlives_a_garbage_collection(gemini_model: Any) -> None:
    model = gemini_model()
    stream = model.stream(HELLO)
    first = next(stream)
    gc.collect()
    assert "".join([first, *(piece for piece in stream if isinstance(piece, str))])
    gc.collect()
    assert model.complete(HELLO).status == "ok"


def test_a_missing_key_is_named_and_one_set_later_is_used(
    gemini_server: GeminiServer, gemini_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = gemini_model()
    monkeypatch.delenv("GEMINI_API_KEY")

    completion = model.complete(HELLO)
    assert (completion.status, completion.error_kind) == ("error", "unauthenticated")
    assert "set GEMINI_API_KEY (https://aistudio.google.com/apikey)" in completion.error
    assert gemini_server.calls.total() == 0

    for name, key, kind in [
        ("GOOGLE_API_KEY", "not the right key", "unauthenticated"),
        ("GEMINI_API_KEY", "pasted\u201d", "unauthenticated"),
        ("GEMINI_API_KEY", f" {KEY}\n", None),
    ]:
        monkeypatch.setenv(name, key)
        assert model.complete(HELLO).error_kind == kind


@pytest.mark.parametrize("express", [True, False], ids=["by key", "by project"])
def test_vertex_ai_is_the_environments_choice(
    express: bool,
    gemini_server: GeminiServer,
    gemini_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", gemini_server.url)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    if not express:
        monkeypatch.delenv("GEMINI_API_KEY")
        monkeypatch.delenv("GOOGLE_VERTEX_BASE_URL")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
        monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west1")

    completion = gemini_model(base_url=None).complete(HELLO)

    if express:
        assert completion.status == "ok"
        assert gemini_server.requests[0].path.startswith("/v1beta1/publishers/google/models/")
    else:  # the credentials of the project are the next thing it needs
        assert completion.error_kind == "unauthenticated"
        assert "gcloud auth application-default login" in completion.error


def test_warming_up_calls_nobody_and_tells_what_is_missing(
    gemini_server: GeminiServer, gemini_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gemini_model().warm_up()
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(CallError, match="set GEMINI_API_KEY"):
        gemini_model().warm_up()
    assert gemini_server.calls.total() == 0


def test_the_environments_base_url_is_used(
    gemini_server: GeminiServer, gemini_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", gemini_server.url)
    assert gemini_model(base_url=None).complete(HELLO).status == "ok"


def test_the_model_is_described_at_no_cost(gemini_server: GeminiServer, gemini_model: Any) -> None:
    model = gemini_model()
    assert model.identity() == {"model_version": "001"}
    assert model.details() == {"context_length": 1048576, "output_limit": 65536}
    assert set(gemini_server.calls) == {"get"}


@pytest.mark.parametrize("body", ["404 page not found", {"detail": "Not Found"}, "<html></html>"])
def test_a_proxy_that_describes_no_model_is_no_failure(
    body: Any, gemini_server: GeminiServer, gemini_model: Any
) -> None:
    gemini_server.fault(Reply(404, body), Reply(404, body), path="get")
    model = gemini_model()
    assert (model.identity(), model.details()) == ({}, {})


@pytest.mark.parametrize(
    ("fields", "fault", "kind", "words"),
    [
        ({"model": "gemini-1.0-pro"}, None, "model_not_found", "gemini-1.0-pro is not found.*see"),
        ({}, Reply(401, error(401, "UNAUTHENTICATED", "No")), "unauthenticated", "GEMINI_API_KEY"),
        ({}, Reply(drop=True), "unreachable", "check the network"),
        ({"base_url": "http://127.0.0.1:1"}, None, "unreachable", "base_url"),
    ],
)
def test_a_model_that_cannot_be_used_is_told_with_the_remedy(
    fields: Any, fault: Reply | None, kind: str, words: str, gemini_server: Any, gemini_model: Any
) -> None:
    if fault:
        gemini_server.fault(fault, path="get")
    with pytest.raises(CallError, match=words) as caught:
        gemini_model(**fields).identity()
    assert caught.value.kind == kind


def test_the_sdk_is_quiet(
    gemini_server: GeminiServer,
    gemini_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "another key, which does not count")
    gemini_server.fault(Reply(body=reply(candidate("Hi", finish="SOMETHING_QUITE_NEW"))))

    assert gemini_model().complete(HELLO).finish_reason == "SOMETHING_QUITE_NEW"

    assert [str(warning.message) for warning in recwarn] == []
    assert [r.message for r in caplog.records if r.name.startswith("google_genai")] == []


def test_the_file_loads_without_the_sdk() -> None:
    code = "import sys, llm_models.gemini; sys.exit('google.genai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_loopback_server_runs_as_a_process(gemini_model: Any) -> None:
    command = [sys.executable, "-m", "tests.servers.gemini", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        completion = gemini_model(base_url=url).complete(HELLO)
        process.terminate()
    assert completion.text == "You said: hello"
