"""What a judge on a loopback Ollama may answer, and how it is asked."""

import json
from collections.abc import Callable
from typing import Any

from steps.core.judges.canary_rows import CANARIES
from steps.core.judges.config import Judge
from steps.core.judges.judging import Judging
from steps.core.judges.prompts import INSTRUCTIONS
from tests.servers.ollama import MODEL, OllamaServer

CHAT = "/api/chat"
QUESTION = {"prompt": "What is the capital of France?"}
EXPECTED = {"expected_response": "Paris"}
YES = '{"rationale": "It says Paris.", "result": "yes"}'
NO = '{"rationale": "It is Lyon.", "result": "no"}'
Messages = list[dict[str, Any]]
BuildJudging = Callable[..., Judging]


def said(result: str) -> str:
    return json.dumps({"rationale": "Because.", "result": result})


def honest(messages: Messages) -> str:
    """Knows every canary of our own criteria by heart."""
    kind = next(k for k, text in INSTRUCTIONS.items() if messages[0]["content"].startswith(text))
    data = json.loads(messages[1]["content"])
    canary = next(c for c in CANARIES if (c.kind, c.answer) == (kind, data["outputs"]))
    return said("yes" if True in canary.right else "no")


def always(result: str) -> Callable[[Messages], str]:
    return lambda messages: said(result)


def config_of(server: OllamaServer, **fields: Any) -> Judge:
    known = {"model": f"ollama:/{MODEL}", "base_url": server.url, "scorers": ("correctness",)}
    return Judge(**(known | fields))


def verdict(judging: Judging, answer: str = "Paris.", **expectations: Any) -> Any:
    return judging.score(QUESTION, answer, expectations or EXPECTED)[judging.names[0]]
