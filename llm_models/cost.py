"""What one call costs, in USD, from the provider's own token counts.

A price is one of
- `{"input": x, "output": y, "cached_input": z, "long_context": {"above": n, "input": …}}`,
  USD per million tokens; `cached_input` and `long_context` may be missing;
- `{"per_hour": x}`, USD per hour of a machine of one's own;
- `{"free": True}`, a local model nobody has put a price on;
- None, unknown.
"""

from typing import Any

from llm_models.schema import Usage

MILLION = 1_000_000


def cost_usd(price: dict[str, Any] | None, usage: Usage, seconds: float | None) -> float | None:
    """USD of one call that took `seconds`; None where a price or a count is unknown."""
    if price is None:
        return None
    if price.get("free"):
        return 0.0
    if "per_hour" in price:
        return None if seconds is None else price["per_hour"] * seconds / 3600
    if usage.input_tokens is None:
        return None
    return _token_cost(_tier(price, usage.input_tokens), usage)


def input_share(price: dict[str, Any] | None, usage: Usage) -> float:
    """The part of a call's cost that its input made, 0 to 1; 0 where tokens have no price."""
    if price is None or "input" not in price or usage.input_tokens is None:
        return 0.0
    tier = _tier(price, usage.input_tokens)
    total = _token_cost(tier, usage)
    return _input_cost(tier, usage) / total if total else 0.0


def _tier(price: dict[str, Any], input_tokens: int) -> dict[str, Any]:
    """Long prompts are billed whole at their own price (Gemini: above 200,000 tokens)."""
    long = price.get("long_context")
    return price | long if long and input_tokens > long["above"] else price


def _token_cost(price: dict[str, Any], usage: Usage) -> float | None:
    billed_output = _billed_output(usage)
    if billed_output is None or usage.input_tokens is None:
        return None
    return _input_cost(price, usage) + billed_output * price["output"] / MILLION


def _input_cost(price: dict[str, Any], usage: Usage) -> float:
    cached = usage.cached_tokens or 0
    fresh = (usage.input_tokens or 0) - cached
    cached_price = price.get("cached_input", price["input"])
    return (fresh * price["input"] + cached * cached_price) / MILLION


def _billed_output(usage: Usage) -> int | None:
    """Thinking is billed as output; what it cost alone does not tell what the text cost."""
    if usage.output_tokens is None:
        return None
    return usage.output_tokens + (usage.thinking_tokens or 0)
