"""An answer as server-sent events, while it is being written."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from llm_models.asgi import Send
from llm_models.served_error import ServedError
from llm_models.thinking import after_thinking
from steps.core.serving.chat_reply import Chat, error_body, reason

Item = str | dict[str, Any] | Exception  # a piece of text; at last the row, or what went wrong
DONE = b"data: [DONE]\n\n"
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class ChatStream:
    """`until_left` gives the next item, or None where the client has left."""

    def __init__(
        self,
        chat: Chat,
        first: Item,
        items: "asyncio.Queue[Item]",
        until_left: Callable[[Awaitable[Item]], Awaitable[Item | None]],
        include_usage: bool,
    ) -> None:
        self._chat = chat
        self._first = first
        self._items = items
        self._until_left = until_left
        self._include_usage = include_usage
        self._spoken = Spoken()

    async def send(self, send: Send) -> None:
        """Everything to its end. An error is told in the stream: the status has been sent."""
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await _write(send, self._event(self._chat.chunk({"role": "assistant", "content": ""})))
        item: Item | None = self._first
        while isinstance(item, str):
            await self._say(send, item)
            item = await self._next()
        if item is not None:
            await _write(send, b"".join(self._last(item)) + DONE, more=False)

    async def _next(self) -> Item | None:
        try:
            return await self._until_left(self._items.get())
        except ServedError as error:  # it takes too long
            return error

    async def _say(self, send: Send, piece: str) -> None:
        text = self._spoken.add(piece)
        if text:
            await _write(send, self._event(self._chat.chunk({"content": text})))

    def _last(self, item: dict[str, Any] | Exception) -> Iterator[bytes]:
        if isinstance(item, Exception):
            yield _data(error_body(_told(item)))
            return
        if not self._spoken.any:  # only now is it sure that it was no thinking
            yield self._event(self._chat.chunk({"content": item["text"]}))
        yield self._event(self._chat.chunk({}, reason(item)))
        if self._include_usage:
            yield _data(self._chat.counted(item))

    def _event(self, chunk: dict[str, Any]) -> bytes:
        return _data(chunk | {"usage": None} if self._include_usage else chunk)


class Spoken:
    """The answer proper within what a model writes, which may begin with its thinking."""

    def __init__(self) -> None:
        self.any = False
        self._held = ""

    def add(self, piece: str) -> str:
        """What of it is known to be answer; the rest is held back."""
        if self.any:
            return piece
        self._held += piece
        begun = self._held.lstrip()
        if "<think>".startswith(begun[:7]) and "</think>" not in begun:
            return ""
        text = after_thinking(self._held)
        self.any = bool(text.strip())
        return text if self.any else ""


def _told(error: Exception) -> ServedError:
    if isinstance(error, ServedError):
        return error
    logging.getLogger("llm_models").error("a stream broke off", exc_info=error)
    return ServedError.of_kind("internal")


def _data(told: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(told).encode() + b"\n\n"


async def _write(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
