"""Rows, candidates resolved as a command resolves them, and runs that are waited for."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from steps.core.answering.candidates import Ready, resolve
from steps.core.answering.runner import Answer, Run
from steps.core.config import Candidate, Config
from steps.core.dataset import Row
from steps.core.prices import Price
from tests.servers.gemini import GeminiServer
from tests.servers.ollama import MODEL, OllamaServer
from tests.servers.openai import OpenAIServer

Server = OllamaServer | GeminiServer | OpenAIServer
PROVIDERS = {OllamaServer: "ollama", GeminiServer: "gemini", OpenAIServer: "openai"}
SECONDS = 10  # for what takes milliseconds: only a test that fails waits so long


class Gate:
    """An answer of a server that waits until it is opened, and counts who waits."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.arrivals: list[float] = []  # monotonic seconds
        self.together = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, _: Any) -> str:
        with self._lock:
            self.arrivals.append(time.monotonic())
            self.together += 1
            self.most = max(self.most, self.together)
        self.opened.wait(SECONDS)
        with self._lock:
            self.together -= 1
        return "Paris"


def questions(count: int) -> list[Row]:
    return [Row(f"r{i}", {"prompt": f"question {i}"}, {}, {}) for i in range(count)]


def files(folder: Path, count: int, *urls: str, **settings: Any) -> tuple[Path, Path]:
    """A config of one Ollama candidate for each URL, and a file of so many questions."""
    least = {"provider": "ollama", "model": MODEL, "registered_name": "llm_test"}
    named = [least | {"name": f"c{n}", "base_url": url} for n, url in enumerate(urls)]
    config, data = folder / "config.yaml", folder / "rows.jsonl"
    config.write_text(json.dumps({"candidates": named} | settings))  # JSON is YAML
    data.write_text("".join(json.dumps({"inputs": r.inputs}) + "\n" for r in questions(count)))
    return config, data


def resolved(server: Server, price: dict[str, Any] | None = None, **fields: Any) -> Ready:
    """The server's first model; keywords are fields of Candidate."""
    provider = next(name for kind, name in PROVIDERS.items() if isinstance(server, kind))
    known = {"name": "one", "registered_name": "llm_test", "model": server.models[0]}
    candidate = Candidate(provider=provider, base_url=server.url, **known | fields)
    own = {f"{provider}/{candidate.model}": Price(**price)} if price else {}
    return resolve(candidate, Config(candidates=(candidate,), prices=own))


def asked(server: Server) -> Counter[str]:
    """How often each prompt was sent."""
    bodies = [seen.body for seen in list(server.requests) if seen.body]
    chats = [body["messages"][-1]["content"] for body in bodies if "messages" in body]
    contents = [body["contents"][-1]["parts"][0]["text"] for body in bodies if "contents" in body]
    return Counter(chats + contents)


def finish(run: Run) -> list[Answer]:
    """All answers of a run that is expected to end soon. Raises TimeoutError if it does not."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(lambda: list(run.start())).result(SECONDS)
    finally:
        pool.shutdown(wait=False)


def until(holds: Callable[[], Any]) -> None:
    """Wait for what signals no event. Raises TimeoutError where it does not come true."""
    end = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("it did not come true")
        time.sleep(0.001)
