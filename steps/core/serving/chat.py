"""POST /v1/chat/completions: one question to the model, answered whole or piece by piece."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial

from llm_models.asgi import Receive, Scope, Send, is_json
from llm_models.caller import CALLER
from llm_models.desk import Desk, Sendable
from llm_models.model import LLMModel
from llm_models.reply import Reply
from llm_models.served_error import ServedError
from steps.core.serving.chat_reply import Chat, refusing
from steps.core.serving.chat_request import ChatRequest, ParameterError, read_chat
from steps.core.serving.chat_stream import ChatStream, Item
from steps.core.serving.served import Served


class ChatCompletions:
    """Answers with the model, at the desk that all routes share."""

    def __init__(self, desk: Desk, model: LLMModel, served: Served) -> None:
        self._desk = desk
        self._model = model
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._desk.serve(receive, send, partial(self._work, scope, receive), refusing)

    def _work(self, scope: Scope, receive: Receive, body: bytes) -> Awaitable[Sendable]:
        # A page in a browser may send other types to any server without asking it first.
        if not is_json(dict(scope["headers"]).get(b"content-type", b"")):
            raise ServedError.of_kind("unknown_type")
        asked = self._read(body)
        chat = Chat(asked.model, self._served.fingerprint)
        if asked.stream:
            return self._streamed(asked, chat, receive)
        return self._desk.in_thread(self._whole, asked, chat)

    def _read(self, body: bytes) -> ChatRequest:
        try:
            asked = read_chat(body)
        except ParameterError as error:
            told = str(error)
            raise ServedError(error.kind, told, told=told, parameter=error.parameter) from None
        if asked.model not in self._served.names:
            told = f"this server has no such model; it serves {', '.join(self._served.names)}"
            raise ServedError("model_not_found", told, told=told, parameter="model")
        return asked

    def _whole(self, asked: ChatRequest, chat: Chat) -> Reply:
        row = self._model.answer(asked.record, asked.params)
        return Reply(200, json.dumps(chat.whole(row)).encode())

    async def _streamed(self, asked: ChatRequest, chat: Chat, receive: Receive) -> ChatStream:
        """Once it has begun: what fails before has a status of its own."""
        items: asyncio.Queue[Item] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._desk.in_thread(self._pump, asked, partial(_put, loop, items))
        first = await items.get()
        if isinstance(first, Exception):
            raise first
        until_left = partial(self._desk.until_left, receive)
        return ChatStream(chat, first, items, until_left, asked.stream_options.include_usage)

    def _pump(self, asked: ChatRequest, put: Callable[[Item], None]) -> None:
        """The pieces of the answer, until nobody waits for them; an error is the last one."""
        caller = CALLER.get()
        try:
            pieces = self._model.stream(asked.record, asked.params)
            for piece in pieces:
                put(piece)
                if caller and caller.left.is_set():
                    break
        except Exception as error:
            put(error)


def _put(loop: asyncio.AbstractEventLoop, items: "asyncio.Queue[Item]", item: Item) -> None:
    """From another thread."""
    loop.call_soon_threadsafe(items.put_nowait, item)
