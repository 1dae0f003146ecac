"""The routes of `serve` round one loaded model, as an ASGI app.

Import it only once the model is loaded: see worker.py.
"""

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from llm_models.asgi import App, Receive, Scope, Send
from llm_models.front import Front
from llm_models.model import LLMModel
from llm_models.reply import Reply
from llm_models.served_error import ServedError
from llm_models.serving import open_desk
from steps.core.environment import SERVE_TOKEN
from steps.core.serving.chat import ChatCompletions
from steps.core.serving.chat_reply import refusing
from steps.core.serving.door import Door
from steps.core.serving.metrics import Measured, Metrics
from steps.core.serving.readiness import Readiness
from steps.core.serving.served import Served

MODELS, CHAT = "/v1/models", "/v1/chat/completions"
HEALTH, READY, METRICS = "/health", "/ready", "/metrics"
PATHS = (MODELS, CHAT, HEALTH, READY, METRICS, "/invocations", "/ping", "/version")
Look = Callable[[], Awaitable[Reply]]


def app_of(pyfunc: Any, model: LLMModel, served: Served) -> App:
    """`model` is what `pyfunc` wraps. Raises InputError for a limit that is none."""
    from mlflow.pyfunc import scoring_server

    desk = open_desk()
    front = Front(scoring_server.init(pyfunc), model.answer, desk)
    chat = ChatCompletions(desk, model, served)
    metrics = Metrics(PATHS)
    routes = Routes(front, chat, served, Readiness(model.provider, desk), metrics)
    token = os.environ.get(SERVE_TOKEN, "").strip()
    return Door(Measured(routes, metrics), token, served.headers)


class Routes:
    """Ours by path; all else is MLflow's."""

    def __init__(
        self, front: App, chat: App, served: Served, readiness: Readiness, metrics: Metrics
    ) -> None:
        self._front = front
        self._chat = chat
        self._served = served
        self._readiness = readiness
        self._metrics = metrics
        self._looks: dict[str, Look] = {  # by GET
            HEALTH: self._health,
            READY: self._ready,
            METRICS: self._page,
            MODELS: self._models,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path in self._looks or path.startswith("/v1/")):
            await self._front(scope, receive, send)
        elif (scope["method"], path) == ("POST", CHAT):
            await self._chat(scope, receive, send)
        else:
            await (await self._look(scope["method"], path)).send(send)

    async def _look(self, method: str, path: str) -> Reply:
        if path in self._looks or path == CHAT:
            allowed = "POST" if path == CHAT else "GET"
            return await self._looks[path]() if method == allowed else _wrong_method(allowed)
        name = path.removeprefix(f"{MODELS}/")
        if method == "GET" and name in self._served.names:
            return _json(self._served.entry(name))
        known = f"there is no {'such model' if name != path else 'such address'} here"
        return refusing(ServedError("model_not_found", known, told=known))

    async def _health(self) -> Reply:
        return _json({"status": "ok"})

    async def _ready(self) -> Reply:
        told = await self._readiness.now()
        return _json(told, 200 if told["ready"] else 503)

    async def _page(self) -> Reply:
        return self._metrics.page()

    async def _models(self) -> Reply:
        return _json({"object": "list", "data": self._served.entries()})


def _wrong_method(allowed: str) -> Reply:
    told = f"ask this address by {allowed}"
    error = refusing(ServedError("invalid_request", told, told=told))
    return Reply(405, error.body, (*error.headers, (b"allow", allowed.encode())))


def _json(told: dict[str, Any], status: int = 200) -> Reply:
    return Reply(status, json.dumps(told).encode())
