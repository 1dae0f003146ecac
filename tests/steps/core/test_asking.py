"""As fast as the limits allow, and no faster; within the money; and stopped within seconds."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llm_models.errors import InputError
from steps.core import asking, limits
from steps.core.dataset import Row
from steps.core.journal import Journal, answer_key
from steps.core.limits import Budget, Pace
from steps.core.runner import Run
from steps.core.tokens import count_messages
from tests.servers.gemini import GeminiServer, error
from tests.servers.ollama import OllamaServer, Reply, ending
from tests.steps.core.runner_fixtures import SECONDS, asked, finish, questions, resolved, until

pytest_plugins = ["tests.steps.core.runner_fixtures"]

PRICE = {"input": 1000.0, "output": 1000.0}  # USD per million tokens
SLOWER = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.4s"}
THROTTLED = Reply(429, error(429, "RESOURCE_EXHAUSTED", "slower", SLOWER))
EMPTY = Reply(body=ending("", prompt_eval_count=9, eval_count=12))


class Gate:
    """An answer of a server that waits until it is opened, and counts who waits."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.arrivals: list[float] = []  # monotonic seconds
        self.together = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, _: Any) -> str:
        with self._lock:
            self.arrivals.append(time.monotonic())
            self.together += 1
            self.most = max(self.most, self.together)
        self.opened.wait(SECONDS)
        with self._lock:
            self.together -= 1
        return "Paris"


@pytest.fixture
def gate(ollama: OllamaServer) -> Gate:
    ollama.answer = Gate()
    return ollama.answer


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
    gate = gemini.answer = Gate()
    gemini.fault(THROTTLED)
    run = Run(resolved(gemini, concurrency=8), questions(20), journal).start()
    until(lambda: gate.together == 7 and run.limit.wait_s())
    told = time.monotonic() - (0.4 - run.limit.wait_s())  # when the 429 arrived
    gate.opened.set()
    answers = finish(run)
    assert sum(answer.completion.answered for answer in answers) == 20
    assert min(gate.arrivals[7:]) >= told + 0.4
    assert max(answer.completion.attempts for answer in answers) == 2


@pytest.mark.parametrize(
    ("reply", "shrinks"),
    [
        (Reply(429, error(429, "RESOURCE_EXHAUSTED", "slower")), True),
        (Reply(500, error(500, "INTERNAL", "an internal error")), False),
        (Reply(503, error(503, "UNAVAILABLE", "the model is overloaded")), False),
        (Reply(drop=True), False),
    ],
    ids=["429", "500", "503", "reset"],
)
def test_only_a_429_of_gemini_shrinks_the_limit(
    gemini: GeminiServer, journal: Journal, reply: Reply, shrinks: bool
) -> None:
    gemini.fault(reply)
    run = Run(resolved(gemini, concurrency=8), questions(8), journal)
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
    assert max(answer.waited_s for answer in answers) > 0.2


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
    assert sorted(gate.arrivals)[5] >= began + 0.2  # one may slip through beside the fourth


def test_the_cap_is_not_crossed_with_many_calls_in_flight(
    ollama: OllamaServer, journal: Journal
) -> None:
    budget = Budget(1.0)
    ready = resolved(ollama, PRICE, concurrency=16, max_tokens=16)
    run = Run(ready, questions(200), journal, budget=budget)
    answers = finish(run)
    cost = [answer.completion.cost_usd or 0.0 for answer in answers]
    assert budget.spent == pytest.approx(sum(cost))
    assert budget.spent <= 1.0 < budget.spent + 0.05  # 0.028 is the worst that one may cost
    assert run.stopped is not None
    assert run.stopped.reason.startswith("max_cost: ")
    assert run.not_asked == 200 - len(answers) == 200 - asked(ollama).total()


def test_models_that_run_at_once_spend_from_one_cap(ollama: OllamaServer, journal: Journal) -> None:
    budget = Budget(1.0)
    ready = [resolved(ollama, PRICE, max_tokens=16, system=name) for name in ("Right.", "Wrong.")]
    runs = [Run(one, questions(100), journal, budget=budget).start() for one in ready]
    answers = [answer for run in runs for answer in finish(run)]
    spent = sum(answer.completion.cost_usd or 0.0 for answer in answers)
    assert budget.spent == pytest.approx(spent)
    assert 0.9 < spent <= 1.0
    assert all(run.stopped and "max_cost" in run.stopped.reason for run in runs)


def test_attempts_that_are_billed_count_against_the_cap(
    ollama: OllamaServer, journal: Journal
) -> None:
    ollama.fault(*[EMPTY] * 60)  # 0.021 USD each
    budget = Budget(0.07)
    finish(Run(resolved(ollama, PRICE, concurrency=2, max_tokens=16), questions(10), journal, budget=budget))
    assert asked(ollama).total() * 0.021 <= 0.07
    assert budget.spent <= 0.07


def test_an_unknown_price_cannot_be_capped(journal: Journal, gemini: GeminiServer) -> None:
    gemini.models = ("gemini-unheard-of",)
    run = Run(resolved(gemini), questions(3), journal, budget=Budget(1.0))
    with pytest.raises(InputError, match=r"max_cost.*gemini-unheard-of"):
        finish(run)
    assert not asked(gemini)


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
    held = Gate()
    ollama.answer = lambda messages: held(messages) if asked(ollama).total() > 6 else "Paris"
    rows = questions(20)
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


def test_time_spent_in_retries_and_queues_is_not_a_calls_own(
    ollama: OllamaServer, journal: Journal
) -> None:
    ollama.fault(*[Reply(503, {"error": "server busy"}, headers={"Retry-After": "0.15"})] * 2)
    began = time.monotonic()
    (answer,) = finish(Run(resolved(ollama), questions(1), journal))
    elapsed = time.monotonic() - began
    outcome = answer.completion
    assert outcome.attempts == 3
    assert outcome.retry_s >= 0.3
    assert outcome.latency_s is not None
    assert answer.waited_s + outcome.retry_s + outcome.latency_s <= elapsed


def test_the_model_is_loaded_once_before_the_calls_and_apart_from_them(
    ollama: OllamaServer, journal: Journal
) -> None:
    run = Run(resolved(ollama), questions(5), journal)
    finish(run)
    posted = [seen.path for seen in ollama.requests if seen.method == "POST"]
    assert posted == ["/api/generate"] + ["/api/chat"] * 5
    assert run.load_s == 2.5  # as the loopback server says
    again = Run(resolved(ollama), questions(5), journal)
    assert len(finish(again)) == 5
    assert ollama.calls["/api/generate"] == 1


def test_models_on_two_servers_are_asked_at_once(
    ollama: OllamaServer, journal: Journal
) -> None:
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
    finish(Run(resolved(ollama), [Row("r", {"messages": turns, "system": "Sum."}, {}, {})], journal))
    sent = next(seen.body for seen in ollama.requests if seen.path == "/api/chat")
    assert sent["messages"] == [{"role": "system", "content": "Sum."}, *turns]
