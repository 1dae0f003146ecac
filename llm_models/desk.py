"""Where requests are taken: within limits, and for no longer than the client stays."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

from llm_models.asgi import Message, Receive, Send, read_body
from llm_models.caller import CALLER, Caller
from llm_models.reply import Reply
from llm_models.request_limits import Limits
from llm_models.served_error import ServedError

T = TypeVar("T")
THREADS = 4  # for each request: one whose provider cannot be interrupted outlives its client
BUSY_S = 1.0  # when to try again a server that answers as many requests as it may


class Sendable(Protocol):
    async def send(self, send: Send) -> None: ...


class Desk:
    """`timeout_s` is for the body, and again for the answer or each piece of it, and its taking."""

    def __init__(self, limits: Limits, timeout_s: float) -> None:
        self.pool = ThreadPoolExecutor(THREADS * limits.requests, "answer")
        self._limits = limits
        self._timeout_s = timeout_s
        self._held = 0  # requests that are being answered

    async def serve(
        self,
        receive: Receive,
        send: Send,
        work: Callable[[bytes], Awaitable[Sendable]],
        refusing: Callable[[ServedError], Sendable] = Reply.refusing,
    ) -> None:
        """Send what `work` makes of the body; its errors as `refusing` puts them."""
        reply: Sendable | None
        try:
            with self._place():
                body = await self._body(receive)
                reply = None if body is None else await self.until_left(receive, work(body))
                if reply:
                    await self._hand_over(reply, send)
            return
        except ServedError as error:
            reply = refusing(error)
        except Exception:
            logging.getLogger("llm_models").exception("a request could not be answered")
            reply = refusing(ServedError.of_kind("internal"))
        await reply.send(send)

    async def until_left(self, receive: Receive, awaited: Awaitable[T]) -> T | None:
        """The result, or None where the client leaves first: then nothing more is received.

        Raises ServedError when it takes too long.
        """
        work, gone = asyncio.ensure_future(awaited), asyncio.ensure_future(receive())
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

    def in_thread(self, function: Callable[..., T], *given: Any) -> "asyncio.Future[T]":
        """Called in this context, in which the provider finds who waits."""
        context, loop = copy_context(), asyncio.get_running_loop()
        return loop.run_in_executor(self.pool, context.run, function, *given)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._held >= self._limits.requests:
            raise ServedError.of_kind("busy", BUSY_S)
        caller = Caller(self._limits)
        CALLER.set(caller)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            caller.leave()

    async def _hand_over(self, reply: Sendable, send: Send) -> None:
        """All of it, unless the client stops reading: who takes nothing frees the place too."""

        async def in_time(message: Message) -> None:
            async with asyncio.timeout(self._timeout_s):
                await send(message)

        with suppress(TimeoutError):
            await reply.send(in_time)

    async def _body(self, receive: Receive) -> bytes | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await read_body(receive, self._limits)
        except TimeoutError:
            raise ServedError.of_kind("late_request") from None
