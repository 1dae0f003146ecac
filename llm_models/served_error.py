"""A LabError as MLflow's scoring server needs it."""

import json
from typing import Self

from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from llm_models.errors import KINDS, InputError

_CODES = {  # the scoring server turns these names into HTTP statuses
    400: codes.INVALID_PARAMETER_VALUE,
    401: codes.UNAUTHENTICATED,
    403: codes.PERMISSION_DENIED,
    404: codes.RESOURCE_DOES_NOT_EXIST,
    429: codes.RESOURCE_EXHAUSTED,
    500: codes.INTERNAL_ERROR,
    502: codes.TEMPORARILY_UNAVAILABLE,  # the server's table has no 502
    503: codes.TEMPORARILY_UNAVAILABLE,
    504: codes.DEADLINE_EXCEEDED,
}


class ServedError(MlflowException):
    """One failed call or bad payload.

    `told` is for HTTP clients, by default what the kind tells; `text` for the process that asks
    itself. `retry_after` is in seconds; `parameter` names what of a request is wrong. The scoring
    server would put the whole payload before the message and a stack trace behind it; a message
    that cannot be assigned and its own JSON keep both out of the answer.
    """

    def __init__(
        self,
        kind: str,
        text: str,
        *,
        told: str | None = None,
        retry_after: float | None = None,
        parameter: str | None = None,
    ) -> None:
        self.kind = kind
        self._text = text
        self.told = told or KINDS[kind].told
        self.retry_after = retry_after
        self.parameter = parameter
        super().__init__(text, _CODES.get(KINDS[kind].http, codes.INVALID_PARAMETER_VALUE))

    @classmethod
    def of(cls, error: InputError) -> Self:
        """A wrong payload: its message names the field and quotes nothing, so it may be told."""
        return cls(error.kind, str(error), told=str(error))

    @classmethod
    def of_kind(cls, kind: str, retry_after: float | None = None) -> Self:
        """What the kind tells and no more."""
        return cls(kind, KINDS[kind].told, retry_after=retry_after)

    @property
    def message(self) -> str:
        return self._text

    @message.setter
    def message(self, value: str) -> None:
        """Left without effect on purpose; see the class."""

    def __str__(self) -> str:
        return self._text

    def serialize_as_json(self) -> str:
        body = {"error_code": self.error_code, "kind": self.kind, "message": self.told}
        wait = {} if self.retry_after is None else {"retry_after_s": self.retry_after}
        return json.dumps(body | wait)
