"""USD of one call, and of all the attempts of a row."""

from typing import Any

import pytest

from llm_models.cost import cost_usd
from llm_models.schema import Request, Usage
from tests.servers.ollama import OllamaServer, Reply, ending

HELLO = Request(({"role": "user", "content": "hello"},))
BUSY = Reply(503, {"error": "server busy"})
PRICE = {"input": 1.0, "output": 10.0}  # USD per million tokens


@pytest.mark.parametrize(
    ("price", "last", "expected"),
    [
        ({"free": True}, {}, 0.0),
        ({"free": True}, {"prompt_eval_count": None}, 0.0),
        (PRICE, {}, (26 * 1.0 + 12 * 10.0) / 1e6),
        (PRICE, {"prompt_eval_count": None}, None),
        (PRICE, {"eval_count": None}, None),
        (None, {}, None),
    ],
)
def test_an_answer_costs_what_its_counts_say(
    ollama_server: OllamaServer,
    ollama_model: Any,
    price: dict[str, Any] | None,
    last: dict[str, Any],
    expected: float | None,
) -> None:
    ollama_server.fault(Reply(body=ending("Hi", **last)))

    assert ollama_model(price=price).complete(HELLO).cost_usd == pytest.approx(expected)


def test_a_machine_of_ones_own_costs_its_time_and_no_waiting(
    ollama_server: OllamaServer, ollama_model: Any
) -> None:
    ollama_server.fault(BUSY)

    outcome = ollama_model(price={"per_hour": 3600.0}).complete(HELLO)

    assert outcome.attempts == 2
    assert outcome.cost_usd == pytest.approx(outcome.latency_s)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (BUSY, 146.0),  # refused: nothing was worked on
        (Reply(body=ending("")), 146.0 * 2),
        (Reply(body=ending("", prompt_eval_count=None)), None),
        (Reply(body=b"<html>welcome</html>"), None),
    ],
)
def test_the_cost_is_that_of_all_attempts(
    ollama_server: OllamaServer, ollama_model: Any, first: Reply, expected: float | None
) -> None:
    ollama_server.fault(first, Reply(body=ending("Hi")))

    outcome = ollama_model(price=PRICE).complete(HELLO)

    assert outcome.attempts == 2
    assert outcome.cost_usd == (None if expected is None else pytest.approx(expected / 1e6))


@pytest.mark.parametrize(
    ("price", "usage", "expected"),
    [
        (PRICE, Usage(1_000_000, 1_000_000), 11.0),
        (PRICE, Usage(1_000_000, 0), 1.0),
        (PRICE, Usage(1_000_000, 100_000, thinking_tokens=200_000), 4.0),
        (PRICE, Usage(1_000_000, None, thinking_tokens=200_000), None),
        (PRICE, Usage(1_000_000, None), None),
        (PRICE, Usage(None, 1_000_000), None),
        (PRICE, Usage(1_000_000, 0, cached_tokens=600_000), 1.0),
        (PRICE | {"cached_input": 0.1}, Usage(1_000_000, 0, cached_tokens=600_000), 0.46),
        (PRICE | {"long_context": {"above": 200_000, "input": 2.0}}, Usage(200_000, 0), 0.2),
        (PRICE | {"long_context": {"above": 200_000, "input": 2.0}}, Usage(200_001, 0), 0.400002),
        (
            PRICE | {"long_context": {"above": 200_000, "input": 2.0, "output": 15.0}},
            Usage(300_000, 100_000),
            2.1,
        ),
        ({"per_hour": 3.6}, Usage(), 0.002),
        ({"free": True}, Usage(), 0.0),
        (None, Usage(1, 1), None),
    ],
)
def test_every_form_of_price(
    price: dict[str, Any] | None, usage: Usage, expected: float | None
) -> None:
    assert cost_usd(price, usage, seconds=2.0) == pytest.approx(expected)


def test_an_hourly_price_without_a_time_is_unknown() -> None:
    assert cost_usd({"per_hour": 3.6}, Usage(1, 1), seconds=None) is None
