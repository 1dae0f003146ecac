"""The three files of predictions hold every text as it was and every row in its place."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_models.schema import OUTPUT_COLUMNS, Completion, Usage
from steps.core.answering.runner import Answer
from steps.core.dataset import Row
from steps.core.scores.scorers import Failure, Score
from steps.core.tables import CSV, JSON, PARQUET, PIECE, PredictionTables

TEXTS = {
    "zeros": "007",
    "exponent": "1e5",
    "null": "null",
    "nan": "NaN",
    "true": "True",
    "date": "2026-01-02",
    "empty": "",
    "blanks": "  a\t ",
    "lines": "one\ntwo\r\nthree\rfour\u2028five\n",
    "quotes": "a \"b\", 'c'; d\\",
    "formula": '=HYPERLINK("http://x.test")',
    "plus": "+1",
    "emoji": "😀 👩‍👩‍👧 e\u0301 é ñ 日本",
    "nul": "a\x00b",
    "control": "\x1b[31m\x08",
    "html": "<script>alert(1)</script>",
    "json": '{"a": [1, null]}',
    "long": "x" * 200_000,
}


def answered(number: int, text: str | None, **fields: Any) -> Answer:
    row = Row(f"r{number}", {"prompt": text or "p"}, {"expected_facts": ["é|e"]}, {"t": "007"})
    completion = Completion("ok" if text is not None else "error", text, **fields)
    return Answer(row, completion, asked_at=1_763_633_730.5, reused=number % 2 == 1)


def add(tables: PredictionTables, answer: Answer, **scores: Score | Failure | None) -> None:
    known = {"supplier": "ollama", "model_name": "m"}
    record = answer.completion.record() | known
    output = {name: record[name] for name in OUTPUT_COLUMNS}
    tables.add(answer, output, {"language": "en", "neutral_output_tokens": 3}, scores)


def read_csv(folder: Path) -> list[dict[str, str]]:
    csv.field_size_limit(1_000_000)
    with (folder / CSV).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json(folder: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((folder / JSON).read_text("utf-8"))
    return entries


def test_every_text_survives_in_all_three(tmp_path: Path) -> None:
    with PredictionTables(tmp_path, []) as tables:
        for number, text in enumerate(TEXTS.values()):
            add(tables, answered(number, text))
    parquet = pq.read_table(tmp_path / PARQUET).to_pylist()
    for position, (name, text) in enumerate(TEXTS.items()):
        assert parquet[position]["text"] == text, name
        assert read_json(tmp_path)[position]["answer"] == text, name
        assert read_csv(tmp_path)[position]["text"] == text, name
        assert parquet[position]["prompt"] == (text or "p"), name


@pytest.mark.parametrize("rows", [0, 1, PIECE, 2 * PIECE + 1])
def test_rows_are_written_in_pieces_and_in_order(tmp_path: Path, rows: int) -> None:
    with PredictionTables(tmp_path, ["exact"]) as tables:
        for number in range(rows):
            add(tables, answered(number, str(number)), exact=Score(True))
    file = pq.ParquetFile(tmp_path / PARQUET)
    assert file.num_row_groups == -(-rows // PIECE)
    wanted = [str(number) for number in range(rows)]
    assert file.read()["text"].to_pylist() == wanted
    assert [row["text"] for row in read_csv(tmp_path)] == wanted
    assert [entry["answer"] for entry in read_json(tmp_path)] == wanted
    assert tables.rows == rows


def test_unknown_is_null_and_never_nan_or_0(tmp_path: Path) -> None:
    with PredictionTables(tmp_path, []) as tables:
        add(tables, answered(0, None, error="busy", error_kind="busy"))
        add(tables, answered(1, "hi", usage=Usage(total_tokens=0), cost_usd=0.0))
    failed, free = pq.read_table(tmp_path / PARQUET).to_pylist()
    unknown = ("text", "total_tokens", "cost_usd", "latency_s")
    assert [failed[name] for name in unknown] == [None] * 4
    assert (free["total_tokens"], free["cost_usd"]) == (0, 0.0)
    entry = read_json(tmp_path)[0]
    assert [entry[k] for k in ("answer", "total_tokens", "cost_usd")] == [None] * 3
    assert (entry["status"], entry["error"]) == ("error", "busy")


def test_a_score_has_its_rationale_and_a_broken_scorer_its_error(tmp_path: Path) -> None:
    with PredictionTables(tmp_path, ["judge"]) as tables:
        add(tables, answered(0, "a"), judge=Score(0.5, "half\nright"))
        add(tables, answered(1, "b"), judge=Failure("no verdict"))
        add(tables, answered(2, "c"), judge=None)
        add(tables, answered(3, "d"))
    rows = pq.read_table(tmp_path / PARQUET).to_pylist()
    columns = ("judge", "judge/rationale", "judge/error")
    assert [[row[name] for name in columns] for row in rows] == [
        [0.5, "half\nright", None],
        [None, None, "no verdict"],
        [None, None, None],
        [None, None, None],
    ]
    assert [entry["scores"] for entry in read_json(tmp_path)] == [{"judge": 0.5}, {}, {}, {}]


def test_a_row_says_what_was_asked_when_and_whether_it_was_reused(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "¿Qué?"}]
    asked = Row("m", {"messages": messages, "system": "Sé breve."}, {}, {})
    with PredictionTables(tmp_path, []) as tables:
        add(tables, answered(1, "a"))
        add(tables, Answer(asked, Completion("ok", "b"), 0.0, reused=False))
    prompted, spoken = pq.read_table(tmp_path / PARQUET).to_pylist()
    assert prompted["asked_at"] == "2025-11-20T10:15:30+00:00" == read_json(tmp_path)[0]["date"]
    assert (prompted["reused"], spoken["reused"]) == (True, False)
    assert json.loads(prompted["expectations"]) == {"expected_facts": ["é|e"]}
    assert json.loads(prompted["tags"]) == {"t": "007"}
    assert json.loads(spoken["prompt"]) == messages
    assert spoken["system"] == "Sé breve."


def test_what_was_added_before_a_failure_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), PredictionTables(tmp_path, []) as tables:
        add(tables, answered(0, "a"))
        raise KeyboardInterrupt
    assert pq.read_table(tmp_path / PARQUET)["text"].to_pylist() == ["a"]
    assert [row["text"] for row in read_csv(tmp_path)] == ["a"]
    assert [entry["answer"] for entry in read_json(tmp_path)] == ["a"]
