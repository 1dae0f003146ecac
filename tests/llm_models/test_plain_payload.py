"""What is answered without a data frame is answered as MLflow's own way would."""

import json
from typing import Any

import pytest
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations

from llm_models.plain_payload import read_plain
from llm_models.reply import Reply
from tests.servers.ollama import OllamaServer

PROMPT = {"prompt": "2+2? ¿Cuánto es?"}
TURNS = [
    {"role": "system", "content": "Count."},
    {"role": "user", "content": "1"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "3"},
]
SAMPLING = {"temperature": 1, "top_p": 0.5, "top_k": 3, "max_tokens": 7, "seed": -1, "stop": ["."]}
PLAIN: dict[str, Any] = {
    "prompt": PROMPT,
    "system": PROMPT | {"system": "Own."},
    "empty system": PROMPT | {"system": ""},
    "messages": {"messages": TURNS},
    "messages and system": {"messages": TURNS, "system": "Own."},
    "bare parameters": PROMPT | SAMPLING,
    "one parameter": {"messages": TURNS, "temperature": 0.25},
    "no stop": PROMPT | {"stop": []},
    "record": {"dataframe_records": [PROMPT]},
    "record with parameters": {"dataframe_records": [PROMPT | {"system": "Own."}]}
    | {"params": SAMPLING},
    "inputs": {"inputs": [PROMPT]},
    "inputs of messages": {"inputs": [{"messages": TURNS}], "params": {"seed": 1}},
    "no parameters": {"inputs": [PROMPT], "params": {}},
    "white space": {"prompt": " 007\n\t\u00a0"},
    "number as text": {"prompt": "1e5"},
    "emoji and a zero": {"prompt": "👩‍👩‍👧 \0"},
}
TIMES = {"latency_s", "retry_s"}  # of the call itself


def slowly(model: PyFuncModel, payload: Any) -> Any:
    schema = model.metadata.get_input_schema()
    return json.loads(invocations(json.dumps(payload), "application/json", model, schema).response)


def quickly(model: PyFuncModel, payload: Any) -> Any:
    plain = read_plain(json.dumps(payload).encode())
    assert plain is not None
    row = model.unwrap_python_model().answer(plain.record, plain.params)
    return json.loads(Reply.answering(row, wrapped=plain.wrapped).body)


def untimed(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: untimed(v) for name, v in answer.items() if name not in TIMES}
    return [untimed(row) for row in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("payload", PLAIN.values(), ids=PLAIN)
def test_both_ways_ask_and_answer_the_same(
    ollama: PyFuncModel, ollama_server: OllamaServer, payload: Any
) -> None:
    quick, slow = quickly(ollama, payload), slowly(ollama, payload)
    assert untimed(quick) == untimed(slow)
    first, second = (seen.body for seen in ollama_server.requests if seen.path == "/api/chat")
    assert first == second
    assert json.dumps(first) == json.dumps(second)  # 1 is not 1.0


ODD: dict[str, Any] = {
    "list": [PROMPT],
    "nothing": {},
    "other field": PROMPT | {"stream": True},
    "both": PROMPT | {"messages": TURNS},
    "null system": PROMPT | {"system": None},
    "prompt number": {"prompt": 5},
    "prompt list": {"prompt": ["a"]},
    "messages text": {"messages": "a"},
    "message text": {"messages": ["a"]},
    "message field": {"messages": [TURNS[1] | {"name": "me"}]},
    "no content": {"messages": [{"role": "user"}]},
    "content null": {"messages": [{"role": "user", "content": None}]},
    "half a character": {"prompt": "\ud83d"},
    "half a character said": {"messages": [{"role": "user", "content": "\ud83d"}]},
    "temperature text": PROMPT | {"temperature": "1"},
    "temperature true": PROMPT | {"temperature": True},
    "temperature null": PROMPT | {"temperature": None},
    "tokens float": PROMPT | {"max_tokens": 5.0},
    "tokens true": PROMPT | {"max_tokens": True},
    "tokens beyond long": PROMPT | {"max_tokens": 2**63},
    "stop text": PROMPT | {"stop": "."},
    "stop numbers": PROMPT | {"stop": [1]},
    "on_error": PROMPT | {"on_error": "column"},
    "params list": {"inputs": [PROMPT], "params": []},
    "unknown param": {"inputs": [PROMPT], "params": {"best_of": 2}},
    "two rows": {"inputs": [PROMPT, PROMPT]},
    "no row": {"inputs": []},
    "row text": {"inputs": ["a"]},
    "row field": {"inputs": [PROMPT | {"id": 1}]},
    "columns": {"inputs": {"prompt": ["a"]}},
    "two forms": {"inputs": [PROMPT], "dataframe_records": [PROMPT]},
    "beside": {"inputs": [PROMPT], "temperature": 1},
    "split": {"dataframe_split": {"columns": ["prompt"], "data": [["a"]]}},
}


@pytest.mark.parametrize("payload", ODD.values(), ids=ODD)
def test_whatever_is_not_plainly_one_right_question_is_left_to_mlflow(payload: Any) -> None:
    assert read_plain(json.dumps(payload).encode()) is None


@pytest.mark.parametrize("body", [b"", b"{", b'{"prompt": "\xff"}'])
def test_what_is_no_json_is_told(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_plain(body)


@pytest.mark.parametrize(
    "payload",
    [
        {"prompt": ""},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "a"}]},
        PROMPT | {"temperature": 9},
        {"inputs": [PROMPT], "params": {"top_k": 0}},
    ],
    ids=str,
)
def test_both_ways_refuse_in_the_same_words(ollama: PyFuncModel, payload: Any) -> None:
    told = []
    for way in (quickly, slowly):
        with pytest.raises(Exception) as caught:
            way(ollama, payload)
        error: Any = caught.value
        told.append((error.kind, error.serialize_as_json()))
    assert told[0] == told[1]
    assert told[0][0] == "invalid_request"
