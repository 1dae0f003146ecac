"""The payloads that nearly every request has: one question, plainly right in every field.

They need no data frame. Whatever is unusual about another is for MLflow's own reading, so that
there is one place for each kind of mistake.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FIELDS = {"prompt", "messages", "system"}
RECORDS = {"dataframe_records", "inputs"}
MESSAGE = {"role", "content"}


@dataclass(frozen=True, slots=True)
class PlainPayload:
    """`record` has the columns of the model's signature, `params` its sampling options."""

    record: dict[str, Any]
    params: dict[str, Any]
    wrapped: bool  # the answer belongs under "predictions"


def read_plain(body: bytes) -> PlainPayload | None:
    """None for whatever is not plainly one question. Raises ValueError for what is no JSON."""
    payload = json.loads(body)
    if not isinstance(payload, dict):
        return None
    if "prompt" in payload or "messages" in payload:
        record = {name: value for name, value in payload.items() if name in FIELDS}
        params = {name: value for name, value in payload.items() if name not in FIELDS}
        return _plain(record, params, wrapped=False)
    form = RECORDS & payload.keys()
    params = payload.get("params", {})
    if len(form) != 1 or payload.keys() - form - {"params"} or not isinstance(params, dict):
        return None
    rows = payload[form.pop()]
    one = isinstance(rows, list) and len(rows) == 1 and isinstance(rows[0], dict)
    return _plain(rows[0], params, wrapped=True) if one else None


def as_records(body: bytes) -> bytes:
    """The same JSON, but `instances`, of which MLflow makes arrays, by the name of rows."""
    payload = json.loads(body) if b'"instances"' in body else None
    if not isinstance(payload, dict) or "instances" not in payload or RECORDS & payload.keys():
        return body
    rows = {"dataframe_records": payload.pop("instances")}
    return json.dumps(payload | rows).encode()


def _plain(record: dict[str, Any], params: dict[str, Any], *, wrapped: bool) -> PlainPayload | None:
    fields = all(name in FIELDS and _FIELDS[name](value) for name, value in record.items())
    known = all(name in _PARAMS for name in params)
    if not (fields and known and ("prompt" in record) != ("messages" in record)):
        return None
    if not all(_PARAMS[name](value) for name, value in params.items()):
        return None
    cast = {name: float(v) if name in _DOUBLES else v for name, v in params.items()}
    return PlainPayload(record, cast, wrapped)


def _text(value: Any) -> bool:
    """Not half of a surrogate pair, which JSON can write and no text can hold."""
    return isinstance(value, str) and (value.isascii() or _encodes(value))


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _messages(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(message, dict)
        and message.keys() == MESSAGE
        and all(map(_text, message.values()))
        for message in value
    )


def _number(value: Any) -> bool:
    return type(value) is float or _whole(value)


def _whole(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


Check = Callable[[Any], bool]
_DOUBLES = {"temperature", "top_p"}
_FIELDS: dict[str, Check] = {"prompt": _text, "messages": _messages, "system": _text}
_PARAMS: dict[str, Check] = {
    "temperature": _number,
    "top_p": _number,
    "top_k": _whole,
    "max_tokens": _whole,
    "seed": _whole,
    "stop": _texts,
}
