"""As fast as servers, limits and settings allow, and no faster; and honest about the time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from steps.core.answering import limits
from steps.core.answering.journal import Journal
from steps.core.answering.limits import Pace
from steps.core.answering.runner import Run
from steps.core.dataset import Row
from steps.core.tokens import count_messages
from tests.servers.gemini import GeminiServer
from tests.servers.ollama import OllamaServer, Reply
from tests.steps.core.fault_matrix import google, refused, rpc
from tests.steps.core.runs import SECONDS, Gate, finish, questions, resolved, until

pytest_plugins = ["tests.steps.core.runner_fixtures"]

SLOWER = rpc("RetryInfo", retryDelay="0.4s")


def test_as_many_calls_are_in_flight_as_the_limit_allows_and_no_more(
    ollama: OllamaServer, journal: Journal
) -> None:
    together, now, most, lock = threading.Barrier(4), 0, 0, threading.Lock()

    def answer(_: Any) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(SECONDS)  # would break with fewer than four
        with lock:
            now -= 1
        return "Paris"

    ollama.answer = answer
    answers = finish(Run(resolved(ollama, concurrency=4), questions(24), journal))
    assert {answer.completion.status for answer in answers} == {"ok"}
    assert most == 4


def test_ollama_starts_at_what_it_runs_at_once(
    ollama: OllamaServer, gate: Gate, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "2")
    run = Run(resolved(ollama, concurrency=8), questions(6), journal).start()
    until(lambda: gate.together == 2)
    assert run.limit.current == 2
    gate.opened.set()
    assert len(finish(run)) == 6
    assert gate.most < 6


def test_nothing_begins_while_a_server_wants_to_be_left_alone(
    gemini: GeminiServer, journal: Journal
) -> None:
    gate, others_are_asked = Gate(), threading.Event()
    gemini.answer = gate
    slower = google(429, "RESOURCE_EXHAUSTED", "slower", SLOWER)
    gemini.fault(replace(slower, hold=others_are_asked))
    run = Run(resolved(gemini, concurrency=8), questions(20), journal).start()
    until(lambda: gate.together == 7)
    told = time.monotonic()  # the 429 arrives later
    others_are_asked.set()
    until(run.limit.wait_s)
    gate.opened.set()
    answers = finish(run)
    assert sum(answer.completion.answered for answer in answers) == 20
    assert min(gate.arrivals[7:]) >= told + 0.4
    assert max(answer.completion.attempts for answer in answers) == 2


@pytest.mark.parametrize(
    ("provider", "reply", "shrinks"),
    [
        ("gemini", google(429, "RESOURCE_EXHAUSTED", "slower"), True),
        ("gemini", google(500, "INTERNAL", "an internal error"), False),
        ("gemini", google(503, "UNAVAILABLE", "the model is overloaded"), False),
        ("gemini", Reply(drop=True), False),
        ("ollama", refused(503, "server busy"), True),
        ("ollama", refused(500, "unexpected EOF"), False),
    ],
    ids=["429", "500", "503", "reset", "queue full", "Ollama's 500"],
)
def test_only_a_server_that_asks_for_less_gets_less(
    request: pytest.FixtureRequest, journal: Journal, provider: str, reply: Reply, shrinks: bool
) -> None:
    server: OllamaServer | GeminiServer = request.getfixturevalue(provider)
    server.fault(reply)
    run = Run(resolved(server, concurrency=8), questions(8), journal)
    assert all(answer.completion.answered for answer in finish(run))
    assert (4 <= run.limit.current < 8) if shrinks else run.limit.current == 8


@pytest.mark.parametrize("by_tokens", [False, True])
def test_no_more_than_a_minute_allows_is_asked_in_one(
    ollama: OllamaServer,
    gate: Gate,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    by_tokens: bool,
) -> None:
    monkeypatch.setattr(limits, "MINUTE", 0.2)
    gate.opened.set()
    rows = questions(9)
    each = count_messages(None, [{"role": "user", "content": rows[0].inputs["prompt"]}])
    pace = Pace(tokens_per_minute=3 * each) if by_tokens else Pace(requests_per_minute=3)
    began = time.monotonic()
    answers = finish(Run(resolved(ollama, concurrency=8), rows, journal, pace=pace))
    assert len(answers) == 9
    arrived = sorted(gate.arrivals)
    assert all(at >= began + 0.2 * (number // 3) for number, at in enumerate(arrived))
    assert max(answer.waited_s for answer in answers) > 0.05


def test_two_models_share_what_a_provider_allows(
    ollama: OllamaServer, gate: Gate, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MINUTE", 0.2)
    gate.opened.set()
    pace, began = Pace(requests_per_minute=4), time.monotonic()
    runs = [
        Run(resolved(ollama, system=name, concurrency=1), questions(4), journal, pace=pace).start()
        for name in ("Be right.", "Guess.")
    ]
    assert [len(finish(run)) for run in runs] == [4, 4]
    assert sorted(gate.arrivals)[4] >= began + 0.2


def test_time_spent_in_retries_and_queues_is_not_a_calls_own(
    ollama: OllamaServer, journal: Journal
) -> None:
    ollama.fault(*[Reply(503, {"error": "server busy"}, headers={"Retry-After": "0.15"})] * 2)
    ollama.latency_s = 0.2  # of the answer, not of the refusals before it
    began = time.monotonic()
    (answer,) = finish(Run(resolved(ollama), questions(1), journal))
    elapsed = time.monotonic() - began
    outcome = answer.completion
    assert outcome.attempts == 3
    assert outcome.retry_s >= 0.3
    assert outcome.latency_s is not None
    assert outcome.latency_s >= 0.2
    assert answer.waited_s + outcome.retry_s + outcome.latency_s <= elapsed


def test_the_model_is_loaded_once_before_the_calls_and_apart_from_them(
    ollama: OllamaServer, journal: Journal
) -> None:
    run = Run(resolved(ollama), questions(5), journal)
    finish(run)
    posted = [seen.path for seen in ollama.requests if seen.method == "POST"]
    assert posted == ["/api/generate"] + ["/api/chat"] * 5
    assert run.load_s, "real servers do not tell it: it is measured here"
    again = Run(resolved(ollama), questions(5), journal)
    assert len(finish(again)) == 5
    assert ollama.calls["/api/generate"] == 1


def test_models_on_two_servers_are_asked_at_once(ollama: OllamaServer, journal: Journal) -> None:
    """Each server answers only once the other has been asked."""
    both = threading.Barrier(2)

    def answer(_: Any) -> str:
        both.wait(SECONDS)
        return "together"

    ollama.answer = answer
    with OllamaServer(answer=answer) as other, ThreadPoolExecutor(2) as pool:
        runs = [Run(resolved(s, concurrency=1), questions(3), journal) for s in (ollama, other)]
        texts = [a.completion.text for run in pool.map(finish, runs) for a in run]
    assert texts == ["together"] * 6


def test_a_row_is_sent_as_it_stands(ollama: OllamaServer, journal: Journal) -> None:
    turns = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
    turns.append({"role": "user", "content": "And 3+3?"})
    finish(
        Run(resolved(ollama), [Row("r", {"messages": turns, "system": "Sum."}, {}, {})], journal)
    )
    sent = next(seen.body for seen in ollama.requests if seen.path == "/api/chat")
    assert sent["messages"] == [{"role": "system", "content": "Sum."}, *turns]
