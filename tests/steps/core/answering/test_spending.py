"""What is spent stays within the cap, whatever is in flight and however often it is repeated."""

import pytest

from llm_models.errors import InputError
from steps.core.answering.journal import Journal
from steps.core.answering.limits import Budget
from steps.core.answering.runner import Run
from tests.servers.gemini import GeminiServer
from tests.servers.ollama import OllamaServer, Reply, ending
from tests.steps.core.runs import asked, finish, questions, resolved

pytest_plugins = ["tests.steps.core.runner_fixtures"]

PRICE = {"input": 1000.0, "output": 1000.0}  # USD per million tokens
EMPTY = Reply(body=ending("", prompt_eval_count=9, eval_count=12))


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
    finish(
        Run(
            resolved(ollama, PRICE, concurrency=2, max_tokens=16),
            questions(10),
            journal,
            budget=budget,
        )
    )
    assert asked(ollama).total() * 0.021 <= 0.07
    assert budget.spent <= 0.07


def test_an_unknown_price_cannot_be_capped(journal: Journal, gemini: GeminiServer) -> None:
    gemini.models = ("gemini-unheard-of",)
    run = Run(resolved(gemini), questions(3), journal, budget=Budget(1.0))
    with pytest.raises(InputError, match=r"max_cost.*gemini-unheard-of"):
        finish(run)
    assert not asked(gemini)
