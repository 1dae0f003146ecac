"""MLflow's own app behind the front: asked whole, and its errors told without its words."""

import asyncio
import json
import re
from typing import Any

from llm_models.asgi import App, Message, Scope
from llm_models.errors import KINDS
from llm_models.reply import Reply
from llm_models.served_error import ServedError

ASKED_FOR = (
    "give 'prompt' (text) or 'messages' (a list of role and content), in the body itself or as"
    " rows of dataframe_records, dataframe_split or inputs"
)
_FIELD = re.compile(r"(?:column |key `|param '|properties: \{'|found: \{\(')(\w+)")
_FIELDS = (  # a name is told only where it is one of these
    *("prompt", "messages", "system", "role", "content"),
    *("temperature", "top_p", "top_k", "max_tokens", "stop", "seed", "on_error"),
)
_UNREADABLE = "Failed to parse input as a Pandas DataFrame"  # what is CSV or Parquet
_UNFORESEEN = "Encountered an unexpected error while evaluating the model"


async def ask_mlflow(app: App, scope: Scope, body: bytes) -> Reply:
    """The app's answer. Raises ServedError for an error, and what the app raises."""
    left = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if left:
            return left.pop()
        return await asyncio.get_running_loop().create_future()  # the front sees who leaves

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *pieces = sent
    said = b"".join(piece.get("body", b"") for piece in pieces)
    if start["status"] >= 400:
        raise in_our_words(start["status"], said)
    return Reply(start["status"], said, tuple(map(tuple, start["headers"])))


def in_our_words(status: int, said: bytes) -> ServedError:
    """The error that a reply of 400 or above stands for. It quotes nothing of the request."""
    told = _object(said)
    if told.get("kind") in KINDS:  # it has only handed on what the model raised
        wait = told.get("retry_after_s")
        return ServedError(told["kind"], told["message"], told=told["message"], retry_after=wait)
    message = str(told.get("message", ""))
    if status == 415 or message.startswith(_UNREADABLE):
        return ServedError.of_kind("unknown_type")
    if status == 504:
        return ServedError.of_kind("timeout")
    if status >= 500 or message.startswith(_UNFORESEEN):
        return ServedError.of_kind("internal")
    named = [name for name in dict.fromkeys(_FIELD.findall(message)) if name in _FIELDS]
    where = f" ({', '.join(named)})" if named else ""
    told_now = f"the payload does not fit the model's signature{where}: {ASKED_FOR}"
    return ServedError("invalid_request", told_now, told=told_now)


def _object(said: bytes) -> dict[str, Any]:
    try:
        told = json.loads(said)
    except ValueError:  # its time-outs and refused types are plain text
        return {}
    return told if isinstance(told, dict) else {}
