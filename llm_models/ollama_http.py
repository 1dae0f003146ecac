"""Where an Ollama server is, and what its failures are called."""

import ipaddress
import os
import re
from typing import Any

from llm_models.connection import Connection
from llm_models.errors import CallError
from llm_models.ollama_errors import SLOW, refusal

_DEFAULT_PORTS = {"http": "80", "https": "443"}  # where a scheme is given; 11434 otherwise
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:]*))(?::(?P<port>[^:]*))?")


class OllamaConnection(Connection):
    """Reads OLLAMA_HOST and, for Ollama's cloud, OLLAMA_API_KEY."""

    server = "Ollama"
    url_variable = "OLLAMA_HOST"
    key_variable = "OLLAMA_API_KEY"
    start = "start it with `ollama serve`"
    slow = SLOW

    @property
    def url(self) -> str:
        return host_url(self._config.base_url or os.environ.get("OLLAMA_HOST"))

    def refusal(self, status: int | None, body: Any, retry_after: str | None = None) -> CallError:
        return refusal(status, body, self._config.model, self.url, retry_after)


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
