import csv
import io
import json
import re
from pathlib import Path

import pytest
import yaml

from llm_models.errors import InputError
from llm_models.payload import ROLES, request_of
from llm_models.schema import Sampling
from steps.core import dataset
from steps.core.dataset import load

SCHEMA = {"type": "object", "properties": {"n": {"type": ["number", "null"]}}, "required": ["n"]}
ROWS = [
    {"id": "007", "inputs": {"prompt": "007"}, "tags": {"level": "1e5", "kind": "true"}},
    {"id": "NaN", "inputs": {"prompt": "null", "system": "NaN"}},
    {
        "id": "ñandú",
        "inputs": {"prompt": 'Two\nlines, a "quote", é, e\u0301, \u2028 and 😀\n'},
        "expectations": {
            "expected_response": " 42 ",
            "expected_facts": ["Paris|París", "1,000"],
            "expected_language": "es",
            "json_schema": SCHEMA,
            "should_refuse": False,
            "max_words": 7,
            "guidelines": ["Be brief.", "Be kind."],
        },
        "tags": {"level": "null"},
    },
]
COLUMNS = ["id", "prompt", "system", *ROWS[2]["expectations"], "level", "kind"]


def as_csv(rows) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        cells = dict(row.get("expectations", {}))
        for name in cells.keys() & {"expected_facts", "guidelines"}:
            cells[name] = "; ".join(cells[name])
        for name in cells.keys() & {"json_schema", "should_refuse"}:
            cells[name] = json.dumps(cells[name])
        writer.writerow({"id": row["id"], **row["inputs"], **cells, **row.get("tags", {})})
    return out.getvalue()


FORMATS = {
    "rows.jsonl": lambda rows: "\n\n".join(json.dumps(r, ensure_ascii=False) for r in rows),
    "crlf.jsonl": lambda rows: "".join(json.dumps(r) + "\r\n" for r in rows),
    "rows.json": lambda rows: json.dumps(rows, indent=1),
    "wrapped.json": lambda rows: json.dumps({"rows": rows}),
    "rows.yaml": lambda rows: yaml.safe_dump(rows, allow_unicode=True),
    "wrapped.YML": lambda rows: yaml.safe_dump({"rows": rows}),
    "rows.csv": as_csv,
    "bom.csv": lambda rows: "\ufeff" + as_csv(rows),
}


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def failure(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(path)
    return str(caught.value).split("\n")


def lines_of(path: Path) -> list[int]:
    return [int(re.match(rf"{re.escape(str(path))}:(\d+): ", e)[1]) for e in failure(path)]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_order_gives_the_same_rows_and_hash(tmp_path, name, order):
    reference = load(write(tmp_path, "reference.jsonl", FORMATS["rows.jsonl"](ROWS)))
    loaded = load(write(tmp_path, name, FORMATS[name](ROWS[::order])))
    assert loaded.rows[::order] == reference.rows
    assert loaded.sha256 == reference.sha256
    assert loaded.name == Path(name).stem


def test_text_stays_text(tmp_path):
    first, second, third = load(write(tmp_path, "a.csv", as_csv(ROWS))).rows
    assert (first.id, first.inputs, first.tags) == ("007", {"prompt": "007"}, ROWS[0]["tags"])
    assert second.inputs == {"prompt": "null", "system": "NaN"}
    assert third.inputs["prompt"] == ROWS[2]["inputs"]["prompt"]
    assert third.expectations == ROWS[2]["expectations"]


def test_a_date_in_yaml_stays_text(tmp_path):
    assert load(write(tmp_path, "a.yaml", "- prompt: 2024-01-31\n")).rows[0].inputs == {
        "prompt": "2024-01-31"
    }


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"inputs": {"prompt": "Say e\u0301"}},
        {"inputs": {"prompt": "Say é "}},
        {"inputs": {"prompt": "Say é", "system": "s"}},
        {"expectations": {"max_words": 3}},
        {"tags": {"a": "c"}},
    ],
)
def test_any_change_of_content_changes_the_hash(tmp_path, change):
    row = {
        "id": "i",
        "inputs": {"prompt": "Say é"},
        "expectations": {"max_words": 2},
        "tags": {"a": "b"},
    }
    before = load(write(tmp_path, "a.json", json.dumps([row])))
    after = load(write(tmp_path, "b.json", json.dumps([row | change])))
    assert before.sha256 != after.sha256


def test_an_id_is_derived_from_the_inputs_alone(tmp_path):
    text = '{"prompt": "a", "max_words": 1}\n{"prompt": "b"}\n'
    first, second = load(write(tmp_path, "a.jsonl", text)).rows
    again = load(write(tmp_path, "b.yaml", "- {inputs: {prompt: a}, tags: {x: y}}\n")).rows[0]
    assert first.id == again.id != second.id
    assert re.fullmatch("[0-9a-f]{12}", first.id)


def test_a_short_row_and_a_full_row_are_the_same(tmp_path):
    short = {"id": "i", "prompt": "p", "system": "s", "max_words": 3, "tags": {"a": "b"}}
    full = {
        "id": "i",
        "inputs": {"prompt": "p", "system": "s"},
        "expectations": {"max_words": 3},
        "tags": {"a": "b"},
    }
    loaded = [load(write(tmp_path, "a.json", json.dumps([row]))).rows for row in (short, full)]
    assert loaded[0] == loaded[1]


def test_null_is_no_value(tmp_path):
    row = {"id": None, "prompt": "p", "messages": None, "system": None, "expected_response": None}
    loaded = load(write(tmp_path, "a.json", json.dumps([row]))).rows[0]
    assert (loaded.inputs, loaded.expectations) == ({"prompt": "p"}, {})


@pytest.mark.parametrize("role", ROLES)
def test_messages_of_every_role_make_a_request(tmp_path, role):
    messages = [{"role": role, "content": "x"}, {"role": "user", "content": "y"}]
    row = load(write(tmp_path, "a.json", json.dumps([{"messages": messages}]))).rows[0]
    request = request_of(row.inputs, None, Sampling())
    assert request.messages[-1] == {"role": "user", "content": "y"}
    assert (request.system == "x") == (role == "system")


def test_limit_keeps_the_first_rows_and_hashes_those(tmp_path):
    path = write(tmp_path, "a.jsonl", FORMATS["rows.jsonl"](ROWS))
    two = write(tmp_path, "b.jsonl", FORMATS["rows.jsonl"](ROWS[:2]))
    assert load(path, limit=2).rows == load(two).rows
    assert load(path, limit=2).sha256 == load(two).sha256 != load(path).sha256
    assert load(path, limit=99).sha256 == load(path).sha256


def test_a_limit_below_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="limit: must be at least 1, got 0"):
        load(write(tmp_path, "a.jsonl", '{"prompt": "p"}'), limit=0)


@pytest.mark.parametrize("asked", ["questions.jsonl", "questions"])
def test_a_bare_name_is_looked_up_in_eval_data(tmp_path, monkeypatch, asked):
    monkeypatch.setattr(dataset, "EVAL_DATA", tmp_path)
    path = write(tmp_path, "questions.jsonl", '{"prompt": "p"}')
    assert load(asked).path == path
    with pytest.raises(InputError, match=r"other: no such file.* which has questions\.jsonl"):
        load("other")


BROKEN_ROWS = [
    ({}, "inputs: 'prompt' is missing"),
    ({"inputs": {}}, "inputs: 'prompt' is missing"),
    ({"prompt": None}, "inputs: 'prompt' is missing"),
    ({"prompt": ""}, "inputs.prompt: is empty"),
    ({"prompt": " \n"}, "inputs.prompt: is empty"),
    ({"prompt": 7}, "inputs.prompt: expected text, got 7; put it in quotes"),
    ({"prompt": ["p"]}, "inputs.prompt: expected text, got a list"),
    ({"inputs": "p"}, "inputs: expected keys with values, got 'p'"),
    ({"prompt": "p", "messages": [{"role": "user", "content": "c"}]}, "not both"),
    ({"messages": []}, "no user message"),
    ({"messages": [{"role": "assistant", "content": "c"}]}, "no user message"),
    ({"messages": [{"role": "bot", "content": "c"}]}, "inputs.messages[0].role: must be 'user'"),
    ({"messages": [{"role": "user"}]}, "inputs.messages[0].content: missing"),
    ({"promt": "p"}, "inputs.promt: unknown key (did you mean 'prompt'?)"),
    ({"prompt": "p", "expected_fact": ["a"]}, "did you mean 'expected_facts'?"),
    ({"inputs": {"prompt": "p"}, "tag": {}}, "tag: unknown key (did you mean 'tags'?)"),
    ({"prompt": "p", "id": 5}, "id: expected text, got 5; put it in quotes"),
    ({"prompt": "p", "expected_facts": "a"}, "expectations.expected_facts: expected a list"),
    ({"prompt": "p", "expected_facts": ["a", ""]}, "expected_facts[1]: is empty"),
    ({"prompt": "p", "should_refuse": "no"}, "expected true or false, got 'no'"),
    ({"prompt": "p", "max_words": 1.5}, "expected a whole number, got 1.5"),
    ({"prompt": "p", "max_words": 0}, "must be at least 1, got 0"),
    ({"prompt": "p", "expected_language": "English"}, "a language code such as 'en'"),
    ({"prompt": "p", "json_schema": {"type": "strin"}}, "not a valid JSON schema: $.type: 'strin'"),
    ({"prompt": "p", "tags": {"a": 1}}, "tags.a: expected text, got 1; put it in quotes"),
    ([1], "expected keys with values, got a list"),
]


@pytest.mark.parametrize(("row", "message"), BROKEN_ROWS)
@pytest.mark.parametrize("position", [0, 2])
def test_a_broken_row_is_named_with_its_line_in_every_format(tmp_path, row, message, position):
    rows = [{"prompt": "one\ntwo"}, {"prompt": "three"}]
    rows.insert(position, row)
    texts = {
        "a.jsonl": "\n".join(map(json.dumps, rows)),
        "a.json": "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]",
        "b.json": '{"rows":\n[' + ",\n".join(map(json.dumps, rows)) + "]}",
        "a.yaml": "rows:\n" + "".join(f"  - {json.dumps(row)}\n" for row in rows),
    }
    for name, first in zip(texts, (1, 2, 2, 2), strict=True):
        path = write(tmp_path, name, texts[name])
        assert lines_of(path) == [first + position], name
        assert message in failure(path)[0], name


BROKEN_FILES = [
    ("a.jsonl", '{"prompt": "p"}\n\n{"prompt": \n', [3], "not valid JSON"),
    ("a.jsonl", '{"prompt": "p", "prompt": "q"}', [1], "key 'prompt' is given twice"),
    ("a.jsonl", '{"prompt": "p", "max_words": NaN}', [1], "NaN is not a JSON value"),
    ("a.jsonl", '{"prompt": "p", "max_words": -Infinity}', [1], "-Infinity is not a JSON value"),
    ("a.jsonl", '{"prompt": "p", "json_schema": {"maximum": 1e999}}', [1], "Out of range float"),
    ("a.jsonl", '{"prompt": "p"}\n{"prompt": "\\ud800"}', [2], "half of a surrogate pair"),
    ("a.jsonl", '{"prompt": ' + "[" * 100_000, [1], "nested too deeply"),
    (
        "a.jsonl",
        '{"prompt": "p"}\n{"prompt": "q"}\n{"prompt": "p"}',
        [3],
        "no id of its own, as on line 1",
    ),
    ("a.jsonl", '{"prompt": "\u2028"}\n{"prompt": "p"}\n5', [1, 3], "inputs.prompt: is empty"),
    ("a.jsonl", "", [1], "the file has no rows"),
    ("a.jsonl", "\n\n", [1], "the file has no rows"),
    ("a.json", "", [1], "not valid JSON"),
    ("a.json", "[]", [1], "the file has no rows"),
    ("a.json", '{"prompt": "p"}', [1], "expected a list of rows"),
    ("a.json", '[\n{"prompt": "p"},\n{"prompt": "q",}\n]', [3], "not valid JSON"),
    ("a.json", '{"rows": [],\n"more": 1}', [1], "nothing beside it"),
    ("a.json", '[{"prompt": "]"},\n{"prompt": "p", "max_words": NaN}\n, 5]', [2, 3], "NaN is not"),
    ("a.yaml", "", [1], "expected a list of rows"),
    ("a.yaml", "prompt: p\n", [1], "expected a list of rows"),
    ("a.yaml", "- prompt: p\n  prompt: q\n", [2], "[0].prompt: given twice, first on line 1"),
    ("a.yaml", "- prompt: 007\n", [1], "put it in quotes"),
    ("a.yaml", "- prompt: p\n- prompt: [q\n", [3], "not valid YAML"),
    ("a.yaml", "- prompt: p\n  json_schema: {maximum: .nan}\n", [1], "Out of range float"),
    ("a.yaml", "- prompt: p\n  json_schema: &a {not: *a}\n", [1], "not JSON: Circular"),
    ("a.csv", "", [1], "the file has no rows"),
    ("a.csv", "prompt\n", [1], "the file has no rows"),
    ("a.csv", "id;prompt\n1;p\n", [1], "no column 'prompt', only id;prompt"),
    ("a.csv", "prompt,prompt\np,q\n", [1], "column 'prompt' is given twice"),
    ("a.csv", "prompt,\np,q\n", [1], "a column has no name"),
    ("a.csv", "prompt,expected_fact\np,q\n", [1], "unknown column 'expected_fact'"),
    ("a.csv", 'id,prompt\n1,"a\nb"\n2,"c\n\n"\n\n3\n4,\n', [8, 9], "1 cells under 2 columns"),
    ("a.csv", 'id,prompt\n1,"a\nb"\n1,"c\nd"\n', [4], "id: '1' is taken, on line 2"),
    ("a.csv", 'prompt,max_words\n"a\r\nb",1\r\nc,ten\r\n', [4], "whole number, got 'ten'"),
    ("a.csv", "prompt,should_refuse\na,TRUE\nb,maybe\n", [3], "true or false, got 'maybe'"),
    ("a.csv", "prompt,json_schema\na,{}\nb,{x\n", [3], "json_schema: not valid JSON"),
    ("a.csv", 'prompt\na\n"b\nc\n', [3], "not valid CSV: unexpected end of data"),
    ("a.csv", 'prompt,id\na,1\n"b"c,2\n', [3], "not valid CSV: ',' expected"),
    ("a.jsonl", b'{"prompt": "p"}\n{"prompt": "\xe9"}\n', [2], "not UTF-8"),
    ("a.csv", "prompt\np\n".encode("utf-16"), [1], "not UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "lines", "message"), BROKEN_FILES)
def test_a_broken_file_is_named_with_its_lines(tmp_path, name, content, lines, message):
    path = write(tmp_path, name, content)
    assert lines_of(path) == lines
    assert message in failure(path)[0]


def test_errors_come_at_once_up_to_twenty(tmp_path):
    errors = failure(write(tmp_path, "a.jsonl", "5\n" * 31))
    assert len(errors) == 21
    assert errors[19].split(":")[1] == "20"
    assert errors[20] == "… and 11 more"


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"\.jsonl, \.json, \.yaml, \.yml, \.csv"):
        load(write(tmp_path, "a.txt", "p"))


def test_a_cell_may_be_longer_than_csv_allows_by_default(tmp_path):
    text = "prompt\n" + "x" * 200_000 + "\n"
    assert len(load(write(tmp_path, "a.csv", text)).rows[0].inputs["prompt"]) == 200_000
