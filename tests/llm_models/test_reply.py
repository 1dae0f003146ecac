"""An error as it goes over the wire: the status that MLflow's table lacks, and one JSON form."""

import json

import pytest

from llm_models.errors import KINDS
from llm_models.mlflow_app import in_our_words
from llm_models.reply import Reply
from llm_models.served_error import ServedError

UNFORESEEN = "Encountered an unexpected error while evaluating the model"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_own_status(kind: str) -> None:
    reply = Reply.refusing(ServedError(kind, "secret words of the provider"))
    assert reply.status == KINDS[kind].http
    told = json.loads(reply.body)
    assert (told["kind"], told["message"]) == (kind, KINDS[kind].told)
    waits = [value for name, value in reply.headers if name == b"retry-after"]
    assert len(waits) == (reply.status == 429)


def test_the_wait_is_told_in_whole_seconds_that_are_long_enough() -> None:
    reply = Reply.refusing(ServedError("rate_limited", "slow down", retry_after=0.2))
    assert (b"retry-after", b"1") in reply.headers
    assert json.loads(reply.body)["retry_after_s"] == 0.2


def test_the_length_is_that_of_the_body() -> None:
    start, body = Reply(200, b"abc", ((b"content-length", b"9"), (b"x", b"y"))).messages()
    assert start["headers"] == [(b"x", b"y"), (b"content-length", b"3")]
    assert body["body"] == b"abc"


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, {"message": "Failed to predict data 'private'."}, "invalid_request"),
        (
            400,
            {
                "message": "Encountered an unexpected error while evaluating the model. V",
                "stack_trace": "private",
            },
            "internal",
        ),
        (400, {"message": "Failed to parse input as a Pandas DataFrame. private"}, "unknown_type"),
        (400, ["private"], "invalid_request"),
        (400, "private", "invalid_request"),
        (415, "private", "unknown_type"),
        (500, "Internal Server Error: private", "internal"),
        (504, "Request processing time exceeded limit", "timeout"),
        (404, {"kind": "nobody knows this one", "message": "private"}, "invalid_request"),
    ],
)
def test_what_mlflow_says_itself_is_replaced(status: int, said: object, kind: str) -> None:
    body = said if isinstance(said, str) else json.dumps(said)
    error = in_our_words(status, body.encode())
    assert error.kind == kind
    assert "private" not in error.serialize_as_json() + str(error)


def test_what_the_model_has_said_through_mlflow_is_kept() -> None:
    raised = ServedError("blocked", "inner words", told="rephrase it", retry_after=3)
    error = in_our_words(400, raised.serialize_as_json().encode())
    assert error.serialize_as_json() == raised.serialize_as_json()
