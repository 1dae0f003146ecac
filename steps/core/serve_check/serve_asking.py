"""A served endpoint, MLflow's or ours, asked over HTTP as any client would."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import requests

from llm_models.errors import KINDS, InputError, scrub
from llm_models.schema import ANSWERED
from steps.core.dataset import Row
from steps.core.environment import SERVE_TOKEN

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class ServedAnswer:
    """What came back for one row: an output row of the model, or a refusal."""

    http: int
    output: Mapping[str, Any]  # {} for a refusal
    told: str = ""  # of a refusal, in the server's words
    temporary: bool = False  # the refusal may not last

    @property
    def answered(self) -> bool:
        return self.output.get("status") in ANSWERED


class Endpoint:
    """The server at `url`. Raises InputError when made: for no URL, and where nobody answers."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"url: '{url}' is none; give one such as http://127.0.0.1:5001")
        self._url = url.rstrip("/").removesuffix("/invocations").removesuffix("/v1")
        self.url = scrub(self._url)  # it is shown and kept: a password in it is not
        token = os.environ.get(SERVE_TOKEN, "").strip()
        self._session = requests.Session()
        self._session.trust_env = False  # no netrc entry in the place of the token
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        told = self._send("GET", "/health").headers
        self.version = told.get("x-model-version")  # name/version; None: it does not tell
        self.fingerprint = told.get("x-model-fingerprint")

    def ask(self, row: Row) -> ServedAnswer:
        """One row, with the options of the model that is served. Raises InputError."""
        reply = self._send("POST", "/invocations", row.inputs)
        try:
            told = reply.json()
        except ValueError:
            told = None
        if reply.status_code == 200 and isinstance(told, list) and told:
            return ServedAnswer(200, told[0])
        return _refused(reply.status_code, told if isinstance(told, dict) else {})

    def same_identity(self) -> bool | None:
        """Whether its provider would answer as it was evaluated; None: it does not tell."""
        try:
            told = self._send("GET", "/ready").json()
        except ValueError:
            return None
        return told.get("same_identity") if isinstance(told, dict) else None

    def _send(self, method: str, path: str, body: Any = None) -> requests.Response:
        try:
            return self._session.request(
                method, self._url + path, json=body, timeout=TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException as error:
            kind = type(error).__name__
            raise InputError(f"url: nothing answers at {self.url} ({kind}): start it") from None

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refused(status: int, told: Mapping[str, Any]) -> ServedAnswer:
    kind = KINDS.get(str(told.get("kind")))
    temporary = kind.retry if kind else status in (408, 429, 503, 504)
    return ServedAnswer(status, {}, str(told.get("message", "no answer of a model")), temporary)
