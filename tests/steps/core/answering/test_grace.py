"""A stop ends a run within seconds, whatever it waits for, and keeps what was answered."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from steps.core.answering import asking
from steps.core.answering.journal import Journal, answer_key
from steps.core.answering.runner import Run
from tests.servers.ollama import OllamaServer, Reply
from tests.steps.core.runs import Gate, asked, finish, questions, resolved, until

pytest_plugins = ["tests.steps.core.runner_fixtures"]


def test_calls_in_flight_are_finished_after_a_stop(
    ollama: OllamaServer, gate: Gate, journal: Journal
) -> None:
    run = Run(resolved(ollama, concurrency=4), questions(20), journal).start()
    until(lambda: gate.together == 4)
    run.stop("enough", killed=True)
    gate.opened.set()
    assert [answer.completion.status for answer in finish(run)] == ["ok"] * 4
    assert run.not_asked == 16
    assert asked(ollama).total() == 4


def test_calls_that_do_not_end_are_dropped_after_a_stop_and_the_answered_kept(
    ollama: OllamaServer, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "GRACE_S", 0.1)
    held, rows = Gate(), questions(20)
    quick = {row.inputs["prompt"] for row in rows[:6]}
    ollama.answer = lambda said: "Paris" if said[-1]["content"] in quick else held(said)
    run = Run(resolved(ollama, concurrency=4), rows, journal).start()
    until(lambda: held.together == 4)
    run.stop("enough", killed=True)
    answered = finish(run)
    keys = [answer_key(run.ready.fingerprint, row.inputs) for row in rows]
    assert len(answered) == 6
    assert len(dict(journal.read_answers(keys))) == 6
    held.opened.set()  # while the process lives, what comes later is kept too
    until(lambda: len(dict(journal.read_answers(keys))) == 10)
    assert run.not_asked == 14


def stopped_while(waits: Callable[[], Any], run: Run) -> list[str]:
    """Start, wait, stop; the statuses that came."""
    run.start()
    until(waits)
    run.stop("enough", killed=True)
    return [answer.completion.status for answer in finish(run)]


def test_a_stop_ends_the_wait_for_another_attempt(ollama: OllamaServer, journal: Journal) -> None:
    busy = Reply(503, {"error": "server busy"}, headers={"Retry-After": "100"})
    ollama.fault(busy)
    run = Run(resolved(ollama, concurrency=1), questions(5), journal)
    assert stopped_while(run.limit.wait_s, run) == ["error"]


def test_a_stop_ends_the_wait_for_a_model_to_load(
    ollama: OllamaServer, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "GRACE_S", 0.1)
    release = threading.Event()
    ollama.fault(Reply(hold=release), path="/api/generate")
    run = Run(resolved(ollama), questions(5), journal)
    try:
        assert stopped_while(lambda: ollama.calls["/api/generate"], run) == []
    finally:
        release.set()


def test_a_stop_ends_the_wait_for_another_process(
    ollama: OllamaServer, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "GRACE_S", 0.1)
    run = Run(resolved(ollama), questions(5), journal)
    with journal.claim(run.ready.fingerprint):
        assert stopped_while(lambda: True, run) == []
