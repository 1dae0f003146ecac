"""Clients that keep a served model busy and take as little CPU as they can from it.

python -m benchmarks.load_client --port 5001 --clients 64 --seconds 10   # prints JSON

Each client has one connection and asks again as soon as it is answered. Every prompt is another,
and an answer counts only if it holds its own prompt.
"""

import argparse
import asyncio
import json
import random
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
PATIENCE_S = 0.1  # of a client that hangs up


class Load:
    """What all clients share: the numbers of the prompts, and what came back."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.path, self.template, self.hang_up = given.path.encode(), given.body, given.hang_up
        self.numbers = count()
        self.until = time.perf_counter() + given.seconds
        self.answers: list[tuple[float, float]] = []  # when, and after how many seconds
        self.outcomes: Counter[str] = Counter()  # one for each request: a status, lost, …

    def next(self) -> tuple[bytes, bytes]:
        """A request, and what its answer must hold."""
        own = f"question {next(self.numbers)}:"
        body = self.template.replace("PROMPT", f"{own} which town stands by the river?").encode()
        return HEAD % (self.path, len(body)) + body, own.encode()


class Client(asyncio.Protocol):
    """One connection; `gone` is set when it has closed."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._waits = False
        self.gone = self._loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self._waits:
            self._ends("lost")
        self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        if blank and length and len(body) >= int(length[1]):
            self._answered(head[9:12].decode(), self._own in body)

    def _answered(self, status: str, right: bool) -> None:
        now = time.perf_counter()
        self._ends("wrong" if status == "200" and not right else status)
        if status == "200" and right:
            self._load.answers.append((now, now - self._asked))
        if now < self._load.until:
            self._ask()
        else:
            self._transport.close()

    def _ask(self) -> None:
        request, self._own = self._load.next()
        self._received, self._waits = b"", True
        self._asked = time.perf_counter()
        self._transport.write(request)
        if random.random() < self._load.hang_up:
            self._loop.call_later(PATIENCE_S, self._hang_up)

    def _hang_up(self) -> None:
        if self._waits:
            self._ends("hung up")
            self._transport.abort()

    def _ends(self, outcome: str) -> None:
        self._load.outcomes[outcome] += 1
        self._waits = False


async def client(load: Load, port: int) -> None:
    """Asks until the time is up and the last answer has come, over as many connections."""
    loop = asyncio.get_running_loop()
    while time.perf_counter() < load.until:
        _, connection = await loop.create_connection(lambda: Client(load), "127.0.0.1", port)
        await connection.gone


async def run(load: Load, port: int, clients: int) -> None:
    await asyncio.gather(*(client(load, port) for _ in range(clients)))


def summary(load: Load, given: argparse.Namespace) -> dict[str, Any]:
    """Right answers a second and their times in milliseconds, the first second left out."""
    begun = load.until - given.seconds + 1
    kept = [(at, took) for at, took in load.answers if begun <= at < load.until]
    times = sorted(took for _, took in kept) or [float("nan")]
    return {
        "clients": given.clients,
        "per_second": len(kept) / (given.seconds - 1),
        "median_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
        "asked": next(load.numbers),
        "outcomes": dict(load.outcomes),
        "cpu_s": time.process_time(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Keeps a served model busy.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/invocations")
    parser.add_argument("--body", default='{"prompt": "PROMPT"}', help="PROMPT is replaced")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--hang-up", type=float, default=0, help="the part that does not wait")
    given = parser.parse_args()
    load = Load(given)
    asyncio.run(run(load, given.port, given.clients))
    print(json.dumps(summary(load, given)))


if __name__ == "__main__":
    main()
