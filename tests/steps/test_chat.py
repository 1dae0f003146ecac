"""Sessions on a pipe: what is written, and what MLflow has of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.servers.gemini import KEY, GeminiServer
from tests.servers.ollama import OllamaServer, Reply, delta, ending
from tests.steps.chat_lab import ChatLab
from tests.steps.conftest import ConfigWriter, config_in

HOSTILE = "\x1b[31m[bold]red[/bold]\x07 \u202edne"
BUSY = Reply(status=503, body={"error": "server busy, please try again."})


@pytest.fixture(scope="module")
def lab(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatLab]:
    folder = tmp_path_factory.mktemp("chat")
    config = config_in(folder, {"system": "Be brief."}, defaults={"max_tokens": 50})
    with OllamaServer() as server:
        yield ChatLab(folder, config, server, store)


@pytest.fixture(scope="module")
def piped(lab: ChatLab) -> CompletedProcess[str]:
    """Four questions, of which one fails, and is asked again."""
    first = Reply(chunks=[delta("The "), delta("first."), ending()])
    lab.server.fault(first, BUSY, Reply(chunks=[delta(HOSTILE), ending()]))
    return lab.piped(lines="one\n/system Rhyme.\n\ntwo\n/retry\n/nope\nthree\n")


def test_answers_are_all_there_is_on_stdout(piped: CompletedProcess[str]) -> None:
    red = "␛[31m[bold]red[/bold]␇ \ufffddne"
    assert piped.stdout.splitlines() == ["The first.", red, "You said: three"]


def test_what_else_there_is_to_tell_is_on_stderr(piped: CompletedProcess[str]) -> None:
    assert piped.returncode == 1  # a question was not answered
    told = piped.stderr.splitlines()
    assert "one · tokens 26 in + 12 out · " in told[0]
    assert "20 tokens/s · $0" in told[0]
    assert told[1] == "system: Rhyme."
    assert told[2].startswith("one: ")
    assert "server busy" in told[2]
    assert told[2].endswith("/retry asks again")
    assert "/nope is no command: /help lists them" in told
    assert any(line.startswith("3 answered (") and " · 1 failed · " in line for line in told)
    assert "\x1b" not in piped.stderr


def test_history_holds_answers_alone_and_the_system_prompt_can_change(
    piped: CompletedProcess[str], lab: ChatLab
) -> None:
    two = ["Rhyme.", "one", "The first.", "two"]
    assert lab.sent() == [["Be brief.", "one"], two, two, [*two, HOSTILE, "three"]]


def test_the_session_is_a_run_like_those_of_run_prompts(
    piped: CompletedProcess[str], lab: ChatLab
) -> None:
    (run,) = lab.runs()
    assert (run.info.run_name, run.info.status) == ("Chat_llama3.1:8b", "FINISHED")
    wanted = {"model_name": "llama3.1:8b", "supplier": "ollama", "system_prompt": "Be brief."}
    assert wanted.items() <= run.data.params.items()
    assert run.data.params["max_tokens"] == "50"
    assert run.data.metrics["rows"] == 4
    assert run.data.metrics["error_rate"] == 0.25
    assert run.data.metrics["total_cost_estimate"] == 0
    assert run.data.metrics["stopped"] == 0
    assert run.data.metrics["avg_time_to_first_token"] > 0
    history = lab.client.get_metric_history(run.info.run_id, "rows")
    assert [(metric.step, metric.value) for metric in history] == [(n, n) for n in (1, 2, 3, 4)]
    (model,) = run.inputs.model_inputs
    assert model.model_id == run.data.tags["model_id"]
    files = {file.path for file in lab.client.list_artifacts(run.info.run_id)}
    assert files == {"predictions.parquet", "predictions.csv", "prompts_and_answers.json"}


def test_prompts_and_answers_are_kept_with_their_failures(
    piped: CompletedProcess[str], lab: ChatLab
) -> None:
    pairs = lab.pairs(lab.runs()[0])
    assert [(pair["prompt"], pair["answer"], pair["status"]) for pair in pairs] == [
        ("one", "The first.", "ok"),
        ("two", None, "error"),
        ("two", HOSTILE, "ok"),
        ("three", "You said: three", "ok"),
    ]
    assert "server busy" in pairs[1]["error"]
    assert all(pair["date"] for pair in pairs)


def test_each_turn_is_a_trace_of_one_session(piped: CompletedProcess[str], lab: ChatLab) -> None:
    (run,) = lab.runs()
    traces = lab.traces()
    sessions = [trace.info.trace_metadata["mlflow.trace.session"] for trace in traces]
    assert sessions == [run.info.run_id] * 4
    assert [trace.info.state for trace in traces] == ["OK", "ERROR", "OK", "OK"]
    (span,) = traces[2].data.spans
    assert span.inputs["messages"] == [
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "The first."},
        {"role": "user", "content": "two"},
    ]
    assert span.outputs == HOSTILE


def test_without_a_question_there_is_no_run(store: str, lab: ChatLab, tmp_path: Path) -> None:
    empty = ChatLab(tmp_path, lab.config, lab.server, store)
    done = empty.piped(lines="/help\n/retry\n/save\n/quit\nnever asked\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert "/compare [NAMES]" in done.stderr
    assert "nothing was asked yet" in done.stderr
    assert "nothing to save" in done.stderr
    assert empty.runs() == []


def test_prompts_of_a_file_are_asked_first_and_gemini_answers(
    store: str, tmp_path: Path, write_config: ConfigWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "prompts.csv"
    data.write_text("prompt\n/one\ntwo\nthree\n")
    gemini = {"provider": "gemini", "model": "gemini-2.5-flash"}
    with GeminiServer(thoughts=5) as server, OllamaServer() as absent:
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        lab = ChatLab(tmp_path, write_config(gemini), absent, store)
        done = lab.piped("--data", str(data), "--limit", "2", lines="last\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"You said: {said}" for said in ("/one", "two", "last")]
    assert " + 5 thinking · " in done.stderr
    assert len(server.requests[-1].body["contents"]) == 5
    (run,) = lab.runs()
    assert run.info.run_name == "Chat_gemini-2.5-flash"
    assert run.data.metrics["thinking_tokens"] == 15
    assert run.data.metrics["total_cost_estimate"] > 0


def test_a_question_that_may_cross_max_cost_is_not_asked(
    store: str, tmp_path: Path, write_config: ConfigWriter
) -> None:
    prices = {"ollama/llama3.1:8b": {"input": 10_000.0, "output": 10_000.0}}
    with OllamaServer() as server:
        for tokens in (20, 60):
            counted = ending(prompt_eval_count=tokens // 2, eval_count=tokens // 2)
            server.fault(Reply(chunks=[delta("answer"), counted]))
        config = write_config({"max_tokens": 20}, prices=prices, max_cost=1.0)
        done = ChatLab(tmp_path, config, server, store).piped(lines="one\ntwo\nthree\n")
    assert done.stdout.splitlines() == ["answer", "answer"]
    assert "max_cost: of 1 USD 0.8000 are spent, and this question may cost " in done.stderr
    assert server.calls["/api/chat"] == 2


def test_a_nearly_full_window_is_told(
    store: str, tmp_path: Path, write_config: ConfigWriter
) -> None:
    with OllamaServer() as server:
        server.fault(Reply(chunks=[delta("long"), ending(prompt_eval_count=70)]))
        config = write_config({"options": {"num_ctx": 120}, "max_tokens": 20})
        done = ChatLab(tmp_path, config, server, store).piped(lines="one\n/new\ntwo\n")
    told = "the conversation has 82 tokens of the 100 that one has room for: /new begins another"
    assert done.stderr.count("room for") == 1
    assert told in done.stderr


def test_what_cannot_be_recorded_is_saved_and_told(
    lab: ChatLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    save = f"/save {tmp_path / 'mine.md'}\n"
    with OllamaServer() as server:
        away = replace(lab, folder=tmp_path, server=server)
        away.store = "http://127.0.0.1:9"
        done = away.piped(lines=f"one\n{save}{save}")
    assert done.returncode == 1
    assert done.stdout == "You said: one\n"
    assert "not recorded (" in done.stderr
    assert "cannot be written (File exists): name another" in done.stderr
    saved = Path(done.stderr.partition("but saved as ")[2].strip())
    try:
        assert saved.read_text() == (tmp_path / "mine.md").read_text()
        assert saved.read_text().endswith("one\n\n**one**\n\nYou said: one\n")
    finally:
        saved.unlink()
