"""An HTTP answer as ASGI sends it; every error in one JSON form."""

import json
import math
from dataclasses import dataclass
from typing import Any, Self

from llm_models.asgi import Send
from llm_models.errors import KINDS
from llm_models.served_error import ServedError

Header = tuple[bytes, bytes]
JSON: Header = (b"content-type", b"application/json")
WAIT_S = {"rate_limited": 1.0, "quota_exhausted": 60.0}  # where the provider does not tell


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    headers: tuple[Header, ...] = (JSON,)

    @classmethod
    def answering(cls, row: dict[str, Any], *, wrapped: bool) -> Self:
        """As the scoring server writes one row: bare for a bare question, else "predictions"."""
        return cls(200, json.dumps({"predictions": [row]} if wrapped else [row]).encode())

    @classmethod
    def refusing(cls, error: ServedError) -> Self:
        """The status of the error's kind, which MLflow's own table lacks for some kinds."""
        body = error.serialize_as_json().encode()
        return cls(KINDS[error.kind].http, body, (JSON, *retry_header(error)))

    async def send(self, send: Send) -> None:
        for message in self.messages():
            await send(message)

    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The two messages of ASGI that send it."""
        length = (b"content-length", str(len(self.body)).encode())
        kept = [header for header in self.headers if header[0] != length[0]]
        start = {"type": "http.response.start", "status": self.status, "headers": [*kept, length]}
        return start, {"type": "http.response.body", "body": self.body}


def retry_header(error: ServedError) -> tuple[Header, ...]:
    """Retry-After in whole seconds: what the provider asked for, and always beside a 429."""
    wait = WAIT_S.get(error.kind) if error.retry_after is None else error.retry_after
    return () if wait is None else ((b"retry-after", str(math.ceil(wait)).encode()),)
