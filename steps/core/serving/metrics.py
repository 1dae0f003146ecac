"""What Prometheus is told: requests, their time, tokens and cost. Of all processes together."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from llm_models.asgi import App, Message, Receive, Scope, Send
from llm_models.caller import CALLER
from llm_models.reply import Reply
from llm_models.schema import Completion

OURS = "llmflowlab"
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # set where several processes serve
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
GONE = "499"  # the client left before its answer: nothing was sent


class Metrics:
    """Paths but those of `routes` count as one."""

    def __init__(self, routes: Iterable[str]) -> None:
        self._routes = frozenset(routes)
        own = self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{OURS}_requests", "By status.", ["route", "status"], registry=own
        )
        self._seconds = Histogram(
            f"{OURS}_request_seconds", "To the last byte.", ["route"], buckets=SECONDS, registry=own
        )
        self.held = Gauge(
            f"{OURS}_requests_in_flight", "Now.", multiprocess_mode="livesum", registry=own
        )
        self._tokens = Counter(f"{OURS}_tokens", "As the provider counts.", ["kind"], registry=own)
        self._cost = Counter(f"{OURS}_cost_usd", "Of calls whose cost is known.", registry=own)
        self._unpriced = Counter(f"{OURS}_calls_of_unknown_cost", "Not in cost.", registry=own)

    def page(self) -> Reply:
        registry = self._registry
        if DIRECTORY in os.environ:
            registry = CollectorRegistry()
            registry.register(_AllProcesses(Path(os.environ[DIRECTORY])))
        text = generate_latest(registry)
        return Reply(200, text, ((b"content-type", CONTENT_TYPE_LATEST.encode()),))

    def count(self, path: str, status: str, seconds: float) -> None:
        route = path if path in self._routes else "other"
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)
        caller = CALLER.get()  # of this request: it has a context of its own
        for completion in caller.completions if caller else ():
            self._add(completion)

    def _add(self, completion: Completion) -> None:
        usage = completion.usage
        for kind in ("input", "output", "thinking"):
            self._tokens.labels(kind).inc(getattr(usage, f"{kind}_tokens") or 0)
        if completion.cost_usd is None:
            self._unpriced.inc()
        else:
            self._cost.inc(completion.cost_usd)


class Measured:
    """`app` with every request of it counted."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = GONE

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        began = time.perf_counter()
        self._metrics.held.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.held.dec()
            self._metrics.count(scope["path"], status, time.perf_counter() - began)


class _AllProcesses(Collector):
    """prometheus_client's own would fail on the empty file of a process that begins just now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        _forget_the_dead(self._folder)
        files = [str(file) for file in self._folder.glob("*.db") if _has_begun(file)]
        return MultiProcessCollector.merge(files)


def _has_begun(file: Path) -> bool:
    with suppress(FileNotFoundError):  # another process has forgotten a dead one meanwhile
        return file.stat().st_size > 0
    return False


def _forget_the_dead(folder: Path) -> None:
    """What a process that was killed had in flight is not in flight any more."""
    for file in folder.glob("gauge_live*.db"):
        process = int(file.stem.rpartition("_")[2])
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):
                mark_process_dead(process, str(folder))
