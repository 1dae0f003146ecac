"""HTTP to a server of models: who asks, how long to wait, and what comes back or breaks."""

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import requests

from llm_models.errors import CallError
from llm_models.loopback import is_loopback
from llm_models.requests_transport import Transport, until_left
from llm_models.schema import ModelConfig

CONNECT_TIMEOUT_S = 10.0
MIN_POOL = 256  # connections kept open: a served model is asked by more threads than a run


class Connection(ABC):
    """One server, whose address and key are read at every call. Safe to share between threads."""

    server: ClassVar[str]  # what messages call it
    url_variable: ClassVar[str]  # environment variable of its address
    key_variable: ClassVar[str]  # environment variable of the key, which may be missing
    start: ClassVar[str] = "start it"
    slow: ClassVar[str] = "raise timeout_s"  # what mends a time-out

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._near, self._far = requests.Session(), requests.Session()
        self._near.trust_env = False  # loopback never goes through a proxy
        for session in (self._near, self._far):
            pool = Transport(pool_maxsize=max(MIN_POOL, config.concurrency))
            session.mount("http://", pool)
            session.mount("https://", pool)

    @property
    @abstractmethod
    def url(self) -> str:
        """The base of all paths, without a slash at its end."""

    @abstractmethod
    def refusal(self, status: int | None, body: Any, retry_after: str | None = None) -> CallError:
        """What an error answer means; `status` is None for one inside a 200 answer."""

    @property
    def key(self) -> str:
        """The key in the environment; '' where there is none."""
        return os.environ.get(self.key_variable, "").strip()

    def send(self, path: str, payload: dict[str, Any] | None = None) -> requests.Response:
        """POST the payload, or GET without one; the body of the answer is still to be read.

        Raises CallError for every answer but 200.
        """
        response = self._request(path, payload)
        if response.status_code == 200:
            return response
        with self._reading(response):
            headers, target = response.headers, response.headers.get("Location")
            wait = headers.get("Retry-After") or headers.get("llm_provider-retry-after")  # LiteLLM
            body = f"redirected to {target}" if target else response.content
            raise self.refusal(response.status_code, body, wait)

    def ask(self, path: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call that is answered by one JSON object."""
        return self.whole(self.send(path, payload))

    def whole(self, response: requests.Response) -> dict[str, Any]:
        """The one JSON object of an answer that was not streamed."""
        with self._reading(response):
            # Some keep the connection alive with blank lines for as long as they have no answer.
            return self.parsed(b"".join(self._in_time(response.iter_content(None))))

    def lines(self, response: requests.Response) -> Iterator[bytes]:
        """The lines of a streamed answer that are not empty, as they arrive."""
        with self._reading(response):
            for line in self._in_time(response.iter_lines()):
                if line.strip():
                    yield line

    def events(self, response: requests.Response) -> Iterator[dict[str, Any]]:
        """The data of server-sent events, or the one object of a server that did not stream."""
        for line in self.lines(response):
            field, _, data = line.partition(b":")
            if line.startswith(b"{"):
                yield self.parsed(line)
            elif field == b"data" and data.strip() != b"[DONE]":
                yield self.parsed(data)
            elif field == b"error":  # llama.cpp's until late 2025
                yield {"error": self.parsed(data)}

    def parsed(self, raw: bytes) -> dict[str, Any]:
        """The JSON object of a body or a line. Raises CallError where it is none."""
        try:
            piece = json.loads(raw)
        except ValueError:
            cut = raw.lstrip().startswith(b"{")
            text = raw[:200].decode("utf-8", "replace")
            raise self.foreign(text, "incomplete" if cut else "bad_response") from None
        if not isinstance(piece, dict):
            raise self.foreign(piece)
        return piece

    def foreign(self, piece: Any, kind: str = "bad_response") -> CallError:
        """The error of an answer that this kind of server does not give."""
        text = json.dumps(piece) if isinstance(piece, dict) else piece
        return CallError(kind, f"not an answer of {self.server}'s: {text}")

    def _request(self, path: str, payload: dict[str, Any] | None) -> requests.Response:
        url, limit = self.url, self._config.timeout_s
        session = self._near if is_loopback(url) else self._far
        try:
            return session.request(
                "GET" if payload is None else "POST",
                url + path,
                json=payload,
                auth=self._signed,
                stream=True,
                timeout=(min(CONNECT_TIMEOUT_S, limit), limit),
                allow_redirects=False,  # a redirected POST turns into a GET, elsewhere
            )
        except requests.ReadTimeout as error:
            raise self._timed_out() from error
        except requests.ConnectionError as error:
            raise self._unreachable(error) from error
        except requests.RequestException as error:
            text = f"cannot call {self.server} at {url}: {error}"
            raise CallError("invalid_request", text) from error

    def _in_time(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """What arrives within the time of one call. Raises CallError after it."""
        until = time.monotonic() + self._config.timeout_s
        for piece in pieces:
            if time.monotonic() > until:
                raise self._timed_out()
            yield piece

    @contextmanager
    def _reading(self, response: requests.Response) -> Iterator[None]:
        try:
            with response, until_left(response):
                yield
        except requests.ConnectionError as error:  # what requests calls silence within a body
            raise self._timed_out() from error
        except requests.RequestException as error:
            raise CallError("incomplete", "the connection broke within the answer") from error

    def _unreachable(self, cause: Exception) -> CallError:
        name = type(cause).__name__  # a timeout, a certificate, a proxy; else nobody listens
        known = "" if name == "ConnectionError" else f" ({name})"
        if name == "ProxyError":
            known = " through the environment's proxy (NO_PROXY names hosts that need none)"
        setting = "correct base_url" if self._config.base_url else f"set {self.url_variable}"
        text = f"{self.server} does not answer at {self.url}{known}: {self.start} or {setting}"
        return CallError("unreachable", text)

    def _timed_out(self) -> CallError:
        text = f"{self.server} did not finish within {self._config.timeout_s:g} s"
        return CallError("timeout", text, hint=self.slow)

    def _signed(self, call: requests.PreparedRequest) -> requests.PreparedRequest:
        """With the key. Given as `auth`, it also keeps a netrc entry from replacing it."""
        key = self.key
        if not (key.isascii() and key.isprintable()):
            text = f"{self.key_variable} holds characters that no key has"
            raise CallError("unauthenticated", text)
        if key:
            call.headers["Authorization"] = f"Bearer {key}"
        return call


def told(facts: Any) -> dict[str, Any]:
    """Only what has a value: servers leave facts out, empty or null as they please."""
    return {k: v for k, v in facts.items() if v} if isinstance(facts, dict) else {}
