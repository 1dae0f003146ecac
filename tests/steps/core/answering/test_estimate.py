"""What a call may take, said before it is made."""

from typing import Any

import pytest

from llm_models.errors import InputError
from llm_models.schema import ModelConfig, Sampling
from steps.core import tokens
from steps.core.answering.estimate import MARGIN, UNBOUNDED, estimate, worst_usd
from steps.core.dataset import Row

PROMPT = "Which city is the capital of France?"
ROW = Row("fr", {"prompt": PROMPT}, {}, {})


def config(price: dict[str, Any] | None = None, **fields: Any) -> ModelConfig:
    return ModelConfig("one", "gemini", "gemini-unheard-of", price=price, **fields)


def test_the_prompt_is_counted_as_it_is_sent() -> None:
    plain = estimate(config(), ROW).input_tokens
    assert plain == tokens.count_messages(None, [{"role": "user", "content": PROMPT}])
    system = "Answer in one word."
    framed = estimate(config(system=system), ROW).input_tokens
    assert framed == plain + tokens.count(system) + tokens.MESSAGE_TOKENS
    own = Row("fr", {"prompt": PROMPT, "system": system}, {}, {})
    assert estimate(config(system="Another one, and longer."), own).input_tokens == framed


def test_an_answer_is_as_long_as_it_may_be() -> None:
    assert estimate(config(sampling=Sampling(max_tokens=64)), ROW).worst_output_tokens == 64
    assert estimate(config(), ROW).worst_output_tokens == UNBOUNDED


def test_the_worst_cost_leaves_room_for_another_tokenizer() -> None:
    asking = config({"input": 2.0, "output": 10.0}, sampling=Sampling(max_tokens=64))
    prompt = round(estimate(asking, ROW).input_tokens * MARGIN)
    assert worst_usd(asking, ROW) == pytest.approx((prompt * 2 + 64 * 10) / 1e6)


def test_a_machine_by_the_hour_is_paid_until_the_time_out() -> None:
    assert worst_usd(config({"per_hour": 3.6}, timeout_s=20.0), ROW) == pytest.approx(0.02)


def test_what_is_free_costs_nothing_at_the_worst() -> None:
    assert worst_usd(config({"free": True}), ROW) == 0


def test_an_unknown_price_cannot_be_capped() -> None:
    assert estimate(config(), ROW).worst_usd is None
    with pytest.raises(InputError, match=r"max_cost.*gemini/gemini-unheard-of.*`prices`"):
        worst_usd(config(), ROW)
