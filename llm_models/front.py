"""What stands between HTTP clients and MLflow's scoring server: an ASGI app around its own.

One plain question is answered here, without a data frame; all else by MLflow's server. Both
within limits, for no longer than the client stays, and with errors in our own words.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from llm_models.asgi import App, Receive, Scope, Send, is_json, read_body
from llm_models.caller import CALLER, Caller
from llm_models.mlflow_app import ask_mlflow
from llm_models.plain_payload import PlainPayload, read_plain
from llm_models.reply import Reply
from llm_models.request_limits import Limits
from llm_models.served_error import ServedError

Ask = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]

THREADS = 4  # for each request: one whose provider cannot be interrupted outlives its client
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
            return Reply.refusing(ServedError.of_kind("busy", BUSY_S))
        caller = Caller(self._limits)
        CALLER.set(caller)
        self._held += 1
        try:
            body = await self._body(receive)
            return None if body is None else await self._answer(scope, receive, body)
        except ServedError as error:
            return Reply.refusing(error)
        except Exception:
            logging.getLogger("llm_models").exception("a request could not be answered")
            return Reply.refusing(ServedError.of_kind("internal"))
        finally:
            self._held -= 1
            caller.leave()

    async def _body(self, receive: Receive) -> bytes | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await read_body(receive, self._limits)
        except TimeoutError:
            raise ServedError.of_kind("late_request") from None

    async def _answer(self, scope: Scope, receive: Receive, body: bytes) -> Reply | None:
        """The answer, unless the client leaves first: then nothing more is received."""
        work, gone = self._work(scope, body), asyncio.ensure_future(receive())
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait((work, gone), timeout=self._timeout_s, return_when=first)
            if work.done():
                return work.result()
            if gone.done():
                return None
            raise ServedError.of_kind("timeout")
        finally:
            work.cancel()
            gone.cancel()

    def _work(self, scope: Scope, body: bytes) -> "asyncio.Future[Reply]":
        content_type = dict(scope["headers"]).get(b"content-type")
        if content_type is None:
            raise ServedError.of_kind("unknown_type")
        plain = _read(body) if is_json(content_type) else None
        if plain is None:
            return asyncio.ensure_future(ask_mlflow(self._app, scope, body))
        context = copy_context()  # in which the provider finds who waits
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, context.run, self._ask_model, plain)

    def _ask_model(self, plain: PlainPayload) -> Reply:
        return Reply.answering(self._ask(plain.record, plain.params), wrapped=plain.wrapped)


def _read(body: bytes) -> PlainPayload | None:
    try:
        return read_plain(body)
    except (ValueError, RecursionError):
        told = "the body is not JSON that can be read"
        raise ServedError("invalid_request", told, told=told) from None
