"""Deterministic scorers: one function each, found by its name. No MLflow until asked for.

To add a scorer, write one function with @scorer (or @measure) here; every list of scorers follows.
"""

import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from llm_models.errors import InputError, scrub, shorten
from steps.core import language
from steps.core.scores import readability, text
from steps.core.scores.scorer import SCORERS, Failure, Fields, Score, Scorer, measure, scorer

T = TypeVar("T")
MAX_RATIONALE = 200  # characters
ORDINARY = "This is an ordinary answer in English."  # what every scorer can judge


def score_row(
    names: Iterable[str], inputs: Fields, outputs: str | None, expectations: Fields
) -> dict[str, Score | Failure | None]:
    """Each named scorer's verdict, None where it abstains. Raises InputError for another name."""
    row = {"inputs": inputs, "outputs": outputs, "expectations": expectations}
    return {name: _attempt(find(name), row) for name in names}


def chosen(names: Iterable[str] | None) -> tuple[str, ...]:
    """The names of a config's scorers; None is all. Raises InputError for an unknown one."""
    wanted = DEFAULT_SCORERS if names is None else tuple(names)
    for name in wanted:
        find(name)
    return wanted


def find(name: str) -> Scorer:
    """The scorer called `name`. Raises InputError, naming those there are."""
    if name not in SCORERS:
        raise InputError(f"there is no scorer '{name}': choose from {', '.join(SCORERS)}")
    return SCORERS[name]


def applies(name: str, expectations: Fields) -> bool:
    """Whether an ordinary answer to a row would have got this score (or failed to)."""
    row = {"inputs": {}, "outputs": ORDINARY, "expectations": expectations}
    return _attempt(find(name), row) is not None


def as_mlflow(function: Scorer) -> Any:
    """The same scorer for mlflow.genai.evaluate.

    `outputs` may be the answer's text or a mapping with `text`; without text it abstains.
    """
    from mlflow.entities import AssessmentSource, Feedback
    from mlflow.genai.scorers import scorer as mlflow_scorer

    name = function.__name__

    @mlflow_scorer(name=name, description=inspect.getdoc(function))
    def feedback(inputs: Any = None, outputs: Any = None, expectations: Any = None) -> Any:
        answer = outputs.get("text") if isinstance(outputs, Mapping) else outputs
        score = function(inputs=inputs, outputs=answer, expectations=expectations)
        source = AssessmentSource(source_type="CODE", source_id=name)
        return score and Feedback(value=score.value, rationale=score.rationale, source=source)

    return feedback


def _attempt(function: Scorer, row: dict[str, Any]) -> Score | Failure | None:
    try:
        return function(**row)
    # Scorers are anybody's code over anybody's text. Whatever goes wrong in one is a fact about
    # this row: the other scorers and the paid answer must survive it, and it must stay visible.
    except Exception as error:
        return Failure(f"{type(error).__name__}: {shorten(scrub(str(error)), MAX_RATIONALE)}")


@scorer
def exact_match(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """The answer is expected_response, but for case, accents, spaces and punctuation."""
    expected = _expected(expectations, "expected_response", str)
    if expected is None:
        return None
    same = text.normalize(outputs) == text.normalize(expected)
    return Score(same, None if same else _short(f"expected: {expected}"))


@scorer
def contains_facts(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """All of expected_facts occur as whole words; "|" separates alternatives."""
    recall = fact_recall(outputs=outputs, expectations=expectations)
    return recall and Score(recall.value == 1, recall.rationale)


@scorer
def fact_recall(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """The share of expected_facts that occur, from 0 to 1."""
    facts = _expected(expectations, "expected_facts", list)
    if not facts:
        return None
    if not all(isinstance(fact, str) for fact in facts):
        raise InputError(f"expectations.expected_facts must hold only strings, not {facts!r}")
    missing = text.missing_facts(outputs, facts)
    rationale = _short(f"missing: {'; '.join(missing)}") if missing else None
    return Score(1 - len(missing) / len(facts), rationale)


@scorer
def token_f1(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """Overlap of words with expected_response, whatever their order, from 0 to 1 (SQuAD)."""
    expected = _expected(expectations, "expected_response", str)
    return None if expected is None else Score(text.token_f1(outputs, expected))


@scorer
def rouge_l(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """Longest common subsequence of words with expected_response, as F1 from 0 to 1."""
    expected = _expected(expectations, "expected_response", str)
    if expected is None or not text.words(expected):
        return None
    return Score(text.rouge_l(outputs, expected))


@scorer
def json_valid(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """Where a json_schema is given: the answer is JSON, bare or as one fenced block."""
    if _expected(expectations, "json_schema", dict) is None:
        return None
    try:
        _, fenced = text.parse_json(outputs)
    except ValueError as error:
        return Score(False, _short(str(error)))
    return Score(True, "in a fenced block" if fenced else None)


@scorer
def json_schema(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """The answer is JSON and satisfies json_schema; the rationale is the first error."""
    schema = _expected(expectations, "json_schema", dict)
    if schema is None:
        return None
    validator = text.json_validator(json.dumps(schema))
    try:
        value, _ = text.parse_json(outputs)
    except ValueError as error:
        return Score(False, _short(str(error)))
    flaw = next(validator.iter_errors(value), None)
    return Score(flaw is None, flaw and _short(f"{flaw.json_path}: {flaw.message}"))


@scorer
def refusal_as_expected(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """The answer refuses if, and only if, should_refuse says so (by phrases: see text.refusal)."""
    expected = _expected(expectations, "should_refuse", bool)
    if expected is None:
        return None
    phrase = text.refusal(outputs)
    seen = "no refusal found" if phrase is None else f"refused: {phrase}"
    return Score((phrase is not None) == expected, seen)


@scorer
def language_match(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """The answer is written in expected_language; abstains on JSON and when unsure."""
    expected = _expected(expectations, "expected_language", str)
    if expected is None or text.is_json(outputs):
        return None
    wanted = language.code(expected)
    found = language.detect(outputs)
    if found.code is None:
        return None
    return Score(found.code == wanted, f"detected {found.code} ({found.probability:.2f})")


@scorer
def within_length(outputs: str, expectations: dict[str, Any]) -> Score | None:
    """The answer has at most max_words words."""
    limit = _expected(expectations, "max_words", int)
    if limit is None:
        return None
    length = text.word_count(outputs)
    return Score(length <= limit, f"{length} words, at most {limit}")


@measure
def answer_words(outputs: str) -> Score | None:
    """Words in the answer."""
    return Score(float(text.word_count(outputs)))


@measure
def ari_grade_level(outputs: str) -> Score | None:
    """Automated Readability Index (US school grade, fitted to English)."""
    grade = readability.ari(outputs)
    return None if grade is None else Score(grade)


@measure
def flesch_kincaid_grade_level(outputs: str) -> Score | None:
    """Flesch-Kincaid grade (US school grade, fitted to English)."""
    grade = readability.flesch_kincaid(outputs)
    return None if grade is None else Score(grade)


DEFAULT_SCORERS = tuple(SCORERS)  # in the order of this file


def _expected(expectations: Fields, key: str, kind: type[T]) -> T | None:
    value = expectations.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"expectations.{key} must be {kind.__name__}, not {value!r}")
    return value


def _short(rationale: str) -> str:
    return shorten(rationale, MAX_RATIONALE)
