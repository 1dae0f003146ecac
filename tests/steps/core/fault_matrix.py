"""Every way a server is known to fail: the calls a run makes of it, and how it ends.

python -m tests.steps.core.fault_matrix   # prints the table as Markdown
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_models import base
from steps.core.answering.journal import Journal
from steps.core.answering.runner import Answer, Run
from tests.servers import gemini, openai
from tests.servers.gemini import GeminiServer, error, reason
from tests.servers.ollama import OllamaServer, ending
from tests.servers.openai import OpenAIServer
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
from tests.steps.core.openai_faults import OPENAI_FAULTS
from tests.steps.core.runs import Server, questions, resolved

SERVERS: Mapping[str, type[Server]] = {
    "gemini": GeminiServer,
    "ollama": OllamaServer,
    "openai": OpenAIServer,
}
ASKING = {"gemini": "generateContent", "ollama": "/api/chat", "openai": openai.CHAT}


def google(code: int, status: str, text: str, *details: dict[str, Any]) -> Reply:
    return Reply(code, error(code, status, text, *details))


def rpc(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}"} | fields


def said(*parts: str, finish: str = "STOP", **fields: Any) -> Reply:
    return Reply(body=gemini.reply(gemini.candidate(*parts, finish=finish), **fields))


def refused(code: int, text: str) -> Reply:
    return Reply(code, {"error": text})


SLOWLY = rpc("RetryInfo", retryDelay="0.1s")
PER_DAY = rpc("QuotaFailure", violations=[{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}])
LATER = rpc("RetryInfo", retryDelay="36s")
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
INVALID = "API key not valid. Please pass a valid API key."
THOUGHT = {"promptTokenCount": 9, "thoughtsTokenCount": 64, "totalTokenCount": 73}
QUEUE_FULL = "server busy, please try again.  maximum pending requests exceeded"
NO_MEMORY = "model requires more system memory (9.1 GiB) than is available (7.6 GiB)"
HALF = ending("half an answer", done=False, done_reason=None)
LONGER = "raise max_output_tokens or lower the thinking budget (max_tokens, thinking_budget)"

FAULTS = [
    heals("gemini", "429 with RetryInfo", google(429, "RESOURCE_EXHAUSTED", "slower", SLOWLY)),
    heals("gemini", "429 without RetryInfo", google(429, "RESOURCE_EXHAUSTED", "slower")),
    heals("gemini", "500 INTERNAL", google(500, "INTERNAL", "An internal error has occurred.")),
    heals("gemini", "503 UNAVAILABLE", google(503, "UNAVAILABLE", "The model is overloaded.")),
    heals("gemini", "502 with an HTML page", Reply(502, "<html><h1>Bad gateway</h1></html>")),
    heals("gemini", "time-out", NO_ANSWER, **SHORT),
    heals("gemini", "connection reset", RESET),
    heals("gemini", "body broken off", Reply(body=gemini.reply(), drop=True)),
    heals("gemini", "empty STOP", said()),
    costs_a_row("gemini", "empty STOP at every call", said(), "empty", ATTEMPTS),
    costs_a_row(
        "gemini",
        "thinking used up max_tokens",
        said(finish="MAX_TOKENS", usageMetadata=THOUGHT),
        f"empty ({LONGER})",
    ),
    marks_a_row(
        "gemini",
        "answer cut by max_tokens",
        said("Once upon", finish="MAX_TOKENS"),
        f"truncated ({LONGER})",
    ),
    costs_a_row("gemini", "answer blocked", said("Once upon", finish="SAFETY"), "blocked"),
    costs_a_row(
        "gemini",
        "prompt blocked",
        Reply(body={"promptFeedback": {"blockReason": "SAFETY"}}),
        "blocked (the prompt itself was blocked: rephrase it, or see safety_settings)",
    ),
    costs_a_row(
        "gemini",
        "prompt too long",
        google(400, "INVALID_ARGUMENT", TOO_LONG),
        "error (shorten the prompt or choose a model with a larger context)",
    ),
    stops(
        "gemini",
        "bad key",
        google(400, "INVALID_ARGUMENT", INVALID, reason("API_KEY_INVALID")),
        "set GEMINI_API_KEY",
    ),
    stops(
        "gemini",
        "service disabled",
        google(403, "PERMISSION_DENIED", "It is disabled.", reason("SERVICE_DISABLED")),
        "check the key's project",
    ),
    stops(
        "gemini",
        "retired model",
        google(404, "NOT_FOUND", "models/gemini-1.0-pro is not found"),
        "see https://ai.google.dev/gemini-api/docs/models",
    ),
    stops(
        "gemini",
        "daily quota",
        google(429, "RESOURCE_EXHAUSTED", "Please retry in 36s.", PER_DAY, LATER),
        "GenerateRequestsPerDayPerProjectPerModel is used up: wait for its reset",
    ),
    stops("gemini", "server gone", RESET, "check the network and base_url", 3 * ATTEMPTS),
    heals("ollama", "429 of the cloud", refused(429, "too many requests")),
    heals("ollama", "503 queue full", refused(503, QUEUE_FULL)),
    heals("ollama", "500 that passes", refused(500, "unexpected EOF")),
    heals("ollama", "time-out", NO_ANSWER, **SHORT),
    heals("ollama", "connection reset", RESET),
    heals("ollama", "body broken off", Reply(body=ending("half"), drop=True)),
    heals("ollama", "200 that does not end in done", Reply(body=HALF)),
    heals("ollama", "200 with an error in it", Reply(body={"error": "unexpected EOF"})),
    heals("ollama", "empty answer", Reply(body=ending(""))),
    costs_a_row(
        "ollama",
        "thinking alone, at every call",
        Reply(body=ending("<think>Let me see")),
        "empty",
        ATTEMPTS,
    ),
    marks_a_row(
        "ollama",
        "prompt cut in silence",
        Reply(body=ending("Yes.", prompt_eval_count=64)),
        "ok (prompt looks cut: raise num_ctx)",
        options={"num_ctx": 64},
    ),
    costs_a_row(
        "ollama",
        "prompt too long",
        refused(400, "the input length exceeds the context length"),
        "error (raise num_ctx or shorten the prompt)",
    ),
    stops("ollama", "model removed", refused(404, "model 'x' not found"), "run `ollama pull"),
    stops("ollama", "500 that stays", refused(500, NO_MEMORY), "free memory, lower num_ctx"),
    stops(
        "ollama",
        "failed model load",
        refused(500, NO_MEMORY),
        "free memory, lower num_ctx",
        calls=0,
        path="/api/generate",
    ),
    stops("ollama", "cloud account limit", refused(429, "weekly usage limit"), "wait for the"),
    stops("ollama", "server gone", RESET, "start it with `ollama serve`", 3 * ATTEMPTS),
    *OPENAI_FAULTS,
]


@dataclass(frozen=True)
class Met:
    """What became of a run that met a fault."""

    calls: int
    outcome: str


def meet(fault: Fault, folder: Path) -> Met:
    """Ask ROWS rows of a server with that fault, one after the other."""
    with pytest.MonkeyPatch.context() as patch, SERVERS[fault.provider]() as server:
        patch.setattr(base, "FIRST_WAIT_S", 0.001)
        patch.setenv("GEMINI_API_KEY", gemini.KEY)
        patch.setenv("OPENAI_API_KEY", openai.KEY)
        patch.setenv("NO_PROXY", "127.0.0.1")
        server.fault(*fault.replies, path=fault.path)
        ready = resolved(server, concurrency=1, **fault.fields)
        run = Run(ready, questions(ROWS), Journal(folder / "journal.sqlite")).start()
        answers = list(run)
        return Met(
            server.calls[ASKING[fault.provider]], _told(run, answers).replace(server.url, "…")
        )


def _told(run: Run, answers: list[Answer]) -> str:
    if run.stopped:
        return f"run stopped: {run.stopped.reason}"
    first = next(a for a in answers if a.row is run.rows[0]).completion
    hint = f" ({first.hint})" if first.hint else ""
    row = f"row is {first.status}{hint}"
    if first.status == "ok" and first.attempts > 1:
        row = f"row answered at attempt {first.attempts}"
    return f"{row}; {sum(a.completion.answered for a in answers)} of {len(run.rows)} answered"


def table() -> str:
    """Markdown: fault, calls made, outcome."""
    lines = [f"| fault | calls for {ROWS} rows | outcome |", "|---|---|---|"]
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            met = meet(fault, Path(folder))
        lines.append(f"| {fault.provider}: {fault.name} | {met.calls} | {met.outcome} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
