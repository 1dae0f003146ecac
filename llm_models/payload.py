"""One row of inputs, from a dataset or an HTTP payload, into a request; no pandas, no MLflow."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from llm_models.errors import InputError
from llm_models.schema import Message, Request, Sampling

ROLES = ("user", "assistant", "system")
_BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (1, float("inf")),
    "max_tokens": (1, float("inf")),
    "seed": (-(2**63), 2**63 - 1),
}


def sampled(base: Sampling, overrides: Mapping[str, Any]) -> Sampling:
    """`base` with the overrides that are not None. Raises InputError naming the option."""
    given = {k: _plain(v) for k, v in overrides.items() if v is not None}
    for name, value in given.items():
        low, high = _BOUNDS.get(name, (float("-inf"), float("inf")))
        if name != "stop" and not low <= value <= high:
            raise InputError(f"{name}: {value} is outside {low:g} to {high:g}")
    if "stop" in given:
        if not all(isinstance(text, str) and text for text in given["stop"]):
            raise InputError("stop: give texts that are not empty")
        given["stop"] = tuple(given["stop"]) or base.stop  # MLflow's default is an empty list
    return replace(base, **given)


def _plain(value: Any) -> Any:
    """numpy scalars and arrays, as MLflow casts parameters, into Python values."""
    return value.tolist() if hasattr(value, "tolist") else value


def request_of(
    row: Mapping[Any, Any], default_system: str | None, sampling: Sampling, where: str = "inputs"
) -> Request:
    """One request of `prompt` or `messages`, and `system` if given.

    Raises InputError that names the field and quotes nothing of the row.
    """
    prompt, messages, system = row.get("prompt"), row.get("messages"), row.get("system")
    if (prompt is None) == (messages is None):
        raise InputError(f"{where}: give exactly one of 'prompt' and 'messages'")
    if system is not None and not isinstance(system, str):
        raise InputError(f"{where}: 'system' must be text")
    turns = _prompt(where, prompt) if messages is None else _messages(where, messages)
    spoken = [m["content"] for m in turns if m["role"] == "system"]
    if spoken:
        system = "\n\n".join(spoken) if system is None else "\n\n".join([system, *spoken])
        turns = [m for m in turns if m["role"] != "system"]
    if not any(m["role"] == "user" for m in turns):
        raise InputError(f"{where}: 'messages' has no user message")
    return Request(tuple(turns), default_system if system is None else system, sampling)


def _prompt(where: str, prompt: Any) -> list[Message]:
    if not isinstance(prompt, str) or not prompt.strip():
        raise InputError(f"{where}: 'prompt' must be text that is not empty")
    return [{"role": "user", "content": prompt}]


def _messages(where: str, messages: Any) -> list[Message]:
    if isinstance(messages, str | Mapping) or not isinstance(messages, Iterable):
        raise InputError(f"{where}: 'messages' must be a list of role and content")
    messages = list(messages)
    if not messages:
        raise InputError(f"{where}: 'messages' is empty")
    return [_message(f"{where}: messages[{i}]", m) for i, m in enumerate(messages)]


def _message(where: str, message: Any) -> Message:
    role = message.get("role") if isinstance(message, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    if role not in ROLES:
        raise InputError(f"{where}.role must be one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise InputError(f"{where}.content must be text")
    return {"role": role, "content": content}
