"""A LabError as MLflow's scoring server needs it."""

import json

from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from llm_models.errors import KINDS

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

    The scoring server would put the whole payload before the message and a stack trace behind
    it; a message that cannot be assigned and its own JSON keep both out of the answer.
    """

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self._text = text
        http = KINDS[kind].http
        super().__init__(text, error_code=_CODES.get(http, codes.INVALID_PARAMETER_VALUE))

    @property
    def message(self) -> str:
        return self._text

    @message.setter
    def message(self, value: str) -> None:
        """Left without effect on purpose; see the class."""

    def __str__(self) -> str:
        return self._text

    def serialize_as_json(self) -> str:
        body = {"error_code": self.error_code, "kind": self.kind, "message": self._text}
        return json.dumps(body)
