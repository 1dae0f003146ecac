"""HTTP to an Ollama server: where it is, who asks, how long to wait, and what comes back."""

import ipaddress
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from llm_models.errors import CallError
from llm_models.ollama_errors import no_connection, refusal, timed_out
from llm_models.schema import ModelConfig

CONNECT_TIMEOUT_S = 10.0
MIN_POOL = 64  # connections kept open: a served model is asked by more threads than a run
_DEFAULT_PORTS = {"http": "80", "https": "443"}  # where a scheme is given; 11434 otherwise
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:]*))(?::(?P<port>[^:]*))?")


class Connection:
    """Reads OLLAMA_HOST and OLLAMA_API_KEY at every call. Safe to share between threads."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._session = requests.Session()
        pool = HTTPAdapter(pool_maxsize=max(MIN_POOL, config.concurrency))
        self._session.mount("http://", pool)
        self._session.mount("https://", pool)

    @property
    def url(self) -> str:
        return host_url(self._config.base_url or os.environ.get("OLLAMA_HOST"))

    def send(self, path: str, payload: dict[str, Any] | None = None) -> requests.Response:
        """POST the payload, or GET without one; the body of the answer is still to be read.

        Raises CallError for every answer but 200.
        """
        url = self.url
        response = self._request(url, path, payload)
        if response.status_code == 200:
            return response
        with self._reading(response):
            wait, target = (response.headers.get(name) for name in ("Retry-After", "Location"))
            body = f"redirected to {target}" if target else response.content
            raise refusal(response.status_code, body, self._config.model, url, wait)

    def ask(self, path: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call that is answered by one JSON object."""
        return self.whole(self.send(path, payload))

    def whole(self, response: requests.Response) -> dict[str, Any]:
        """The one JSON object of an answer that was not streamed."""
        with self._reading(response):
            return _object(response.content)

    def lines(self, response: requests.Response) -> Iterator[dict[str, Any]]:
        """The JSON objects of a streamed answer, one a line, as they arrive."""
        until = time.monotonic() + self._config.timeout_s
        with self._reading(response):
            for line in response.iter_lines():
                if time.monotonic() > until:
                    raise timed_out(self._config.timeout_s)
                if line.strip():
                    yield _object(line)

    def _request(self, url: str, path: str, payload: dict[str, Any] | None) -> requests.Response:
        limit = self._config.timeout_s
        try:
            return self._session.request(
                "GET" if payload is None else "POST",
                url + path,
                json=payload,
                auth=_signed,
                stream=True,
                timeout=(min(CONNECT_TIMEOUT_S, limit), limit),
                proxies=_proxies(url),
                allow_redirects=False,  # a redirected POST turns into a GET, elsewhere
            )
        except requests.ReadTimeout as error:
            raise timed_out(limit) from error
        except requests.ConnectionError as error:
            raise no_connection(url, error, self._config.base_url is not None) from error
        except requests.RequestException as error:
            raise CallError("invalid_request", f"cannot call Ollama at {url}: {error}") from error

    @contextmanager
    def _reading(self, response: requests.Response) -> Iterator[None]:
        try:
            with response:
                yield
        except requests.ConnectionError as error:  # what requests calls silence within a body
            raise timed_out(self._config.timeout_s) from error
        except requests.RequestException as error:
            raise CallError("incomplete", "the connection broke within the answer") from error


def host_url(value: str | None) -> str:
    """The base URL an OLLAMA_HOST means, read as Ollama itself does (envconfig.ConnectableHost).

    A port that is none is replaced by the default; an address that means "every address of this
    machine" (0.0.0.0, ::, none) is one to listen on, and loopback to a client.
    """
    text = (value or "").strip().strip("\"'").strip()
    if text == "ollama.com":
        text = "https://ollama.com"
    scheme, given, rest = text.rpartition("://")
    scheme = scheme.lower() or "http"
    authority, _, path = rest.partition("/")
    parts = _AUTHORITY.fullmatch(authority)  # None: an IPv6 address without brackets
    host = parts["v6"] or parts["host"] or "" if parts else authority
    port = parts["port"] if parts else None
    if not (port and port.isdecimal() and 0 < int(port) < 65536):
        port = _DEFAULT_PORTS.get(scheme, "11434") if given else "11434"
    return f"{scheme}://{_connectable(host)}:{port}/{path}".rstrip("/")


def _connectable(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host or "127.0.0.1"
    if address.version == 4:
        return "127.0.0.1" if address.is_unspecified else host
    return "[::1]" if address.is_unspecified else f"[{address}]"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _proxies(url: str) -> dict[str, Any]:
    """Loopback never goes through a proxy; elsewhere the environment's proxies hold."""
    return dict.fromkeys(("http", "https", "all")) if _is_loopback(url) else {}


def _signed(call: requests.PreparedRequest) -> requests.PreparedRequest:
    """The key of Ollama's cloud. Given as `auth`, it also keeps a netrc entry from replacing it."""
    key = os.environ.get("OLLAMA_API_KEY", "").strip()
    if key:
        call.headers["Authorization"] = f"Bearer {key}"
    return call


def _object(raw: bytes) -> dict[str, Any]:
    try:
        piece = json.loads(raw)
    except ValueError:
        cut = raw.lstrip().startswith(b"{")
        text = f"not an answer of Ollama's: {raw[:200].decode('utf-8', 'replace')}"
        raise CallError("incomplete" if cut else "bad_response", text) from None
    if not isinstance(piece, dict):
        raise CallError("bad_response", f"not an answer of Ollama's: {piece}")
    return piece
