"""A loopback Ollama of fixed latency that takes as little CPU as it can from what is measured.

python -m benchmarks.ollama_server --latency-s 0.2 --port 0   # prints its URL
python -m benchmarks.ollama_server --faults 0.1               # a tenth of the chats fails

GET /calls tells what it has seen, and the CPU seconds it has used itself. Every answer holds its
own prompt, so that a mixed-up row shows. Reads requests with a Content-Length, as clients send.
"""

import argparse
import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

MODEL = "bench:latest"
ANSWER = "You asked: {prompt} The town by the river was founded in the year after the great flood."
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
JSON, LINES = b"application/json; charset=utf-8", b"application/x-ndjson"


class OllamaServer:
    """What all connections share: the latency and the counts."""

    def __init__(self, latency_s: float, faults: float) -> None:
        self.latency_s = latency_s
        self.faults = faults
        self.chats = 0
        self.loads = 0  # a chat without messages only loads the model
        self.first_chat_at: float | None = None  # seconds since 1970

    def calls(self) -> dict[str, Any]:
        counts = {"chats": self.chats, "loads": self.loads, "first_chat_at": self.first_chat_at}
        return counts | {"cpu_s": time.process_time()}

    def chat(self, asked: dict[str, Any]) -> tuple[bytes, float]:
        """The reply, and the seconds to wait before it is sent."""
        if not asked.get("messages"):
            self.loads += 1
            return _whole(_ending(asked, "", self.latency_s) | {"done_reason": "load"}), 0.0
        if not self.chats:
            self.first_chat_at = time.time()
        self.chats += 1
        if random.random() < self.faults:
            return random.choice(FAULTS), self.latency_s
        text = ANSWER.format(prompt=asked["messages"][-1]["content"])
        if not asked.get("stream", True):
            return _whole(_ending(asked, text, self.latency_s)), self.latency_s
        message = {"role": "assistant", "content": text}
        piece = {"model": asked["model"], "message": message, "done": False}
        return _stream(piece, _ending(asked, "", self.latency_s)), self.latency_s


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection; a client waits for each answer before it asks again."""

    def __init__(self, server: OllamaServer) -> None:
        self._server = server
        self._received = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        given = CONTENT_LENGTH.search(head)
        length = int(given[1]) if given else 0
        if blank and len(rest) >= length:
            self._received = rest[length:]
            self._serve(head[: head.find(b" HTTP/")], rest[:length])

    def _serve(self, line: bytes, body: bytes) -> None:
        if line == b"POST /api/chat":
            reply, wait_s = self._server.chat(json.loads(body))
            if wait_s:
                self._loop.call_later(wait_s, self._send, reply)
                return
        elif line == b"GET /calls":
            reply = _whole(self._server.calls())
        else:
            reply = FIXED.get(line) or _whole({"error": "not found"}, b"404 Not Found")
        self._send(reply)

    def _send(self, reply: bytes) -> None:
        if not self._transport.is_closing():  # a client may have left meanwhile
            self._transport.write(reply)
            if reply in BREAKING:
                self._transport.close()


def _ending(asked: dict[str, Any], text: str, latency_s: float) -> dict[str, Any]:
    """The last object of an answer, or the only one."""
    nanoseconds = int(latency_s * 1e9)
    return {
        "model": asked.get("model"),
        "created_at": "2025-11-20T10:15:30.123456789Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": "stop",
        "total_duration": nanoseconds,
        "load_duration": 0,
        "prompt_eval_count": 40,
        "prompt_eval_duration": nanoseconds // 4,
        "eval_count": 40,
        "eval_duration": nanoseconds - nanoseconds // 4,
    }


def _whole(body: Any, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    raw = json.dumps(body).encode()
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"
    return head % (status, JSON, len(raw), more) + raw


def _stream(*pieces: Any) -> bytes:
    lines = [json.dumps(piece).encode() + b"\n" for piece in pieces]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head % LINES + chunks + b"0\r\n\r\n"


_DETAILS = {"family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"}
_LISTED = {"name": MODEL, "model": MODEL, "digest": "b" * 64, "details": _DETAILS}
_INFO = {"general.architecture": "llama", "llama.context_length": 131072}
FIXED = {  # what never changes is encoded once
    b"GET /api/tags": _whole({"models": [_LISTED]}),
    b"POST /api/show": _whole({"details": _DETAILS, "model_info": _INFO}),
    b"GET /api/version": _whole({"version": "0.12.6"}),
}
_EMPTY = _ending({"model": MODEL}, "", 0)
BREAKING = (b"", _whole(_EMPTY)[:-40])  # closed without an answer, and within one
FAULTS = (  # what comes in place of an answer
    *BREAKING,
    _whole(_EMPTY),
    _whole({"error": "invalid option"}, b"400 Bad Request"),
    _whole({"error": "unauthorized"}, b"401 Unauthorized"),
    _whole({"error": "too many requests"}, b"429 Too Many Requests", b"Retry-After: 9\r\n"),
    _whole({"error": "boom"}, b"500 Internal Server Error"),
    _whole({"error": "server busy"}, b"503 Service Unavailable"),
)


async def serve(
    latency_s: float, port: int, tell: Callable[[str], None], faults: float = 0.0
) -> None:
    """Serve until cancelled; `tell` gets the URL once connections are taken."""
    server = OllamaServer(latency_s, faults)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=512)
    async with listening:
        tell(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        await listening.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A loopback Ollama of fixed latency.")
    parser.add_argument("--latency-s", type=float, default=0.2, help="seconds an answer takes")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--faults", type=float, default=0, help="the part of chats that fails")
    given = parser.parse_args()
    tell = partial(print, flush=True)
    asyncio.run(serve(given.latency_s, given.port, tell, given.faults))


if __name__ == "__main__":
    main()
