"""Clients that keep a served model busy and take as little CPU as they can from it.

python -m benchmarks.load_client --port 5001 --clients 64 --seconds 10   # prints JSON

Each client has one connection and asks again as soon as it is answered. Every prompt is another,
and an answer counts only if it holds its own prompt.
"""

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from itertools import count
from typing import Any

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HEAD = (
    b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)


class Load:
    """What all clients share: the numbers of the prompts, and what came back."""

    def __init__(self, path: str, template: str, seconds: float) -> None:
        self.path, self.template = path.encode(), template
        self.numbers = count()
        self.until = time.perf_counter() + seconds
        self.answers: list[tuple[float, float]] = []  # when, and after how many seconds
        self.statuses: Counter[str] = Counter()

    def next(self) -> tuple[bytes, bytes]:
        """A request, and what its answer must hold."""
        own = f"question {next(self.numbers)}:"
        body = self.template.replace("PROMPT", f"{own} which town stands by the river?").encode()
        return HEAD % (self.path, len(body)) + body, own.encode()


class Client(asyncio.Protocol):
    """One connection; `done` is set when the time is up and the last answer has come."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._due = True  # an answer is being waited for
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self._due:
            self._load.statuses["lost"] += 1
        if not self.done.done():
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        if blank and length and len(body) >= int(length[1]):
            self._answered(head[9:12].decode(), self._own in body)

    def _answered(self, status: str, right: bool) -> None:
        now = time.perf_counter()
        wrong = status == "200" and not right
        self._load.statuses["wrong" if wrong else status] += 1
        if status == "200" and right:
            self._load.answers.append((now, now - self._asked))
        if now < self._load.until:
            self._ask()
        else:
            self._due = False
            self._transport.close()

    def _ask(self) -> None:
        request, self._own = self._load.next()
        self._received = b""
        self._asked = time.perf_counter()
        self._transport.write(request)


async def run(load: Load, port: int, clients: int) -> None:
    """Returns when every client has its last answer."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Client(load), "127.0.0.1", port)
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in made))


def summary(load: Load, clients: int, seconds: float) -> dict[str, Any]:
    """Answers a second, and latencies in milliseconds, of the time after the first second."""
    begun = load.until - seconds
    kept = [(at, took) for at, took in load.answers if begun + 1 <= at < load.until]
    latencies = sorted(took for _, took in kept) or [float("nan")]
    return {
        "clients": clients,
        "per_second": len(kept) / (seconds - 1),
        "median_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "statuses": dict(load.statuses),
        "client_cpu_s": time.process_time(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Keeps a served model busy.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/invocations")
    parser.add_argument("--body", default='{"prompt": "PROMPT"}', help="PROMPT is replaced")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10, help="the first is not counted")
    given = parser.parse_args()
    load = Load(given.path, given.body, given.seconds)
    asyncio.run(run(load, given.port, given.clients))
    print(json.dumps(summary(load, given.clients, given.seconds)))


if __name__ == "__main__":
    main()
