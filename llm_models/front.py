"""What stands between HTTP clients and MLflow's scoring server: an ASGI app around its own.

One plain question is answered here, without a data frame; all else by MLflow's server. Both
within limits, for no longer than the client stays, and with errors in our own words.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from llm_models.asgi import App, Receive, Scope, Send, is_json
from llm_models.desk import Desk
from llm_models.mlflow_app import ask_mlflow
from llm_models.plain_payload import PlainPayload, as_records, read_plain
from llm_models.reply import Reply
from llm_models.served_error import ServedError

Ask = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


class Front:
    """`app` answers what `ask` does not.

    `ask` gives the row for one record and its params, and raises ServedError.
    """

    def __init__(self, app: App, ask: Ask, desk: Desk) -> None:
        self._app = app
        self._ask = ask
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # MLflow's server would wait in cpu + 4 threads
            asyncio.get_running_loop().set_default_executor(self._desk.pool)
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/invocations"):
            await self._app(scope, receive, send)
            return
        await self._desk.serve(receive, send, partial(self._work, scope))

    def _work(self, scope: Scope, body: bytes) -> Awaitable[Reply]:
        content_type = dict(scope["headers"]).get(b"content-type")
        if content_type is None:
            raise ServedError.of_kind("unknown_type")
        if not is_json(content_type):
            return ask_mlflow(self._app, scope, body)
        plain = _read(body)
        if plain is None:
            return ask_mlflow(self._app, scope, as_records(body))
        return self._desk.in_thread(self._ask_model, plain)

    def _ask_model(self, plain: PlainPayload) -> Reply:
        return Reply.answering(self._ask(plain.record, plain.params), wrapped=plain.wrapped)


def _read(body: bytes) -> PlainPayload | None:
    try:
        return read_plain(body)
    except (ValueError, RecursionError):
        told = "the body is not JSON that can be read"
        raise ServedError("invalid_request", told, told=told) from None
