"""An answer that is held is never asked for again, and nothing else passes for one."""

from typing import Any

import pytest

from steps.core.answering.journal import Journal
from steps.core.answering.reuse import Policy
from steps.core.answering.runner import Run, in_order
from steps.core.dataset import Row
from tests.servers.gemini import GeminiServer
from tests.servers.ollama import MODEL, OllamaServer, Reply, ending
from tests.steps.core.fault_matrix import refused, said
from tests.steps.core.runs import asked, finish, questions, resolved

pytest_plugins = ["tests.steps.core.runner_fixtures"]

OVERFLOW = refused(400, "the input length exceeds the context length")
BUSY = refused(503, "server busy")
LOCKED_OUT = refused(401, "unauthorized")
PRICE = {"input": 1.0, "output": 1.0}


def test_an_answered_row_is_read_back_as_it_was(ollama: OllamaServer, journal: Journal) -> None:
    first, second = (
        {a.place: a for a in finish(Run(resolved(ollama, PRICE), questions(5), journal))}
        for _ in range(2)
    )
    assert set(asked(ollama).values()) == {1}
    assert [a.reused for a in first.values()] == [False] * 5
    assert [a.reused for a in second.values()] == [True] * 5
    for place, answer in second.items():  # with its original time and cost
        assert answer.completion == first[place].completion
        assert answer.asked_at == first[place].asked_at
        assert answer.completion.cost_usd


def other_digest(server: OllamaServer) -> None:
    listed = {"models": [{"name": MODEL, "digest": "moved", "details": {"family": "llama"}}]}
    server.fault(Reply(body=listed), path="/api/tags")


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, False),
        ({"name": "two", "task": "other", "registered_name": "llm_other"}, False),
        ({"timeout_s": 9.0, "deadline_s": 99.0, "concurrency": 2}, False),
        ({"price": PRICE}, False),
        ({"system": "Be brief."}, True),
        ({"temperature": 0.5}, True),
        ({"max_tokens": 7}, True),
        ({"options": {"num_ctx": 4096}}, True),
    ],
    ids=lambda value: ",".join(value) or "nothing" if isinstance(value, dict) else None,
)
def test_what_changes_answers_asks_again_and_nothing_else_does(
    ollama: OllamaServer, journal: Journal, change: dict[str, Any], again: bool
) -> None:
    finish(Run(resolved(ollama), questions(3), journal))
    answers = finish(Run(resolved(ollama, **change), questions(3), journal))
    assert [answer.reused for answer in answers] == [not again] * 3
    assert set(asked(ollama).values()) == {2 if again else 1}


def test_a_moved_tag_asks_again(ollama: OllamaServer, journal: Journal) -> None:
    finish(Run(resolved(ollama), questions(3), journal))
    other_digest(ollama)
    finish(Run(resolved(ollama), questions(3), journal))
    assert set(asked(ollama).values()) == {2}


def test_a_changed_prompt_asks_that_row_again_and_other_words_about_it_do_not(
    ollama: OllamaServer, journal: Journal
) -> None:
    finish(Run(resolved(ollama), questions(3), journal))
    rows = [
        Row("renamed", {"prompt": "question 0"}, {"expected_response": "0"}, {"task": "new"}),
        Row("r1", {"prompt": "question 1?"}, {}, {}),
        Row("r2", {"prompt": "question 2", "system": "Be brief."}, {}, {}),
    ]
    answers = finish(Run(resolved(ollama), rows, journal))
    assert {answer.row.id: answer.reused for answer in answers} == {
        "renamed": True,
        "r1": False,
        "r2": False,
    }


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        (Policy(), {"question 1"}),
        (Policy(retry_errors=True), {"question 0", "question 1"}),
        (Policy(cache="refresh"), {f"question {i}" for i in range(4)}),
        (Policy(cache="off"), {f"question {i}" for i in range(4)}),
    ],
    ids=["use", "retry_errors", "refresh", "off"],
)
def test_the_cache_says_which_rows_are_asked_again(
    ollama: OllamaServer, journal: Journal, policy: Policy, again: set[str]
) -> None:
    """Row 0 is too long and would be again; row 1 met a server that was busy all the time."""
    ollama.fault(OVERFLOW, *[BUSY] * 6)
    finish(Run(resolved(ollama, concurrency=1), questions(4), journal))
    ollama.requests.clear()
    answers = finish(Run(resolved(ollama), questions(4), journal, policy))
    assert asked(ollama) == dict.fromkeys(again, 1)
    assert {a.row.inputs["prompt"] for a in answers if not a.reused} == again
    assert len(answers) == 4


@pytest.mark.parametrize(
    ("provider", "replies", "again"),
    [
        ("ollama", [OVERFLOW], False),
        ("ollama", [Reply(body=ending(""))] * 6, False),
        ("gemini", [said("Once", finish="SAFETY")], False),
        ("ollama", [refused(500, "unexpected EOF")] * 6, True),
        ("ollama", [refused(429, "too many requests")] * 6, True),
        ("ollama", [Reply(body=ending("half"), drop=True)] * 6, True),
        ("ollama", [Reply(drop=True)] * 6, True),
        ("ollama", [LOCKED_OUT], True),
        ("ollama", [refused(429, "weekly usage limit")], True),
    ],
    ids=["too long", "empty", "blocked", "500", "429", "broken", "reset", "no key", "quota"],
)
def test_only_failures_that_may_heal_are_asked_again(
    request: pytest.FixtureRequest,
    journal: Journal,
    provider: str,
    replies: list[Reply],
    again: bool,
) -> None:
    server: OllamaServer | GeminiServer = request.getfixturevalue(provider)
    server.fault(*replies)
    (failed,) = finish(Run(resolved(server), questions(1), journal))
    assert not failed.completion.answered
    (answer,) = finish(Run(resolved(server), questions(1), journal))
    assert answer.completion.answered == again
    assert asked(server).total() == len(replies) + again


def test_rows_of_equal_inputs_share_one_call(ollama: OllamaServer, journal: Journal) -> None:
    twins = [Row(name, {"prompt": "2+2?"}, {}, {}) for name in "abc"]
    answers = finish(Run(resolved(ollama, PRICE), [*twins, *questions(1)], journal))
    assert asked(ollama) == {"2+2?": 1, "question 0": 1}
    assert sorted(a.row.id for a in answers) == ["a", "b", "c", "r0"]
    assert sum(not a.reused for a in answers) == 2  # so that no cent is counted twice


def test_every_repeat_is_asked_and_kept_by_itself(ollama: OllamaServer, journal: Journal) -> None:
    first = finish(Run(resolved(ollama), questions(2), journal, Policy(repeats=2)))
    assert sorted(a.place for a in first) == [("r0", 0), ("r0", 1), ("r1", 0), ("r1", 1)]
    assert asked(ollama) == {"question 0": 2, "question 1": 2}
    second = finish(Run(resolved(ollama), questions(2), journal, Policy(repeats=3)))
    assert {a.place for a in second if not a.reused} == {("r0", 2), ("r1", 2)}
    assert asked(ollama) == {"question 0": 3, "question 1": 3}


def test_another_price_prices_what_was_answered_before(
    ollama: OllamaServer, journal: Journal
) -> None:
    def costs(price: dict[str, Any]) -> list[float]:
        answers = finish(Run(resolved(ollama, price), questions(3), journal))
        return [a.completion.cost_usd or 0.0 for a in in_order(answers, questions(3))]

    cheap, dear = costs(PRICE), costs({"input": 3.0, "output": 3.0})
    assert dear == pytest.approx([3 * cost for cost in cheap])
    assert costs(PRICE) == cheap
    assert set(asked(ollama).values()) == {1}


def test_a_refused_call_costs_nothing_at_any_price(ollama: OllamaServer, journal: Journal) -> None:
    ollama.fault(OVERFLOW)
    (first,) = finish(Run(resolved(ollama, PRICE), questions(1), journal))
    dear = {"input": 3.0, "output": 3.0}
    (second,) = finish(Run(resolved(ollama, dear), questions(1), journal))
    assert (first.completion.cost_usd, second.completion.cost_usd) == (0.0, 0.0)
