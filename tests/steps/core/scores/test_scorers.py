"""Every scorer says what it saw, abstains where there is nothing to see, and never fails alone."""

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from llm_models.errors import InputError
from steps.core.scores import scorers
from steps.core.scores.scorer import BOUNDS
from steps.core.scores.scorers import DEFAULT_SCORERS, SCORERS, Failure, Score, score_row

SCHEMA = {
    "type": "object",
    "properties": {"ages": {"type": "array", "items": {"type": "integer"}}},
    "required": ["ages"],
}


def score(name: str, answer: str | None, **expectations: Any) -> Score | Failure | None:
    return score_row([name], {}, answer, expectations)[name]


@pytest.mark.parametrize(
    ("name", "answer", "expectations", "expected"),
    [
        ("exact_match", "París!", {"expected_response": "paris"}, Score(True)),
        ("exact_match", "Lyon", {"expected_response": "Paris"}, Score(False, "expected: Paris")),
        ("contains_facts", "Paris, 1889.", {"expected_facts": ["paris", "1889"]}, Score(True)),
        (
            "contains_facts",
            "Paris.",
            {"expected_facts": ["Paris", "1889", "iron|steel"]},
            Score(False, "missing: 1889; iron|steel"),
        ),
        (
            "fact_recall",
            "Paris.",
            {"expected_facts": ["Paris", "1889"]},
            Score(0.5, "missing: 1889"),
        ),
        ("token_f1", "The cat", {"expected_response": "a cat"}, Score(1.0)),
        ("rouge_l", "a c", {"expected_response": "a b c d"}, Score(2 / 3)),
        ("json_valid", '{"ages": []}', {"json_schema": SCHEMA}, Score(True)),
        (
            "json_valid",
            "```json\n[]\n```",
            {"json_schema": SCHEMA},
            Score(True, "in a fenced block"),
        ),
        ("json_schema", '{"ages": [1, 2]}', {"json_schema": SCHEMA}, Score(True)),
        ("json_schema", "```\n{}\n```", {"json_schema": {}}, Score(True)),
        (
            "json_schema",
            '{"ages": [1, "two"]}',
            {"json_schema": SCHEMA},
            Score(False, "$.ages[1]: 'two' is not of type 'integer'"),
        ),
        ("within_length", "one two", {"max_words": 2}, Score(True, "2 words, at most 2")),
        ("within_length", "one two three", {"max_words": 2}, Score(False, "3 words, at most 2")),
        ("answer_words", "well-known facts", {}, Score(2.0)),
        (
            "refusal_as_expected",
            "I can't help with that.",
            {"should_refuse": True},
            Score(True, "refused: i can't help"),
        ),
        (
            "refusal_as_expected",
            "No puedo ayudarte.",
            {"should_refuse": False},
            Score(False, "refused: no puedo ayudarte"),
        ),
        (
            "refusal_as_expected",
            "I don't know.",
            {"should_refuse": True},
            Score(False, "no refusal found"),
        ),
    ],
)
def test_a_score_has_a_value_and_a_reason(
    name: str, answer: str, expectations: dict[str, Any], expected: Score
) -> None:
    assert score(name, answer, **expectations) == expected


@pytest.mark.parametrize(("expected", "value"), [("es", True), ("es-MX", True), ("en", False)])
def test_language_match_tells_what_it_detected(expected: str, value: bool) -> None:
    verdict = score("language_match", "La capital es París.", expected_language=expected)
    assert isinstance(verdict, Score)
    assert verdict.value is value
    assert verdict.rationale is not None
    assert verdict.rationale.startswith("detected es (0.")


def test_every_scorer_is_a_default_and_documented() -> None:
    assert set(DEFAULT_SCORERS) == set(SCORERS)
    assert len(DEFAULT_SCORERS) == 13
    assert all(function.__doc__ for function in SCORERS.values())


UNCONDITIONAL = {"answer_words", "ari_grade_level", "flesch_kincaid_grade_level"}


def test_scorers_abstain_where_nothing_is_expected() -> None:
    answer = "This answer is long enough to be read."
    for nothing in ({}, dict.fromkeys(("expected_response", "expected_facts", "max_words"))):
        verdicts = score_row(DEFAULT_SCORERS, {}, answer, nothing)
        assert {name for name, verdict in verdicts.items() if verdict is not None} == UNCONDITIONAL


@pytest.mark.parametrize("answer", [None, "", " \n"])
def test_no_answer_has_no_score_at_all(answer: str | None) -> None:
    expectations = {"expected_response": "x", "expected_facts": ["x"], "should_refuse": True}
    verdicts = score_row(DEFAULT_SCORERS, {}, answer, expectations)
    assert verdicts == dict.fromkeys(DEFAULT_SCORERS)


@pytest.mark.parametrize(
    ("name", "answer", "expectations"),
    [
        ("language_match", "42 km", {"expected_language": "en"}),
        ("language_match", '{"text": "Hola, ¿cómo estás?"}', {"expected_language": "en"}),
        ("language_match", '```json\n["Buenos días a todos"]\n```', {"expected_language": "en"}),
        ("ari_grade_level", "Two words.", {}),
        ("flesch_kincaid_grade_level", "42", {}),
        ("contains_facts", "anything", {"expected_facts": []}),
        ("rouge_l", "anything", {"expected_response": "..."}),
    ],
)
def test_a_scorer_abstains_where_it_cannot_tell(
    name: str, answer: str, expectations: dict[str, Any]
) -> None:
    assert score(name, answer, **expectations) is None


@pytest.mark.parametrize(
    ("name", "expectations", "named"),
    [
        ("exact_match", {"expected_response": 42}, "expected_response must be str, not 42"),
        ("contains_facts", {"expected_facts": "Paris"}, "expected_facts must be list"),
        ("contains_facts", {"expected_facts": [1889]}, "only strings"),
        ("fact_recall", {"expected_facts": ["|"]}, "empty fact"),
        ("within_length", {"max_words": True}, "max_words must be int"),
        ("refusal_as_expected", {"should_refuse": "no"}, "should_refuse must be bool"),
        ("language_match", {"expected_language": "Spanish"}, "not a language code"),
        ("json_schema", {"json_schema": {"type": "objekt"}}, "no JSON schema"),
    ],
)
def test_a_wrong_expectation_is_a_failure_that_names_it(
    name: str, expectations: dict[str, Any], named: str
) -> None:
    failure = score(name, "An answer in English.", **expectations)
    assert isinstance(failure, Failure)
    assert failure.error.startswith("InputError: ")
    assert named in failure.error


@pytest.mark.parametrize(
    ("expectations", "conditional"),
    [
        ({}, set()),
        ({"expected_response": "x"}, {"exact_match", "token_f1", "rouge_l"}),
        ({"expected_facts": ["x"]}, {"contains_facts", "fact_recall"}),
        ({"expected_facts": [], "max_words": 3}, {"within_length"}),
        ({"expected_language": "es"}, {"language_match"}),
        ({"json_schema": SCHEMA}, {"json_valid", "json_schema"}),
        ({"should_refuse": False}, {"refusal_as_expected"}),
        ({"max_words": "a typing error"}, {"within_length"}),
    ],
)
def test_what_is_expected_decides_which_scorers_apply(
    expectations: dict[str, Any], conditional: set[str]
) -> None:
    applying = {name for name in DEFAULT_SCORERS if scorers.applies(name, expectations)}
    assert applying == conditional | UNCONDITIONAL


def test_an_unknown_scorer_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no scorer 'bleu': choose from exact_match, "):
        score_row(["bleu"], {}, "answer", {})


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    kept = dict(SCORERS)
    yield
    SCORERS.clear()
    SCORERS.update(kept)


@pytest.mark.usefixtures("registry")
def test_one_function_is_all_a_new_scorer_takes() -> None:
    @scorers.scorer
    def echoes(inputs: dict[str, Any], outputs: str) -> Score:
        return Score(inputs["prompt"] in outputs)

    assert score_row(["echoes"], {"prompt": "hi"}, "hi you", {}) == {"echoes": Score(True)}


@pytest.mark.usefixtures("registry")
def test_a_scorer_that_raises_is_data_and_keeps_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "very-secret-key")

    @scorers.scorer
    def broken(outputs: str) -> Score:
        raise KeyError("very-secret-key" + " padding" * 100)

    verdicts = score_row(["broken", "answer_words"], {}, "two words", {})
    assert verdicts["answer_words"] == Score(2.0)
    failure = verdicts["broken"]
    assert isinstance(failure, Failure)
    assert failure.error.startswith("KeyError: '[secret] padding")
    assert len(failure.error) < 250


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (14.0, "InputError: wide gave 14, and a @scorer gives 0 to 1: make it a @measure"),
        (-0.1, "InputError: wide gave -0.1, and a @scorer gives 0 to 1: make it a @measure"),
        (math.nan, "InputError: wide gave nan, which is no score"),
    ],
)
def test_a_value_that_would_spoil_the_mean_of_all_is_a_failure_of_its_row(
    value: float, error: str
) -> None:
    @scorers.scorer
    def wide(outputs: str) -> Score:
        return Score(value)

    assert score_row(["wide"], {}, "answer", {}) == {"wide": Failure(error)}


@pytest.mark.usefixtures("registry")
def test_a_measure_may_be_any_number_and_has_no_bounds() -> None:
    @scorers.measure
    def size(outputs: str) -> Score:
        return Score(float(outputs))

    assert score_row(["size"], {}, "14", {}) == {"size": Score(14.0)}
    assert isinstance(score_row(["size"], {}, "inf", {})["size"], Failure)
    assert (BOUNDS["size"], BOUNDS["exact_match"]) == (None, (0, 1))


@pytest.fixture
def schema_server() -> Iterator[tuple[str, list[str]]]:
    """A server that would answer any schema with {}, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("shape", ["ref", "id", "draft4"])
def test_a_schema_never_fetches_a_remote_reference(
    shape: str, schema_server: tuple[str, list[str]]
) -> None:
    url, asked = schema_server
    schema = {
        "ref": {"$ref": url + "a.json"},
        "id": {"$id": url, "$ref": "b.json"},
        "draft4": {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "items": {"$ref": url + "c.json"},
        },
    }[shape]
    failure = score("json_schema", "[1]", json_schema=schema)
    assert isinstance(failure, Failure)
    assert "Unresolvable" in failure.error
    assert asked == []


def test_a_schema_may_refer_to_itself() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}
    assert score("json_schema", "[1]", json_schema=schema) == Score(True)
    assert score("json_schema", '["a"]', json_schema=schema) == Score(
        False, "$[0]: 'a' is not of type 'integer'"
    )


PROSE = "The committee considered several alternatives. It chose the simplest one, unanimously."


def test_grades_are_textstats_whatever_language_others_set() -> None:
    import textstat

    expected = {
        "ari_grade_level": textstat.automated_readability_index(PROSE),
        "flesch_kincaid_grade_level": textstat.flesch_kincaid_grade(PROSE),
    }
    textstat.set_lang("es")
    try:
        assert textstat.flesch_kincaid_grade(PROSE) != expected["flesch_kincaid_grade_level"]
        verdicts = score_row(expected, {}, PROSE, {})
    finally:
        textstat.set_lang("en_US")
    assert verdicts == {name: Score(value) for name, value in expected.items()}


def test_threads_get_the_scores_of_one_thread() -> None:
    expectations = {"expected_response": PROSE, "expected_language": "en", "max_words": 9}
    answers = [f"{PROSE} Number {i}." for i in range(30)]

    def row(answer: str) -> dict[str, Any]:
        return score_row(DEFAULT_SCORERS, {}, answer, expectations)

    alone = [row(answer) for answer in answers]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(row, answers)) == alone


def test_importing_the_scorers_imports_nothing_heavy() -> None:
    heavy = "mlflow", "numpy", "pandas", "textstat", "jsonschema", "fasttext_pybind", "tiktoken"
    code = f"import sys, steps.core.scores.scorers; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


ROWS: list[dict[str, Any]] = [
    {
        "inputs": {"prompt": "capital"},
        "outputs": "The capital of France is Paris.",
        "expectations": {
            "expected_response": "Paris",
            "expected_facts": ["Paris", "1889"],
            "expected_language": "en",
            "max_words": 5,
        },
    },
    {
        "inputs": {"prompt": "record"},
        "outputs": {"text": '{"ages": ["one"]}'},
        "expectations": {"json_schema": SCHEMA, "max_words": "five"},
    },
    {
        "inputs": {"prompt": "failed"},
        "outputs": {},
        "expectations": {"expected_response": "Paris", "should_refuse": True},
    },
]


def test_mlflow_evaluate_gives_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_GENAI_EVAL_MAX_WORKERS", "2")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # set_tracking_uri writes it; put back at the end
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        artifacts = (tmp_path / "artifacts").as_uri()
        experiment = mlflow.create_experiment("scorers", artifact_location=artifacts)
        with mlflow.start_run(experiment_id=experiment):
            result = mlflow.genai.evaluate(
                data=ROWS, scorers=[scorers.as_mlflow(function) for function in SCORERS.values()]
            )
    finally:
        mlflow.set_tracking_uri(None)
    theirs = {
        trace["request"]["prompt"]: feedbacks(trace["assessments"])
        for trace in result.result_df.to_dict("records")
    }
    assert theirs == {row["inputs"]["prompt"]: own_scores(row) for row in ROWS}


def own_scores(row: dict[str, Any]) -> dict[str, Any]:
    outputs = row["outputs"]
    answer = outputs.get("text") if isinstance(outputs, dict) else outputs
    verdicts = score_row(DEFAULT_SCORERS, row["inputs"], answer, row["expectations"])
    return {
        name: "failed" if isinstance(verdict, Failure) else (verdict.value, verdict.rationale)
        for name, verdict in verdicts.items()
        if verdict is not None
    }


def feedbacks(assessments: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        entry["assessment_name"]: "failed"
        if "error" in entry["feedback"]
        else (entry["feedback"]["value"], entry.get("rationale"))
        for entry in assessments
        if "feedback" in entry
    }
