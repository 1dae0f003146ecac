"""A failed call as an HTTP client sees it: the right status, and nothing of the payload."""

import json
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from llm_models.errors import KINDS, InputError
from llm_models.served_error import ServedError

STATUS = {  # of every kind; MLflow's table has no 408, 413, 415, 422, 499 and 502
    "invalid_request": (400, codes.INVALID_PARAMETER_VALUE),
    "unauthenticated": (401, codes.UNAUTHENTICATED),
    "forbidden": (403, codes.PERMISSION_DENIED),
    "model_not_found": (404, codes.RESOURCE_DOES_NOT_EXIST),
    "late_request": (400, codes.INVALID_PARAMETER_VALUE),
    "too_large": (400, codes.INVALID_PARAMETER_VALUE),
    "unknown_type": (400, codes.INVALID_PARAMETER_VALUE),
    "left": (400, codes.INVALID_PARAMETER_VALUE),
    "internal": (500, codes.INTERNAL_ERROR),
    "context_overflow": (400, codes.INVALID_PARAMETER_VALUE),
    "blocked": (400, codes.INVALID_PARAMETER_VALUE),
    "empty": (503, codes.TEMPORARILY_UNAVAILABLE),
    "rate_limited": (429, codes.RESOURCE_EXHAUSTED),
    "quota_exhausted": (429, codes.RESOURCE_EXHAUSTED),
    "incomplete": (503, codes.TEMPORARILY_UNAVAILABLE),
    "bad_response": (503, codes.TEMPORARILY_UNAVAILABLE),
    "server_error": (503, codes.TEMPORARILY_UNAVAILABLE),
    "model_load_failed": (503, codes.TEMPORARILY_UNAVAILABLE),
    "busy": (503, codes.TEMPORARILY_UNAVAILABLE),
    "overloaded": (503, codes.TEMPORARILY_UNAVAILABLE),
    "unreachable": (503, codes.TEMPORARILY_UNAVAILABLE),
    "timeout": (504, codes.DEADLINE_EXCEEDED),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_status(kind: str) -> None:
    status, code = STATUS[kind]
    error = ServedError(kind, "what happened")
    assert error.get_http_status_code() == status
    assert error.error_code == codes.ErrorCode.Name(code)


def test_http_clients_are_told_what_the_kind_tells_and_the_process_itself_all() -> None:
    error = ServedError("busy", 'Ollama at /run/o.sock: "full"\n', retry_after=1.5)
    assert json.loads(error.serialize_as_json()) == {
        "error_code": "TEMPORARILY_UNAVAILABLE",
        "kind": "busy",
        "message": KINDS["busy"].told,
        "retry_after_s": 1.5,
    }
    assert str(error) == 'Ollama at /run/o.sock: "full"\n'


def test_a_wrong_payload_is_told_in_its_own_words() -> None:
    error = ServedError.of(InputError("row 3: 'prompt' must be text"))
    assert json.loads(error.serialize_as_json())["message"] == "row 3: 'prompt' must be text"


def test_mlflow_cannot_put_the_payload_before_the_message() -> None:
    error: Any = ServedError("timeout", "no answer within 5 s")
    error.message = f"Failed to predict data 'my private words'. \nError: {error.message}"
    assert error.message == str(error) == "no answer within 5 s"
    assert "private" not in error.serialize_as_json()


def test_it_is_caught_as_mlflows_own() -> None:
    with pytest.raises(MlflowException, match=r"^gone$"):
        raise ServedError("unreachable", "gone")
