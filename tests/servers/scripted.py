"""A loopback HTTP/1.1 server, one thread a connection, whose replies can be scripted."""

import json
import select
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Piece = bytes | dict[str, Any] | threading.Event  # an event: wait here until it is set


@dataclass(frozen=True)
class Reply:
    """One scripted exchange: what to send instead of an answer.

    `body` is sent whole; `chunks` as the HTTP chunks of a stream, an object as one line of it.
    With `drop` the connection closes where the answer would have ended, or before it began if
    there is nothing to send. `hold` is waited for first.
    """

    status: int = 200
    body: bytes | str | dict[str, Any] | list[Any] | None = None
    chunks: Sequence[Piece] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    hold: threading.Event | None = None


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class ScriptedServer:
    """Counts and keeps what it is asked; a subclass says what `reply` it gives."""

    fault_path = "/api/chat"

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Seen] = []
        self.left = threading.Event()  # a client went away before its reply was finished
        self.connections: set[socket.socket] = set()
        self._faults: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._lock = threading.Condition()  # told of every request
        handler = type("Handler", (_Handler,), {"server_asked": self})
        self._http = _Server(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """As when its process ends: nobody listens, and open connections break."""
        self._http.shutdown()
        self._http.server_close()
        for connection in list(self.connections):
            with suppress(OSError):  # its client has left meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def serve_forever(self) -> None:
        self._http.serve_forever()

    @property
    def calls(self) -> Counter[str]:
        """How often each path was asked for."""
        with self._lock:
            return Counter(seen.path for seen in self.requests)

    def fault(self, *replies: Reply, path: str | None = None) -> None:
        """Queue replies for the next calls of `path`, one each; `fault_path` unless told."""
        with self._lock:
            self._faults[path or self.fault_path].extend(replies)

    def forget_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    def wait_for(self, calls: int, path: str) -> bool:
        """Whether `path`, a key of `calls`, has been asked for so often, within ten seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: self.calls[path] >= calls, 10)

    def reply(self, seen: Seen) -> Reply:
        raise NotImplementedError

    def see(self, seen: Seen) -> Reply:
        """The reply to one request: a scripted one if there is any left, else the usual one."""
        with self._lock:
            self.requests.append(seen)
            self._lock.notify_all()
            if self._faults[seen.path]:
                return self._faults[seen.path].popleft()
        return self.reply(seen)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # the default of 5 refuses a burst of clients


class _Handler(BaseHTTPRequestHandler):
    server_asked: ScriptedServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

    def handle(self) -> None:
        self.server_asked.connections.add(self.connection)
        try:
            super().handle()
        except ConnectionError:  # a client may leave whenever it likes
            self.server_asked.left.set()
        finally:
            self.server_asked.connections.discard(self.connection)

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._serve(json.loads(raw) if raw else None)

    def log_message(self, *_: object) -> None:
        """A test's output is no place for an access log."""

    def _serve(self, body: Any) -> None:
        reply = self.server_asked.see(Seen(self.command, self.path, dict(self.headers), body))
        if reply.hold:
            self._hold(reply.hold)
        self._send(reply)

    def _hold(self, until: threading.Event) -> None:
        """Wait for the event, for 30 s at most, or until the client leaves."""
        end = time.monotonic() + 30
        while not until.wait(0.01) and time.monotonic() < end:
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError

    def _send(self, reply: Reply) -> None:
        self.close_connection = self.close_connection or reply.drop
        if reply.chunks is not None:
            self._send_chunks(reply)
        elif reply.body is not None or not reply.drop:
            self._send_whole(reply)

    def _send_whole(self, reply: Reply) -> None:
        body = reply.body if reply.body is not None else b""
        raw = body.encode() if isinstance(body, str) else body
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        length = len(raw) + (1 if reply.drop else 0)  # a promise that a drop breaks
        self._start(reply, "application/json; charset=utf-8", ("Content-Length", str(length)))
        self.wfile.write(raw)

    def _send_chunks(self, reply: Reply) -> None:
        self._start(reply, "application/x-ndjson", ("Transfer-Encoding", "chunked"))
        for piece in reply.chunks or ():
            if isinstance(piece, threading.Event):
                piece.wait(30)
                continue
            raw = piece if isinstance(piece, bytes) else json.dumps(piece).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
        if not reply.drop:
            self.wfile.write(b"0\r\n\r\n")

    def _start(self, reply: Reply, kind: str, length: tuple[str, str]) -> None:
        self.send_response(reply.status)
        for name, value in ({"Content-Type": kind} | dict([length]) | dict(reply.headers)).items():
            self.send_header(name, value)
        self.end_headers()
