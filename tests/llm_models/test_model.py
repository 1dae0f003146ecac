"""What a really logged and loaded model answers, in this process and alone in another."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations

from llm_models.baseline import Baseline
from llm_models.errors import InputError
from llm_models.model import LLMModel
from llm_models.schema import OUTPUT_COLUMNS
from steps.core.environment import DEFAULTS
from tests.llm_models.conftest import ANSWER, ASKED
from tests.servers.ollama import OllamaServer, Reply, ending

MESSAGES = [{"role": "user", "content": ASKED}]


def served(model: PyFuncModel, payload: Any) -> tuple[int, Any]:
    """(HTTP status, body) of a JSON request to the scoring server, without its socket."""
    schema = model.metadata.get_input_schema()
    try:
        reply = invocations(json.dumps(payload), "application/json", model, schema)
    except MlflowException as error:
        return error.get_http_status_code(), json.loads(error.serialize_as_json())
    return reply.status, json.loads(reply.response)


def sent(server: OllamaServer) -> list[dict[str, Any]]:
    return [seen.body for seen in server.requests if seen.path == "/api/chat"]


FORMS: dict[str, Any] = {
    "frame": pd.DataFrame({"prompt": [ASKED]}),
    "frame with an index of its own": pd.DataFrame({"prompt": [ASKED]}, index=["x"]),
    "frame with other columns": pd.DataFrame({"id": [7], "prompt": [ASKED]}),
    "records": [{"prompt": ASKED}],
    "one record": {"prompt": ASKED},
    "system": [{"prompt": ASKED, "system": "Be brief."}],
    "null system": [{"prompt": ASKED, "system": None}],
    "messages": {"messages": MESSAGES},
    "records of messages": [{"messages": MESSAGES}],
    "frame of messages": pd.DataFrame({"messages": [MESSAGES]}),
    "system message": {"messages": [{"role": "system", "content": "Be brief."}, *MESSAGES]},
    "null messages": [{"prompt": ASKED, "messages": None}],
    "null prompt": [{"prompt": None, "messages": MESSAGES}],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_input_is_answered(baseline: PyFuncModel, form: Any) -> None:
    answers = baseline.predict(form)
    assert list(answers.columns) == list(OUTPUT_COLUMNS)
    assert list(answers["text"]) == [ANSWER]
    assert list(answers["status"]) == ["ok"]


def test_prompts_and_messages_may_stand_in_one_frame(baseline: PyFuncModel) -> None:
    frame = pd.DataFrame({"prompt": [ASKED, None], "messages": [None, MESSAGES]})
    assert list(baseline.predict(frame)["text"]) == [ANSWER, ANSWER]


WRONG: dict[str, tuple[Any, str]] = {
    "null prompt": ([{"prompt": None}], "'prompt' and 'messages'"),
    "NaN prompt": (pd.DataFrame({"prompt": [float("nan")]}), "prompt"),
    "empty prompt": ([{"prompt": ""}], "'prompt' must be text that is not empty"),
    "number": ([{"prompt": 5}], "column prompt"),
    "number as system": ([{"prompt": ASKED, "system": 5}], "column system"),
    "both": ([{"prompt": ASKED, "messages": MESSAGES}], "'prompt' and 'messages'"),
    "unknown column": (pd.DataFrame({"text": [ASKED]}), "give 'prompt' (text) or 'messages'"),
    "no row": (pd.DataFrame({"prompt": []}, dtype=object), "give 'prompt' (text) or 'messages'"),
    "bare text": (ASKED, "give 'prompt' (text) or 'messages'"),
    "role": ({"messages": [{"role": "tool", "content": ASKED}]}, "messages[0].role"),
    "no content": ({"messages": [{"role": "user"}]}, "content"),
    "content number": ({"messages": [{"role": "user", "content": 5}]}, "content"),
    "no message": ({"messages": []}, "'messages' is empty"),
    "messages text": ({"messages": "hi"}, "messages"),
}


@pytest.mark.parametrize(("payload", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_payload_is_a_client_error_that_names_the_field(
    baseline: PyFuncModel, payload: Any, told: str
) -> None:
    with pytest.raises(MlflowException) as caught:
        baseline.predict(payload)
    assert caught.value.get_http_status_code() == 400
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"temperature": 2.5}, "temperature: 2.5 is outside 0 to 2"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop": "END"}, "stop"),
        ({"on_error": "ignore"}, "on_error must be one of auto, raise, column"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_a_client_error_that_names_it(
    baseline: PyFuncModel, params: dict[str, Any], told: str
) -> None:
    with pytest.raises(MlflowException) as caught:
        baseline.predict([{"prompt": ASKED}], params=params)
    assert caught.value.get_http_status_code() == 400
    assert told in str(caught.value)


def test_parameters_hold_for_one_request_and_the_candidates_own_for_the_rest(
    ollama: PyFuncModel, ollama_server: OllamaServer
) -> None:
    given = {"temperature": 1, "stop": ["a", "b"], "max_tokens": 5, "seed": 3}
    ollama.predict([{"prompt": "hi"}], params=given)
    ollama.predict([{"prompt": "hi"}])
    first, second = (body["options"] for body in sent(ollama_server))
    assert first == {"temperature": 1.0, "stop": ["a", "b"], "num_predict": 5, "seed": 3}
    assert second == {"temperature": 0.2, "stop": ["END"]}


ELSEWHERE = {
    "base_url": "URL",
    "host": "URL",
    "api_key": "someone-elses-key",
    "model": "other:1b",
    "headers": {"Authorization": "Bearer someone-elses-key"},
    "options": {"base_url": "URL", "knowledge": "/etc/passwd", "num_ctx": 1},
    "knowledge": "/etc/passwd",
}


@pytest.mark.parametrize("place", ["request", "params", "row"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_no_request_changes_host_key_model_or_file(
    name: str, place: str, ollama: PyFuncModel, ollama_server: OllamaServer
) -> None:
    with OllamaServer() as other:
        value = json.loads(json.dumps(ELSEWHERE[name]).replace("URL", other.url))
        given = {name: value}
        payloads = {
            "request": {"messages": MESSAGES} | given,
            "params": {"dataframe_records": [{"prompt": ASKED}], "params": given},
            "row": {"dataframe_records": [{"prompt": ASKED} | given]},
        }
        status, _ = served(ollama, payloads[place])
        assert other.requests == []
    assert status in (200, 400)
    for seen in ollama_server.requests:
        assert "authorization" not in {header.lower() for header in seen.headers}
    for body in sent(ollama_server):
        assert (body["model"], body["options"]) == (
            "llama3.1:8b",
            {"temperature": 0.2, "stop": ["END"]},
        )


def test_a_batch_is_answered_side_by_side_and_in_order(
    ollama: PyFuncModel, ollama_server: OllamaServer
) -> None:
    """The first answer waits until the last rows have been asked for."""
    last = threading.Event()

    def answer(messages: list[dict[str, Any]]) -> str:
        number = messages[-1]["content"]
        if number == "9":
            last.set()
        return number if number != "0" or last.wait(10) else "nobody was asked beside it"

    ollama_server.answer = answer
    numbers = [str(n) for n in range(10)]
    assert list(ollama.predict([{"prompt": n} for n in numbers])["text"]) == numbers


REFUSED = Reply(400, {"error": "invalid option: temperature"})


def test_a_call_that_fails_loses_no_other_row(
    ollama: PyFuncModel, ollama_server: OllamaServer
) -> None:
    ollama_server.fault(REFUSED)
    answers = ollama.predict([{"prompt": str(n)} for n in range(8)])
    (failed,) = answers.index[answers["status"] == "error"]
    assert answers["error_kind"][failed] == "invalid_request"
    assert "invalid option" in answers["error"][failed]
    expected = [None if n == failed else f"You said: {n}" for n in range(8)]
    assert list(answers["text"]) == expected


@pytest.mark.parametrize("bad", [None, "", " "], ids=["null", "empty", "blank"])
def test_a_row_without_a_question_loses_no_other_row(baseline: PyFuncModel, bad: Any) -> None:
    answers = baseline.predict(pd.DataFrame({"prompt": [ASKED, bad, ASKED]}))
    assert list(answers["text"]) == [ANSWER, None, ANSWER]
    assert list(answers["error_kind"]) == [None, "invalid_request", None]


@pytest.mark.parametrize(
    ("on_error", "rows", "raises"),
    [
        ("auto", 1, True),
        ("auto", 2, False),
        ("raise", 1, True),
        ("raise", 2, True),
        ("column", 1, False),
        ("column", 2, False),
    ],
)
def test_a_failed_call_raises_or_fills_the_columns(
    ollama: PyFuncModel, ollama_server: OllamaServer, on_error: str, rows: int, raises: bool
) -> None:
    ollama_server.fault(REFUSED)
    asked = [{"prompt": "hi"}] * rows
    if raises:
        with pytest.raises(MlflowException, match="invalid option") as caught:
            ollama.predict(asked, params={"on_error": on_error})
        assert caught.value.get_http_status_code() == 400
    else:
        answers = ollama.predict(asked, params={"on_error": on_error})
        assert sorted(answers["status"]) == ["error", "ok"][:rows]


def test_the_remedy_is_told_with_the_error(
    ollama: PyFuncModel, ollama_server: OllamaServer
) -> None:
    ollama_server.fault(Reply(body=ending("", done_reason="length")))
    with pytest.raises(MlflowException, match=r"no text \(.*raise num_ctx\)"):
        ollama.predict([{"prompt": "hi"}])


def test_unknown_is_none_and_never_nan(ollama: PyFuncModel, ollama_server: OllamaServer) -> None:
    ollama_server.fault(Reply(body=ending("Hi", prompt_eval_count=None, eval_duration=None)))
    answers = ollama.predict([{"prompt": "a"}, {"prompt": "b"}])
    for row in answers.to_dict("records"):
        assert json.loads(json.dumps(row, allow_nan=False)) == row
    uncounted = answers[[t is None for t in answers["input_tokens"]]]
    assert list(uncounted["text"]) == ["Hi"]
    assert {type(n) for n in answers["output_tokens"]} == {int}


def test_half_of_a_surrogate_pair_is_no_text_that_can_be_stored(
    ollama: PyFuncModel, ollama_server: OllamaServer
) -> None:
    ollama_server.fault(Reply(body=ending("cut \ud83d")))
    text = ollama.predict([{"prompt": "hi"}])["text"][0]
    assert text.startswith("cut ")
    assert text.encode()


def test_a_stream_gives_pieces_and_then_the_row(
    ollama: PyFuncModel, ollama_server: OllamaServer
) -> None:
    *pieces, row = ollama.predict_stream({"prompt": "a b"}, params={"temperature": 1})
    assert "".join(piece["delta"] for piece in pieces) == row["text"] == "You said: a b"
    assert len(pieces) == 4
    assert list(row) == list(OUTPUT_COLUMNS)
    assert (row["status"], row["model_name"]) == ("ok", "llama3.1:8b")
    assert sent(ollama_server)[0]["options"]["temperature"] == 1.0


def test_a_stream_that_breaks_ends_with_a_row_that_is_no_answer(
    ollama: PyFuncModel, ollama_server: OllamaServer
) -> None:
    broken = Reply(chunks=[{"message": {"content": "half"}, "done": False}], drop=True)
    ollama_server.fault(broken)
    *pieces, row = ollama.predict_stream({"messages": MESSAGES})
    assert [piece["delta"] for piece in pieces] == ["half"]
    assert (row["status"], row["text"], row["partial"]) == ("incomplete", None, "half")


@pytest.mark.parametrize("field", ["prompt", "messages"])
def test_a_stream_of_a_wrong_payload_names_the_field(baseline: PyFuncModel, field: str) -> None:
    payload = {"prompt": ""} if field == "prompt" else {"messages": []}
    with pytest.raises((MlflowException, InputError), match=f"'{field}'"):
        list(baseline.predict_stream(payload))


PRIVATE = "my private words"
FAILURES: dict[str, tuple[dict[str, Any], Reply | None, int]] = {
    "bad role": ({"messages": [{"role": "tool", "content": PRIVATE}]}, None, 400),
    "both": ({"prompt": PRIVATE, "messages": MESSAGES}, None, 400),
    "parameter": ({"prompt": PRIVATE, "temperature": 9}, None, 400),
    "refused": ({"prompt": PRIVATE}, REFUSED, 400),
    "gone": ({"prompt": PRIVATE}, Reply(404, {"error": "model 'llama3.1:8b' not found"}), 404),
    "load": ({"prompt": PRIVATE}, Reply(500, {"error": "model requires more system memory"}), 503),
    "nonsense": ({"dataframe_records": [{"prompt": PRIVATE}]}, Reply(404, b"<html>"), 503),
}


@pytest.mark.parametrize(("payload", "fault", "status"), FAILURES.values(), ids=FAILURES)
def test_an_error_over_http_holds_no_prompt_and_no_stack_trace(
    ollama: PyFuncModel,
    ollama_server: OllamaServer,
    payload: dict[str, Any],
    fault: Reply | None,
    status: int,
) -> None:
    if fault:
        ollama_server.fault(fault)
    got, body = served(ollama, payload)
    assert got == status
    assert body.keys() == {"error_code", "kind", "message"}
    assert PRIVATE not in str(body)


def test_an_answer_over_http_is_json_without_nan(ollama: PyFuncModel) -> None:
    status, body = served(ollama, {"dataframe_records": [{"prompt": "a"}, {"prompt": "b"}]})
    assert status == 200
    assert [row["text"] for row in body["predictions"]] == ["You said: a", "You said: b"]
    assert body["predictions"][0]["thinking_tokens"] is None


def test_the_signature_tells_inputs_parameters_and_outputs(baseline: PyFuncModel) -> None:
    signature = baseline.metadata.signature
    assert signature.inputs.input_names() == ["prompt", "messages", "system"]
    assert signature.outputs.input_names() == list(OUTPUT_COLUMNS)
    assert not any(column.required for column in signature.inputs)
    params = {"temperature", "top_p", "top_k", "max_tokens", "stop", "seed", "on_error"}
    assert {param.name for param in signature.params} == params


def test_a_model_that_was_not_loaded_says_how() -> None:
    with pytest.raises(InputError, match=r"mlflow\.pyfunc\.load_model"):
        _ = LLMModel(Baseline).provider


ALONE = """
import json, socket, sys

def refuse(*_):
    raise OSError("no network here")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import mlflow
told, unpickled = [], []
sys.addaudithook(lambda event, args: event == "pickle.find_class" and unpickled.append(args[:2]))
for folder in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(folder)
    answers = model.predict([{"prompt": PROMPT}], params={"on_error": "column"})
    told.append(answers.to_dict("records"))
import llm_models
print(json.dumps([told, llm_models.__file__, unpickled]))
"""


@pytest.fixture(scope="session")
def alone(packed: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the models answer in a process of their own: elsewhere, without a network or us."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE.replace("PROMPT", repr(ASKED)), *map(str, packed.values())],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=kept | DEFAULTS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_packed_model_answers_elsewhere_without_a_network(alone: Any) -> None:
    (answers, failures), *_ = alone
    assert [(row["status"], row["text"]) for row in answers] == [("ok", ANSWER)]
    assert [row["error_kind"] for row in failures] == ["unreachable"]


def test_a_packed_model_runs_the_code_it_was_packed_with(
    alone: Any, packed: Mapping[str, Path]
) -> None:
    _, imported, _ = alone
    assert Path(imported).is_relative_to(packed["baseline"] / "code")


def test_nothing_is_unpickled_when_a_model_loads_and_answers(
    alone: Any, packed: Mapping[str, Path]
) -> None:
    *_, unpickled = alone
    assert unpickled == []
    assert [
        path for path in packed["ollama"].rglob("*") if path.suffix in (".pkl", ".pickle")
    ] == []
