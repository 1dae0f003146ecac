"""What stands between HTTP clients and MLflow's scoring server: an ASGI app around its own.

One plain question is answered here, without a data frame; all else by MLflow's server. Both
within limits, for no longer than the client stays, and with errors in our own words.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from llm_models.caller import CALLER, Caller
from llm_models.errors import KINDS, TooLargeError
from llm_models.mlflow_errors import in_our_words
from llm_models.plain_payload import PlainPayload, read_plain
from llm_models.reply import Reply
from llm_models.request_limits import Limits
from llm_models.served_error import ServedError

Message = Any  # of ASGI: a dict
Scope = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Ask = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]

THREADS = 4  # for each request: one whose provider cannot be interrupted outlives its client
DRAINED = 8  # times the limit of a body are read and dropped: clients write before they read
BUSY_S = 1.0  # when to try again a server that answers as many requests as it may


class Front:
    """`app` answers what `ask` does not; `timeout_s` is for the body, and again for the answer.

    `ask` gives the row for one record and its params, and raises ServedError.
    """

    def __init__(self, app: App, ask: Ask, limits: Limits, timeout_s: float) -> None:
        self._app = app
        self._ask = ask
        self._limits = limits
        self._timeout_s = timeout_s
        self._held = 0  # requests that are being answered
        self._pool = ThreadPoolExecutor(THREADS * limits.requests, "answer")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # MLflow's server would wait in cpu + 4 threads
            asyncio.get_running_loop().set_default_executor(self._pool)
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/invocations"):
            await self._app(scope, receive, send)
            return
        reply = await self._reply(scope, receive)
        for message in reply.messages() if reply else ():
            await send(message)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply | None:
        """None where nobody is left to read it."""
        if self._held >= self._limits.requests:
            return Reply.refusing(_error("busy", BUSY_S))
        caller = Caller(self._limits)
        CALLER.set(caller)
        self._held += 1
        try:
            return await self._answered(scope, receive)
        except ServedError as error:
            return Reply.refusing(error)
        except Exception:
            logging.getLogger("llm_models").exception("a request could not be answered")
            return Reply.refusing(_error("internal"))
        finally:
            self._held -= 1
            caller.leave()

    async def _answered(self, scope: Scope, receive: Receive) -> Reply | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._body(receive)
        except TimeoutError:
            raise _error("late_request") from None
        if body is None:
            return None
        work = self._work(scope, body)
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait(
                (work, gone), timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                return work.result()
            if gone.done():
                return None
            raise _error("timeout")
        finally:
            gone.cancel()
            work.cancel()

    async def _body(self, receive: Receive) -> bytes | None:
        """None where the client has left. Raises ServedError for one that is too large."""
        pieces, size, more = [], 0, True
        while more and size <= DRAINED * self._limits.body_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece, more = message.get("body", b""), message.get("more_body", False)
            size += len(piece)
            if size <= self._limits.body_bytes:
                pieces.append(piece)
        try:
            self._limits.check_body(size)
        except TooLargeError as error:
            raise ServedError.of(error) from None
        return b"".join(pieces)

    def _work(self, scope: Scope, body: bytes) -> "asyncio.Future[Reply]":
        kind = dict(scope["headers"]).get(b"content-type")
        if kind is None:
            raise _error("unknown_type")
        plain = _read(body) if _is_json(kind) else None
        if plain is None:
            return asyncio.ensure_future(self._by_mlflow(scope, body))
        loop, context = asyncio.get_running_loop(), copy_context()
        return loop.run_in_executor(self._pool, context.run, self._by_model, plain)

    def _by_model(self, plain: PlainPayload) -> Reply:
        return Reply.answering(self._ask(plain.record, plain.params), wrapped=plain.wrapped)

    async def _by_mlflow(self, scope: Scope, body: bytes) -> Reply:
        asked = iter([{"type": "http.request", "body": body, "more_body": False}])
        sent: list[Message] = []

        async def receive() -> Message:
            for message in asked:
                return message
            return await asyncio.get_running_loop().create_future()  # leaving is seen outside

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start, *pieces = sent
        said = b"".join(piece.get("body", b"") for piece in pieces)
        if start["status"] < 400:
            return Reply(start["status"], said, tuple(map(tuple, start["headers"])))
        return Reply.refusing(in_our_words(start["status"], said))


def _is_json(kind: bytes) -> bool:
    mime, _, parameter = kind.lower().replace(b" ", b"").partition(b";")
    return mime == b"application/json" and parameter in (b"", b"charset=utf-8")


def _read(body: bytes) -> PlainPayload | None:
    try:
        return read_plain(body)
    except (ValueError, RecursionError):
        told = "the body is not JSON that can be read"
        raise ServedError("invalid_request", told, told=told) from None


def _error(kind: str, retry_after: float | None = None) -> ServedError:
    return ServedError(kind, KINDS[kind].told, retry_after=retry_after)
