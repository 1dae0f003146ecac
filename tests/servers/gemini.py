"""A loopback server that speaks Gemini's REST protocol, in a test or as a process of its own.

with GeminiServer(answer={"2+2?": "4"}) as server:
    server.fault(Reply(status=503, body=error(503, "UNAVAILABLE", "overloaded")))  # for the next
    ...  # server.url, server.requests, server.calls["generateContent"]

python -m tests.servers.gemini --port 0 --answers answers.json   # prints its URL
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.scripted import Reply, ScriptedServer, Seen

__all__ = ["KEY", "MODEL", "GeminiServer", "Reply", "Seen", "candidate", "error", "reply"]

MODEL = "gemini-2.5-flash"
KEY = "test-key-of-the-loopback-gemini"
GENERATE = ("generateContent", "streamGenerateContent")
_ROUTE = re.compile(r"/v1(?:beta1?)?/(?:.+/)?models/([^/:]+)(?::(\w+))?")  # Vertex AI's too
Contents = list[dict[str, Any]]


class GeminiServer(ScriptedServer):
    """Answers with `answer`: a function of the contents, or a table of last prompt to answer.

    An answer that is a dict is sent as JSON text. A stream asked for is sent as one, whether the
    reply is scripted as `body` or as `chunks`.
    """

    fault_path = "generate"  # either way of asking; else the action: "get" or "countTokens"

    def __init__(
        self,
        models: Iterable[str] = (MODEL,),
        key: str | None = KEY,
        answer: Callable[[Contents], Any] | Mapping[str, Any] | None = None,
        latency_s: float = 0.0,
        thoughts: int = 0,
        port: int = 0,
    ) -> None:
        self.models, self.key = tuple(models), key
        self.answer, self.latency_s, self.thoughts = answer, latency_s, thoughts
        super().__init__(port)

    @property
    def calls(self) -> Counter[str]:
        """How often each action was asked for; asking for the model itself is "get"."""
        with self._lock:
            return Counter(_route(seen)[1] for seen in self.requests)

    def see(self, seen: Seen) -> Reply:
        action = _route(seen)[1]
        with self._lock:
            self.requests.append(seen)
            self._lock.notify_all()
            queue = self._faults["generate" if action in GENERATE else action]
            scripted = queue.popleft() if queue else None
        given = scripted or self.reply(seen)
        return _streamed(given) if action == "streamGenerateContent" else given

    def reply(self, seen: Seen) -> Reply:
        """What the protocol answers where no fault is scripted."""
        model, action = _route(seen)
        if not model:
            return Reply(404, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>")
        if self.key is not None and _key(seen) != self.key:
            text = "API key not valid. Please pass a valid API key."
            return Reply(400, error(400, "INVALID_ARGUMENT", text, reason("API_KEY_INVALID")))
        if model not in self.models:
            text = f"models/{model} is not found for API version v1beta"
            return Reply(404, error(404, "NOT_FOUND", text))
        if action == "get":
            return Reply(body=_described(model))
        contents = seen.body.get("contents", [])
        prompt = sum(tokens(_text(c)) for c in [*contents, seen.body.get("systemInstruction", {})])
        if action == "countTokens":
            return Reply(body={"totalTokens": prompt})
        return self._generated(model, prompt, self.answer_to(contents), action)

    def answer_to(self, contents: Contents) -> str:
        prompt = _text(contents[-1]) if contents else ""
        if callable(self.answer):
            answer = self.answer(contents)
        else:
            answer = (self.answer or {}).get(prompt, f"You said: {prompt}")
        return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)

    def _generated(self, model: str, prompt: int, answer: str, action: str) -> Reply:
        time.sleep(self.latency_s)
        pieces = _pieces(answer) if action == "streamGenerateContent" else [answer]
        events = list(_events(model, prompt, pieces, self.thoughts))
        return Reply(chunks=events) if len(events) > 1 else Reply(body=events[0])


def reply(*candidates: dict[str, Any], usage: Any = None, **fields: Any) -> dict[str, Any]:
    """One GenerateContentResponse."""
    body: dict[str, Any] = {"candidates": list(candidates), "usageMetadata": usage} | fields
    return {name: value for name, value in body.items() if value}


def candidate(
    *parts: str | dict[str, Any], finish: str | None = "STOP", **fields: Any
) -> dict[str, Any]:
    """One candidate; a part may be given as its text alone."""
    content = {"parts": [{"text": p} if isinstance(p, str) else p for p in parts], "role": "model"}
    ending = {"finishReason": finish} if finish else {}
    return {"content": content} | ending | {"index": 0} | fields


def error(
    code: int | None, status: str, message: str, *details: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """An error body in Google's own form."""
    known: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        known["details"] = list(details)
    return {"error": {name: value for name, value in (known | more).items() if value is not None}}


def reason(name: str, **metadata: str) -> dict[str, Any]:
    """The detail by which Google tells the causes of one status apart."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": name, "domain": "googleapis.com", "metadata": metadata}


def tokens(text: str) -> int:
    """About as many as a real tokenizer counts."""
    return (len(text) + 3) // 4


def sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\r\n\r\n"


def _streamed(given: Reply) -> Reply:
    """As events: a whole answer is a stream of one. An error stays the body it is."""
    chunks: Iterable[Any] | None = given.chunks
    if chunks is None and given.status == 200 and isinstance(given.body, dict):
        chunks = [given.body]
    if chunks is None:
        return given
    kind = {"Content-Type": "text/event-stream"}
    events = (sse(piece) if isinstance(piece, dict) else piece for piece in chunks)  # may not end
    return replace(given, chunks=events, headers=kind | dict(given.headers))


def _route(seen: Seen) -> tuple[str | None, str]:
    found = _ROUTE.fullmatch(unquote(urlsplit(seen.path).path))
    return (found[1], found[2] or "get") if found else (None, "none")


def _key(seen: Seen) -> str | None:
    headers = {name.lower(): value for name, value in seen.headers.items()}
    query = parse_qs(urlsplit(seen.path).query)
    return headers.get("x-goog-api-key") or query.get("key", [None])[0]


def _text(content: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in content.get("parts", []))


def _pieces(text: str) -> list[str]:
    """Three of text, then the empty one that ends most real streams."""
    step = len(text) // 3 + 1
    return [*(text[i : i + step] for i in range(0, len(text), step)), ""]


def _events(model: str, prompt: int, pieces: list[str], thoughts: int) -> Iterator[dict[str, Any]]:
    """Usage is cumulative and stands in every event; zeros are left out, as Google does."""
    written = 0
    for number, piece in enumerate(pieces, start=1):
        written += tokens(piece)
        counts = {"promptTokenCount": prompt, "candidatesTokenCount": written}
        counts |= {"thoughtsTokenCount": thoughts, "totalTokenCount": prompt + written + thoughts}
        usage = {name: count for name, count in counts.items() if count}
        ending = "STOP" if number == len(pieces) else None
        yield reply(candidate(piece, finish=ending), usage=usage, modelVersion=model)


def _described(model: str) -> dict[str, Any]:
    return {
        "name": f"models/{model}",
        "version": "001",
        "displayName": model,
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A loopback Gemini for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", action="append", help=f"may be repeated; default {MODEL}")
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--answers", type=Path, help="a JSON object of prompt to answer")
    parser.add_argument("--latency-s", type=float, default=0.0)
    given = parser.parse_args()
    answers = json.loads(given.answers.read_text("utf-8")) if given.answers else None
    models = given.model or (MODEL,)
    server = GeminiServer(models, given.key, answers, given.latency_s, port=given.port)
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
