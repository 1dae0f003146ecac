"""A running `serve`, as its clients see it."""

import http.client
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from openai import OpenAI

from tests.end_to_end.lab import ROOT, Lab, free_port
from tests.servers.ollama import MODEL, OllamaServer

NAME = "llm_ollama_chat"
CONFIG = f"""
defaults: {{timeout_s: 30, concurrency: 2}}
candidates:
  - {{name: llama, provider: ollama, model: "{MODEL}", registered_name: {NAME}}}
"""
TOKEN = "a-token-that-is-long-enough"
PRIVATE = "words that are private"
ASKED: Any = [{"role": "user", "content": "say yes"}]
LATER = {"Retry-After": "7.2"}  # longer than the server retries for a client
TOLD = "the model's provider refused the request as wrong"
CHAT = "/v1/chat/completions"


class Served:
    """A running `serve`, and the Ollama behind it."""

    def __init__(self, address: str, ollama: OllamaServer) -> None:
        self.address, self.ollama = address, ollama
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "", parts.port or 0

    def client(self, token: str = "none") -> OpenAI:
        return OpenAI(base_url=f"{self.address}/v1", api_key=token, max_retries=0)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, str]:
        """(status, headers, body)"""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            known = {"Content-Type": "application/json"} | headers
            connection.request(method, path, body and json.dumps(body), known)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read().decode()
        finally:
            connection.close()

    def figure(self, name: str, **headers: str) -> float:
        """One line of /metrics; 0 where it has not been counted yet."""
        page = self.ask("GET", "/metrics", **headers)[2]
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def answered(self, status: int = 200) -> float:
        return self.figure(f'llmflowlab_requests_total{{route="{CHAT}",status="{status}"}}')


@contextmanager
def serving(lab: Lab, *options: str, **more: str) -> Iterator[str]:
    port = free_port()
    given = ("--model", f"models:/{NAME}@staging", "--port", str(port), *options)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "steps.serve", *given]
    with lab.running(command, f"{address}/health", cwd=ROOT, **more):
        yield address
