"""How a limit follows what a server says, what fits in a minute, and what may be spent."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from itertools import islice

import pytest

from llm_models.errors import CallError
from steps.core.answering import limits
from steps.core.answering.limits import Budget, Limit, Pace, paces_of
from steps.core.config import Allowance

TOO_MANY = CallError("rate_limited", "slower")


def test_each_round_of_answers_adds_one_call() -> None:
    limit = Limit(4, 16)
    for _ in range(5):  # 4 + 1/4 + 1/4.25 + …
        limit.answered()
    assert limit.current == 5


def test_a_limit_stays_between_one_and_the_most() -> None:
    limit = Limit(2, 3)
    for _ in range(20):
        limit.answered()
    assert limit.current == 3
    for _ in range(5):
        limit.failed(TOO_MANY, time.monotonic())
    assert limit.current == 1


def test_a_429_halves_once_for_all_the_calls_that_were_under_way() -> None:
    limit = Limit(16, 16)
    sent = time.monotonic()
    for _ in range(16):
        limit.failed(TOO_MANY, sent)
    assert limit.current == 8
    limit.failed(TOO_MANY, time.monotonic())
    assert limit.current == 4


def test_the_longest_wait_a_server_asked_for_holds() -> None:
    limit = Limit(4, 4)
    assert limit.wait_s() == 0
    for seconds in (60.0, 30.0, None):
        limit.failed(CallError("rate_limited", "slower", retry_after=seconds), time.monotonic())
    assert 30 < limit.wait_s() <= 60


@pytest.mark.parametrize("kind", ["server_error", "timeout", "unreachable", "incomplete"])
def test_what_may_be_chance_pauses_growth_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit(4, 16)
    limit.failed(CallError(kind, "chance"), time.monotonic())
    for _ in range(50):
        limit.answered()
    assert (limit.current, limit.wait_s()) == (4, 0)
    monkeypatch.setattr(limits, "CALM_S", 0.0)
    limit = Limit(4, 16)
    limit.failed(CallError(kind, "chance"), time.monotonic())
    for _ in range(50):
        limit.answered()
    assert limit.current > 4


def test_a_rows_own_fault_says_nothing_of_the_server() -> None:
    limit = Limit(4, 16)
    limit.failed(CallError("context_overflow", "too long"), time.monotonic())
    for _ in range(50):
        limit.answered()
    assert limit.current > 4


def test_a_minute_holds_so_many_requests() -> None:
    pace = Pace(requests_per_minute=2)
    for _ in range(2):
        assert pace.wait_s(0) == 0
        pace.start(0)
    assert 0 < pace.wait_s(0) <= 60


def test_a_minute_holds_so_many_tokens() -> None:
    pace = Pace(tokens_per_minute=100)
    pace.start(60)
    assert pace.wait_s(40) == 0
    assert 0 < pace.wait_s(41) <= 60


def test_a_row_of_more_tokens_than_a_minute_holds_goes_alone() -> None:
    pace = Pace(tokens_per_minute=100)
    assert pace.wait_s(500) == 0
    pace.start(500)
    assert pace.wait_s(1) > 0


def test_a_minute_later_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(requests_per_minute=1, tokens_per_minute=10)
    pace.start(10)
    assert pace.wait_s(10) > 0
    monkeypatch.setattr(limits, "MINUTE", 0.0)
    assert pace.wait_s(10) == 0
    monkeypatch.undo()
    pace = replace(pace, requests_per_minute=None)
    pace.start(6)
    assert pace.wait_s(4) == 0  # the 10 tokens are forgotten with their call


def test_threads_that_begin_at_once_share_what_a_minute_allows() -> None:
    pace, ended = Pace(requests_per_minute=3), threading.Event()
    with ThreadPoolExecutor(8) as pool:
        begun = [pool.submit(pace.begin, 0, ended) for _ in range(8)]
        assert len(list(islice(as_completed(begun), 3))) == 3
        ended.set()
    assert sorted(one.result() for one in begun) == [False] * 5 + [True] * 3


def test_steps_of_one_command_share_the_pace_of_a_provider() -> None:
    allowed = Allowance(requests_per_minute=123, tokens_per_minute=None)
    first, again = (paces_of({"gemini": allowed, "ollama": allowed}) for _ in range(2))
    assert first["gemini"] is again["gemini"]
    assert first["gemini"] is not first["ollama"]


def test_without_limits_nothing_waits() -> None:
    pace = Pace()
    for _ in range(1000):
        pace.start(10**6)
    assert pace.wait_s(10**6) == 0
    assert all(Budget(None).reserve(1e9) for _ in range(10))


def test_calls_in_flight_count_at_their_worst() -> None:
    budget = Budget(1.0)
    assert budget.reserve(0.6)
    assert not budget.reserve(0.6)
    budget.settle(0.6, 0.1)
    assert budget.reserve(0.6)
    assert budget.spent == pytest.approx(0.1)


def test_an_unknown_cost_counts_as_the_worst() -> None:
    budget = Budget(1.0)
    assert budget.reserve(0.6)
    budget.settle(0.6, None)
    assert budget.spent == pytest.approx(0.6)
    assert not budget.reserve(0.5)


def test_threads_together_spend_no_more_than_the_cap() -> None:
    budget = Budget(1.0)

    def spend(seed: int) -> None:
        drawn = random.Random(seed)
        while budget.reserve(0.01):
            budget.settle(0.01, drawn.uniform(0, 0.01))

    threads = [threading.Thread(target=spend, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.9 < budget.spent <= 1.0
