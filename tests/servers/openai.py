"""A loopback server that speaks OpenAI's chat format.

with OpenAIServer(answer={"2+2?": "4"}) as server:
    server.fault(Reply(status=503, body=error("overloaded", "server_error")))  # for the next chat
    ...  # server.url, server.requests, server.calls[CHAT]
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.servers.scripted import Reply, ScriptedServer, Seen

__all__ = ["CHAT", "KEY", "MODEL", "OpenAIServer", "Reply", "Seen", "completion", "delta", "error"]

MODEL = "gpt-4o-mini"
SNAPSHOT = "gpt-4o-mini-2024-07-18"
KEY = "sk-loopback-0123456789abcdef"
CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 26, "completion_tokens": 12, "total_tokens": 38}
Messages = list[dict[str, Any]]


class OpenAIServer(ScriptedServer):
    """Answers with `answer`: a function of the messages, or a table of last prompt to answer.

    `url` ends in /v1, as a base_url does. `listed` adds fields to the entries of /v1/models.
    """

    fault_path = CHAT

    def __init__(
        self,
        models: Iterable[str] = (MODEL,),
        key: str | None = KEY,
        answer: Callable[[Messages], str] | Mapping[str, str] | None = None,
        latency_s: float = 0.0,
        listed: Mapping[str, Any] | None = None,
        port: int = 0,
    ) -> None:
        self.models, self.key, self.answer = tuple(models), key, answer
        self.latency_s, self.listed = latency_s, listed or {}
        super().__init__(port)
        self.url += "/v1"

    def reply(self, seen: Seen) -> Reply:
        """What the protocol answers where no fault is scripted."""
        if seen.path not in ("/v1/models", CHAT):
            return Reply(404, error(f"Invalid URL ({seen.method} {seen.path})"))
        headers = {name.lower(): value for name, value in seen.headers.items()}
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            text = "Incorrect API key provided."
            return Reply(401, error(text, "invalid_request_error", "invalid_api_key"))
        if seen.path == "/v1/models":
            return Reply(body={"object": "list", "data": [self._entry(m) for m in self.models]})
        return self._chat(seen.body)

    def answer_to(self, messages: Messages) -> str:
        prompt = messages[-1]["content"] if messages else ""
        if callable(self.answer):
            return self.answer(messages)
        return (self.answer or {}).get(prompt, f"You said: {prompt}")

    def _entry(self, model: str) -> dict[str, Any]:
        known = {"id": model, "object": "model", "created": 1686935002, "owned_by": "system"}
        return known | dict(self.listed)

    def _chat(self, body: Any) -> Reply:
        model, messages = body.get("model"), body.get("messages")
        if not model or not messages:
            return Reply(400, error("you must provide a model and messages"))
        if model not in self.models:
            text = f"The model `{model}` does not exist or you do not have access to it."
            return Reply(404, error(text, "invalid_request_error", "model_not_found"))
        time.sleep(self.latency_s)
        text, prompt = self.answer_to(messages), sum(len(m["content"]) for m in messages) // 4 + 1
        usage = {"prompt_tokens": prompt, "completion_tokens": len(text) // 4 + 1}
        usage["total_tokens"] = sum(usage.values())
        if not body.get("stream"):
            return Reply(body=completion(text, usage=usage))
        words = [delta(word) for word in text.replace(" ", "\0 ").split("\0")]
        counted = [event(usage=usage)] if body.get("stream_options") else []
        return streamed(*words, delta(finish="stop"), *counted)


def completion(
    content: Any = "", finish: str | None = "stop", usage: Any = USAGE, **message: Any
) -> dict[str, Any]:
    """One whole answer; keywords are further fields of its message."""
    told = {"role": "assistant", "content": content, "refusal": None} | message
    choice = {"index": 0, "message": told, "logprobs": None, "finish_reason": finish}
    return event(choice, usage=usage) | {"object": "chat.completion"}


def delta(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One event of a stream; keywords are further fields of its delta."""
    told = more if content is None else {"content": content} | more
    return event({"index": 0, "delta": told, "finish_reason": finish})


def event(*choices: dict[str, Any], usage: Any = None) -> dict[str, Any]:
    """The frame of a whole answer and of an event; the event that counts has no choice."""
    known = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1763633730}
    return known | {"model": SNAPSHOT, "choices": list(choices), "usage": usage}


def streamed(*events: Any, done: bool = True, drop: bool = False) -> Reply:
    """Server-sent events; anything but an object is sent as it is."""
    chunks = [sse(e) if isinstance(e, dict) else e for e in events]
    ending = [b"data: [DONE]\n\n"] if done else []
    kind = {"Content-Type": "text/event-stream; charset=utf-8"}
    return Reply(chunks=[*chunks, *ending], headers=kind, drop=drop)


def sse(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def error(
    message: str, kind: str = "invalid_request_error", code: Any = None, param: str | None = None
) -> dict[str, Any]:
    """An error body in OpenAI's own form."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
