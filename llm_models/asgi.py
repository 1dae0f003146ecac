"""ASGI in the little that the front needs: names for its types, and a request's body."""

from collections.abc import Awaitable, Callable
from typing import Any

from llm_models.errors import TooLargeError
from llm_models.request_limits import Limits
from llm_models.served_error import ServedError

Message = Any  # a dict, as is a scope
Scope = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAINED = 8  # times the limit are read and dropped: clients write all before they read


async def read_body(receive: Receive, limits: Limits) -> bytes | None:
    """None where the client has left. Raises ServedError for one that is too large."""
    pieces, size, more = [], 0, True
    while more and size <= DRAINED * limits.body_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece, more = message.get("body", b""), message.get("more_body", False)
        size += len(piece)
        if size <= limits.body_bytes:
            pieces.append(piece)
    try:
        limits.check_body(size)
    except TooLargeError as error:
        raise ServedError.of(error) from None
    return b"".join(pieces)


def is_json(content_type: bytes) -> bool:
    """In UTF-8, which JSON is unless told otherwise."""
    mime, _, parameter = content_type.lower().replace(b" ", b"").partition(b";")
    return mime == b"application/json" and parameter in (b"", b"charset=utf-8")
