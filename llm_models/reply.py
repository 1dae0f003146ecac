"""An HTTP answer as ASGI sends it; every error in one JSON form."""

import json
import math
from dataclasses import dataclass
from typing import Any, Self

from llm_models.errors import KINDS
from llm_models.served_error import ServedError

JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)

    @classmethod
    def answering(cls, row: dict[str, Any], *, wrapped: bool) -> Self:
        """As the scoring server writes one row: bare for a bare question, else "predictions"."""
        return cls(200, json.dumps({"predictions": [row]} if wrapped else [row]).encode())

    @classmethod
    def refusing(cls, error: ServedError) -> Self:
        """The status of the error's kind, which MLflow's own table lacks for some kinds."""
        headers = [JSON]
        if error.retry_after is not None:
            headers.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
        return cls(KINDS[error.kind].http, error.serialize_as_json().encode(), tuple(headers))

    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The two messages of ASGI that send it."""
        length = (b"content-length", str(len(self.body)).encode())
        kept = [header for header in self.headers if header[0] != length[0]]
        start = {"type": "http.response.start", "status": self.status, "headers": [*kept, length]}
        return start, {"type": "http.response.body", "body": self.body}
