"""A loopback server that speaks Ollama's protocol, in a test or as a process of its own.

with OllamaServer(answer={"2+2?": "4"}) as server:
    server.fault(Reply(status=503, body={"error": "server busy"}))  # for the next /api/chat
    ...  # server.url, server.requests, server.calls["/api/chat"]

python -m tests.servers.ollama --port 0 --answers answers.json   # prints its URL
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.servers.scripted import Reply, ScriptedServer, Seen

__all__ = ["MODEL", "OllamaServer", "Reply", "Seen", "delta", "digest", "ending"]

MODEL = "llama3.1:8b"
Messages = list[dict[str, Any]]


class OllamaServer(ScriptedServer):
    """Answers with `answer`: a function of the messages, or a table of last prompt to answer."""

    def __init__(
        self,
        models: Iterable[str] = (MODEL,),
        answer: Callable[[Messages], str] | Mapping[str, str] | None = None,
        latency_s: float = 0.0,
        judge: Callable[[Messages], str] | None = None,
        port: int = 0,
        version: str = "0.12.6",
    ) -> None:
        self.models = tuple(models)
        self.answer = answer
        self.judge = judge
        self.latency_s = latency_s
        self.version = version
        super().__init__(port)

    def reply(self, seen: Seen) -> Reply:
        """What the protocol answers where no fault is scripted."""
        route = _ROUTES.get((seen.method, seen.path))
        return route(self, seen.body or {}) if route else Reply(404, b"404 page not found")

    def answer_to(self, messages: Messages) -> str:
        prompt = messages[-1]["content"] if messages else ""
        if callable(self.answer):
            return self.answer(messages)
        return (self.answer or {}).get(prompt, f"You said: {prompt}")


def ending(text: str = "", model: str = MODEL, **fields: Any) -> dict[str, Any]:
    """The last object of an answer, or the only one; a field given as None is left out."""
    last = {
        "model": model,
        "created_at": "2025-11-20T10:15:30.123456789Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": "stop",
        "total_duration": 1_000_000_000,
        "load_duration": 100_000_000,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 200_000_000,
        "eval_count": 12,
        "eval_duration": 600_000_000,
    }
    return {name: value for name, value in (last | fields).items() if value is not None}


def delta(text: str = "", model: str = MODEL, **message: Any) -> dict[str, Any]:
    """One object of a streamed answer before its last."""
    return {
        "model": model,
        "created_at": "2025-11-20T10:15:30.123456789Z",
        "message": {"role": "assistant", "content": text} | message,
        "done": False,
    }


def digest(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()


def _details() -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "8.0B",
        "quantization_level": "Q4_K_M",
    }


def _tags(lab: OllamaServer, _: Any) -> Reply:
    entries = [
        {
            "name": name,
            "model": name,
            "modified_at": "2025-11-01T09:00:00.123456789+01:00",
            "size": 4_920_753_328,
            "digest": digest(name),
            "details": _details(),
        }
        for name in map(_tagged, lab.models)
    ]
    return Reply(body={"models": entries})


def _show(lab: OllamaServer, body: Any) -> Reply:
    info = {"general.architecture": "llama", "llama.context_length": 131072}
    shown = Reply(body={"details": _details(), "model_info": info, "capabilities": ["completion"]})
    return _if_present(lab, body, shown)


def _version(lab: OllamaServer, _: Any) -> Reply:
    return Reply(body={"version": lab.version})


def _chat(lab: OllamaServer, body: Any) -> Reply:
    messages, model = body.get("messages", []), body.get("model", "")
    if _missing(lab, model):
        return _if_present(lab, body, Reply())
    time.sleep(lab.latency_s)
    text = lab.answer_to(messages)
    prompt = sum(len(message["content"]) for message in messages) // 4 + 1
    counts = {"prompt_eval_count": prompt, "eval_count": len(text) // 4 + 1}
    if body.get("stream", True):
        words = [delta(word, model) for word in text.split(" ")[:1]]
        words += [delta(f" {word}", model) for word in text.split(" ")[1:]]
        return Reply(chunks=[*words, ending("", model, **counts)])
    return Reply(body=ending(text, model, **counts))


def _generate(lab: OllamaServer, body: Any) -> Reply:
    if not body.get("prompt"):  # only loads the model
        loaded = {"model": body.get("model"), "response": "", "done": True, "done_reason": "load"}
        return _if_present(lab, body, Reply(body=loaded))
    text = lab.answer_to([{"role": "user", "content": body["prompt"]}])
    last = ending(model=body.get("model", ""), message=None, response=text, context=[1, 2, 3])
    answer = Reply(chunks=[last]) if body.get("stream", True) else Reply(body=last)
    return _if_present(lab, body, answer)


def _completions(lab: OllamaServer, body: Any) -> Reply:
    """OpenAI's shape, as MLflow's judges ask for it."""
    verdict = json.dumps({"result": "yes", "rationale": "It answers the question."})
    text = lab.judge(body["messages"]) if lab.judge else verdict
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_763_633_730,
        "model": body.get("model", ""),
        "system_fingerprint": "fp_ollama",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 26, "completion_tokens": 12, "total_tokens": 38},
    }
    return _if_present(lab, body, Reply(body=completion))


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def _missing(lab: OllamaServer, model: str) -> bool:
    return _tagged(model) not in map(_tagged, lab.models)


def _if_present(lab: OllamaServer, body: Any, reply: Reply) -> Reply:
    model = body.get("model", "")
    return Reply(404, {"error": f"model '{model}' not found"}) if _missing(lab, model) else reply


_ROUTES: dict[tuple[str, str], Callable[[OllamaServer, Any], Reply]] = {
    ("GET", "/api/tags"): _tags,
    ("POST", "/api/show"): _show,
    ("GET", "/api/version"): _version,
    ("POST", "/api/chat"): _chat,
    ("POST", "/api/generate"): _generate,
    ("POST", "/v1/chat/completions"): _completions,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="A loopback Ollama for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", action="append", help=f"may be repeated; default {MODEL}")
    parser.add_argument("--answers", type=Path, help="a JSON object of prompt to answer")
    parser.add_argument("--latency-s", type=float, default=0.0)
    given = parser.parse_args()
    answers = json.loads(given.answers.read_text("utf-8")) if given.answers else None
    server = OllamaServer(given.model or (MODEL,), answers, given.latency_s, port=given.port)
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
