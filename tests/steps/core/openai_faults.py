"""How a server of OpenAI's chat format is known to fail, and what a run makes of it."""

from tests.servers import openai
from tests.servers.openai import completion
from tests.servers.scripted import Reply
from tests.steps.core.fault_kinds import (
    ATTEMPTS,
    NO_ANSWER,
    RESET,
    ROWS,
    SHORT,
    Fault,
    costs_a_row,
    heals,
    marks_a_row,
    stops,
)


def answered(code: int, text: str, kind: str = "invalid_request_error", **headers: str) -> Reply:
    return Reply(code, openai.error(text, kind), headers=headers)


OPENAI_FAULTS = [
    heals("openai", "429 with Retry-After", answered(429, "slower", **{"Retry-After": "0.1"})),
    heals("openai", "500 that passes", answered(500, "The server had an error")),
    heals("openai", "503 overloaded", answered(503, "The engine is currently overloaded")),
    heals("openai", "502 with an HTML page", Reply(502, "<html><h1>Bad gateway</h1></html>")),
    heals("openai", "time-out", NO_ANSWER, **SHORT),
    heals("openai", "connection reset", RESET),
    heals("openai", "body broken off", Reply(body=completion("half"), drop=True)),
    heals("openai", "200 with an error in it", Reply(body=openai.error("unexpected"))),
    heals("openai", "empty answer", Reply(body=completion(None))),
    heals("openai", "no choices", Reply(body=openai.event())),
    Fault(  # the same attempt sends it again
        "openai",
        "max_tokens refused",
        [answered(400, "Use 'max_completion_tokens' instead of 'max_tokens'")],
        ROWS + 1,
        f"row is ok; {ROWS} of {ROWS} answered",
        fields={"max_tokens": 64},
    ),
    costs_a_row(
        "openai",
        "sampling option refused",
        answered(400, "Unsupported value: 'temperature' does not support 0.2"),
        "error (set temperature to null, or to what that model takes)",
    ),
    costs_a_row(
        "openai",
        "reasoning used up max_tokens",
        Reply(body=completion(None, finish="length", reasoning_content="Hm.")),
        "empty (raise max_tokens or lower the thinking budget)",
    ),
    marks_a_row(
        "openai",
        "answer cut by max_tokens",
        Reply(body=completion("Once upon", finish="length")),
        "truncated (the answer was cut: raise max_tokens)",
    ),
    costs_a_row(
        "openai",
        "answer blocked",
        Reply(body=completion("Once upon", finish="content_filter")),
        "blocked",
    ),
    costs_a_row(
        "openai",
        "prompt too long",
        answered(400, "This model's maximum context length is 8192 tokens."),
        "error (shorten the prompt, lower max_tokens or choose a longer context)",
    ),
    stops("openai", "bad key", answered(401, "Incorrect API key provided"), "set OPENAI_API_KEY"),
    stops(
        "openai", "model removed", answered(404, "The model `x` does not exist"), "under /models"
    ),
    stops(
        "openai",
        "quota used up",
        answered(429, "You exceeded your current quota", "insufficient_quota"),
        "raise the account's limit",
    ),
    stops("openai", "server gone", RESET, "start it or correct base_url", 3 * ATTEMPTS),
]
