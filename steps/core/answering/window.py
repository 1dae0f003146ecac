"""How many tokens a prompt may have, by what the config sets and the provider tells."""

from collections.abc import Mapping
from typing import Any

from llm_models.base import Provider
from llm_models.schema import ModelConfig

SERVERS_OWN = 4096  # tokens such a server takes on a small machine where the option is left out
Facts = Mapping[str, Any]  # what a provider's `details` tells


def prompt_room(kind: type[Provider], config: ModelConfig, told: Facts) -> int | None:
    """Tokens; None where nobody tells."""
    window = SERVERS_OWN if is_assumed(kind, config) else _window_set(kind, config)
    limits = [limit for limit in (window, told.get("context_length")) if limit]
    if not limits:
        return None
    answer = 0 if "output_limit" in told else config.sampling.max_tokens or 0
    return max(0, min(limits) - answer)


def is_assumed(kind: type[Provider], config: ModelConfig) -> bool:
    """Whether a server of one's own chooses a window that nobody has set."""
    settable = kind.window_option is not None
    return settable and not _window_set(kind, config) and kind.runs_locally(config)


def _window_set(kind: type[Provider], config: ModelConfig) -> int | None:
    return config.options.get(kind.window_option) if kind.window_option else None
