"""Tokens and money of a call before it is made; never passed off as the provider's count."""

from dataclasses import dataclass

from llm_models.cost import cost_usd
from llm_models.errors import InputError
from llm_models.payload import request_of
from llm_models.schema import ModelConfig, Request, Usage
from steps.core import tokens
from steps.core.dataset import Row

MARGIN = 1.3  # other tokenizers count up to about so much more than cl100k
UNBOUNDED = 8192  # tokens of an answer where no max_tokens is set


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens and USD; `worst_usd` is None where the price is unknown."""

    input_tokens: int
    worst_output_tokens: int
    worst_usd: float | None


def estimate(config: ModelConfig, row: Row) -> Estimate:
    """What asking this row takes at the most."""
    return estimate_of(config, request_of(row.inputs, config.system, config.sampling))


def estimate_of(config: ModelConfig, request: Request, unseen: int = 0) -> Estimate:
    """`unseen`: tokens of the request that are not in it yet."""
    counted = tokens.count_messages(request.system, list(request.messages)) + unseen
    prompt = round(counted * MARGIN)
    answer = config.sampling.max_tokens or UNBOUNDED
    usage = Usage(input_tokens=prompt, output_tokens=answer)
    return Estimate(counted, answer, cost_usd(config.price, usage, config.timeout_s))


def worst_usd(config: ModelConfig, row: Row) -> float:
    """USD a call costs at the most. Raises InputError where the price is unknown."""
    return worst_of(config, request_of(row.inputs, config.system, config.sampling))


def worst_of(config: ModelConfig, request: Request) -> float:
    """The same of a request."""
    worst = estimate_of(config, request).worst_usd
    if worst is None:
        raise InputError(
            f"max_cost: the price of {config.provider}/{config.model} is unknown; give one under "
            "`prices` in the config, or leave max_cost out"
        )
    return worst
