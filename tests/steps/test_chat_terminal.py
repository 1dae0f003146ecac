"""Sessions on a terminal: what a person sees and types, and signals in the middle of them."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_models.schema import Message
from steps.core import tracking
from tests.servers.ollama import OllamaServer, Reply, delta, ending
from tests.steps.chat_lab import ChatLab
from tests.steps.conftest import ConfigWriter, pointing_at
from tests.terminal import CONTROL_C, CONTROL_D, Terminal

MODELS = ("llama3.1:8b", "llama3.2:3b")


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer(MODELS) as server:
        yield server


@pytest.fixture
def lab(store: str, server: OllamaServer, write_config: ConfigWriter, tmp_path: Path) -> ChatLab:
    config = write_config({}, {"name": "two", "model": MODELS[1]})
    return ChatLab(tmp_path, config, server, store)


def held_back(server: OllamaServer, begin: str, rest: str = "the rest") -> threading.Event:
    """The next answer waits after its beginning, until the event is set."""
    event = threading.Event()
    server.fault(Reply(chunks=[delta(begin), event, delta(rest), ending()]))
    return event


def ask(terminal: Terminal, line: str) -> None:
    """Type a line at the prompt, and pass by its echo."""
    terminal.expect("> ")
    terminal.type(line + "\n")
    terminal.expect(line)


def test_a_session_from_the_menu_to_its_end(lab: ChatLab, server: OllamaServer) -> None:
    with lab.terminal() as terminal:
        menu = terminal.expect("Talk to [1]: ")
        assert "1  one  llama3.1:8b by ollama" in menu
        assert "2  two  llama3.2:3b by ollama" in menu
        terminal.type("3\n")
        terminal.expect("there is no number 3")
        terminal.expect("Talk to [1]: ")
        terminal.type("\n")
        terminal.expect("one: llama3.1:8b by ollama\n/help lists the commands")

        rest = held_back(server, "The beginning, ")
        ask(terminal, "first")
        terminal.expect("The beginning, ")  # while the server still holds the rest
        rest.set()
        terminal.expect("the rest\n")
        terminal.expect("one · tokens 26 in + 12 out")

        never = held_back(server, "Cut here")
        ask(terminal, "second")
        terminal.expect("Cut here")
        terminal.type(CONTROL_C)
        assert terminal.expect("one was stopped; what had come is kept") == "\n"
        never.set()

        terminal.expect("> ")
        insist(terminal, lambda: terminal.type(CONTROL_C), "(Ctrl-D or /quit ends the session)\n")
        ask(terminal, "third")
        terminal.expect("You said: third")
        terminal.expect("> ")
        terminal.type(CONTROL_D)
        terminal.expect(" tokens) · 1 stopped · $0\n")
        assert terminal.wait() == 0

    cut = ["second", "Cut here"]
    assert lab.sent()[-1] == ["first", "The beginning, the rest", *cut, "third"]
    (run,) = lab.runs()
    assert run.info.status == "FINISHED"
    assert (run.data.metrics["rows"], run.data.metrics["stopped"]) == (3, 1)
    assert math.isnan(run.data.metrics["total_tokens"])  # the stopped one's count never came
    stopped = lab.pairs(run)[1]
    assert (stopped["answer"], stopped["partial"]) == (None, "Cut here")
    assert (stopped["status"], stopped["error"]) == ("incomplete", "stopped by the user")
    assert lab.traces()[1].data.spans[0].outputs == {
        "error": "stopped by the user",
        "partial": "Cut here",
    }


def test_pasted_lines_are_one_question(lab: ChatLab) -> None:
    with lab.terminal("--models", "one") as terminal:
        terminal.expect("> ")
        terminal.type("\x1b[200~one\n\n\tthree\x1b[201~ and typed\n")
        terminal.expect("You said: one\n\n\tthree and typed\n")
        terminal.expect("> ")
        terminal.type(CONTROL_D)
        assert terminal.wait() == 0
    assert [sent[-1] for sent in lab.sent()] == ["one\n\n\tthree and typed"]


def test_what_is_typed_during_an_answer_is_not_drawn_within_it(
    lab: ChatLab, server: OllamaServer
) -> None:
    with lab.terminal("--models", "one,two") as terminal:
        rest = held_back(server, "Held back")
        ask(terminal, "first")
        drawn = terminal.expect("Held back")
        terminal.type("/quit\n")
        rest.set()
        drawn += terminal.expect("one · tokens")
        assert "/quit" not in drawn
        terminal.expect("> /quit\n")  # it waited for the prompt
        assert terminal.wait() == 0


def insist(terminal: Terminal, signal_it: Callable[[], None], heard: str) -> None:
    """Signal until it is heard: readline misses a signal that comes as it begins to wait."""
    for _ in range(10):
        signal_it()
        if terminal.hears(heard, seconds=5):
            return
    terminal.expect(heard)


def meeting(server: OllamaServer) -> None:
    """Let answers begin only once both models have been asked."""
    both = threading.Barrier(2)

    def answer(messages: list[Message]) -> str:
        both.wait(60)
        return "[red]\x1b[7m " + "word " * 400 + "end"

    server.answer = answer


def test_two_models_answer_in_columns_at_the_same_time(lab: ChatLab, server: OllamaServer) -> None:
    meeting(server)
    with lab.terminal("--models", "one,two", size=(30, 100)) as terminal:
        ask(terminal, "both")
        drawn = terminal.expect("one · tokens")
        assert "│ [red]␛[7m word" in drawn
        final = drawn[drawn.rindex("┏") :]
        assert final.count("end") == 2
        assert final.count("word") == 800
        ask(terminal, "/quit")
        assert terminal.wait() == 0
        assert "\x1b[7m" not in terminal.raw

    first, second = lab.runs()
    assert [first.info.run_name, second.info.run_name] == [f"Chat_{name}" for name in MODELS]
    assert second.data.tags["mlflow.parentRunId"] == first.info.run_id
    assert second.info.status == "FINISHED"
    sessions = {trace.info.trace_metadata["mlflow.trace.session"] for trace in lab.traces()}
    assert sessions == {first.info.run_id}


def test_on_a_narrow_terminal_they_answer_one_after_the_other(
    lab: ChatLab, server: OllamaServer
) -> None:
    with lab.terminal("--models", "one", size=(40, 60)) as terminal:
        ask(terminal, "what")
        terminal.expect("You said: what")
        meeting(server)
        ask(terminal, "/compare")
        terminal.expect("one:\n")
        terminal.expect("end\n")
        terminal.expect("two:\n")
        terminal.expect("end\n")
        terminal.expect("one · tokens")
        assert terminal.expect("\ntwo · ").count("\n") == 1  # broken between two words
        ask(terminal, "/model")
        terminal.expect("* 1  one")
        ask(terminal, "/model two")
        server.answer = None
        ask(terminal, "next")
        terminal.expect("You said: next")
        ask(terminal, "/quit")
        assert terminal.wait() == 0
    assert lab.sent()[-1][1].endswith("end")  # its own answer to "what"


def test_answers_come_before_the_store_can_be_reached_and_are_recorded_when_it_can(
    lab: ChatLab, store: str
) -> None:
    with pointing_at(store), lab.terminal("--models", "one") as terminal:
        with tracking.exclusive("store"):
            ask(terminal, "early")
            terminal.expect("You said: early")
            terminal.expect("> ")
            terminal.type("/quit\n")
            terminal.expect("/quit")
        terminal.expect("1 answered")
        assert terminal.wait() == 0
    assert lab.runs()[0].data.metrics["rows"] == 1


def recorded(lab: ChatLab, rows: int) -> bool:
    return any(run.data.metrics.get("rows") == rows for run in lab.runs())


def test_a_kill_loses_nothing_that_was_answered(lab: ChatLab, server: OllamaServer) -> None:
    with lab.terminal("--models", "one") as terminal:
        ask(terminal, "kept")
        terminal.expect("You said: kept")
        never = held_back(server, "half")
        ask(terminal, "lost")
        terminal.expect("half")
        pause = threading.Event()
        while not recorded(lab, 1):
            pause.wait(0.1)
        terminal.process.kill()
        terminal.process.wait()
        never.set()
    (run,) = lab.runs()
    assert run.info.status == "RUNNING"
    assert [(pair["prompt"], pair["answer"]) for pair in lab.pairs(run)] == [
        ("kept", "You said: kept")
    ]
    assert [trace.info.state for trace in lab.traces()] == ["OK"]


def test_a_sigterm_in_the_middle_of_an_answer_closes_the_run(
    lab: ChatLab, server: OllamaServer
) -> None:
    with lab.terminal("--models", "one") as terminal:
        never = held_back(server, "half")
        ask(terminal, "asked")
        terminal.expect("half")
        terminal.process.send_signal(signal.SIGTERM)
        terminal.expect("1 stopped")
        assert terminal.wait() == 128 + signal.SIGTERM
        never.set()
    (run,) = lab.runs()
    assert run.info.status == "KILLED"
    assert [pair["partial"] for pair in lab.pairs(run)] == ["half"]


def test_a_sighup_at_the_prompt_closes_the_run(lab: ChatLab) -> None:
    with lab.terminal("--models", "one") as terminal:
        ask(terminal, "asked")
        terminal.expect("You said: asked")
        terminal.expect("> ")
        insist(terminal, lambda: terminal.process.send_signal(signal.SIGHUP), "1 answered")
        assert terminal.wait() == 128 + signal.SIGHUP
    assert lab.runs()[0].info.status == "KILLED"
