"""Answers and errors in OpenAI's chat format."""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from llm_models.errors import KINDS
from llm_models.reply import JSON, Header, Reply, retry_header
from llm_models.served_error import ServedError

REASONS = {"ok": "stop", "truncated": "length"}
CODES = {  # by which OpenAI's clients know an error; the kind is the code of all others
    "context_overflow": "context_length_exceeded",
    "quota_exhausted": "insufficient_quota",
    "rate_limited": "rate_limit_exceeded",
    "unauthenticated": "invalid_api_key",
}
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
NO_RETRY: Header = (b"x-should-retry", b"false")  # read by OpenAI's own clients


class Chat:
    """One answer in the making: its id, its name, and the model's fingerprint."""

    def __init__(self, model: str, fingerprint: str) -> None:
        self._known = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }

    def whole(self, row: Mapping[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": row["text"], "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason(row)}
        told = {"object": "chat.completion", "choices": [choice], "usage": usage(row)}
        return self._known | told

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._known | {"object": "chat.completion.chunk", "choices": [choice]}

    def counted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The chunk that tells the usage and nothing else."""
        return self._known | {
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": usage(row),
        }


def reason(row: Mapping[str, Any]) -> str:
    return REASONS[row["status"]]


def usage(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """OpenAI counts reasoning within the completion. None where the provider has not counted."""
    prompt, output, thinking = (row[f"{name}_tokens"] for name in ("input", "output", "thinking"))
    if prompt is None or (output is None and thinking is None):
        return None
    completion = (output or 0) + (thinking or 0)
    told: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    told["total_tokens"] = prompt + completion
    if thinking is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": thinking}
    if row["cached_tokens"] is not None:
        told["prompt_tokens_details"] = {"cached_tokens": row["cached_tokens"]}
    return told


def refusing(error: ServedError) -> Reply:
    """The status of the error's kind, in OpenAI's words."""
    final = () if KINDS[error.kind].retry else (NO_RETRY,)
    headers = (JSON, *retry_header(error), *final)
    return Reply(KINDS[error.kind].http, json.dumps(error_body(error)).encode(), headers)


def error_body(error: ServedError) -> dict[str, Any]:
    """What clients are told, also in the middle of a stream."""
    http = KINDS[error.kind].http
    told = {
        "message": error.told,
        "type": TYPES.get(http, "server_error" if http >= 500 else "invalid_request_error"),
        "code": CODES.get(error.kind, error.kind),
        "param": error.parameter,
    }
    return {"error": told}
