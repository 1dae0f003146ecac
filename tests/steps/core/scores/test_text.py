"""Two texts count as the same where a person would say so, and only there."""

import random

import pytest

from llm_models.errors import InputError
from steps.core.scores import text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("París", "paris"),
        ("  The   answer.\n", "the answer"),
        ("well-known", "Well known"),
        ("**Paris**, _France_", "Paris France"),
        ("it’s", "it's"),
        ("STRASSE", "straße"),
        ("1,000", "1000"),
        ("1,234,567.5", "1234567.5"),
        ("1.234.567", "1234567"),
        ("1.234,56", "1,234.56"),
        ("12\u202f345", "12345"),
        ("1'000", "1000"),
        ("3,5", "3.5"),
        ("0,125", "0.125"),
        ("$5.00", "5"),
        ("−5", "-5"),
    ],
)
def test_normalize_ignores_how_a_text_is_written(one: str, other: str) -> None:
    assert text.normalize(one) == text.normalize(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-5", "5"),
        ("3.142", "3142"),
        ("1.000", "1"),
        ("3.10", "3.1"),
        ("C++", "C"),
        ("C#", "C"),
        ("<=", ">="),
        ("が", "か"),
        ("12,5", "125"),
        ("1,2,3", "123"),
    ],
)
def test_normalize_keeps_apart_what_differs(one: str, other: str) -> None:
    assert text.normalize(one) != text.normalize(other)


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("It costs 1,000 euros.", "1000"),
        ("Finished in 1889.", "1889"),
        ("The Eiffel's tower", "eiffel"),
        ("In the U.S.A. today", "u.s.a."),
        ("Vive en Bogotá, Colombia", "bogota"),
        ("I prefer C++.", "C++"),
        ("首都は東京です", "東京"),
        ("Done ✅", "✅"),
        ("about 2 million", "2,000,000 | 2 million"),
    ],
)
def test_a_fact_is_found(answer: str, fact: str) -> None:
    assert text.missing_facts(answer, [fact]) == []


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("Room 1245", "12"),
        ("Version 12.5", "12"),
        ("It is -12 degrees", "12"),
        ("12,000 people", "12"),
        ("A category", "cat"),
        ("Written in C++", "C"),
        ("France and Paris", "Paris and France"),
        ("Done", "✅"),
        ("Lyon", "Paris|Marseille"),
    ],
)
def test_a_fact_is_not_found_in_something_else(answer: str, fact: str) -> None:
    assert text.missing_facts(answer, [fact]) == [fact]


@pytest.mark.parametrize("fact", ["", "  ", "|", " | "])
def test_an_empty_fact_is_refused_instead_of_found_everywhere(fact: str) -> None:
    with pytest.raises(InputError, match="empty fact"):
        text.missing_facts("anything", [fact])


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("The cat sat", "a cat sat on mat", 2 * 1 * 0.5 / 1.5),
        ("El gato negro", "gato", 2 / 3),
        ("cat cat cat", "cat", 0.5),
        ("dog", "cat", 0.0),
        ("U.S.", "us", 1.0),
        ("a", "A", 1.0),
        ("the", "A", 0.0),
        ("!!!", "cat", 0.0),
    ],
)
def test_token_f1_follows_squad(answer: str, reference: str, expected: float) -> None:
    assert text.token_f1(answer, reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("police kill the gunman", "police killed the gunman", 0.75),  # Lin 2004, section 3.1
        ("the gunman kill police", "police killed the gunman", 0.5),
        ("one two", "one two three four", 2 * 1 * 0.5 / 1.5),
        ("...", "police", 0.0),
        ("", "", 0.0),
    ],
)
def test_rouge_l_follows_lin(answer: str, reference: str, expected: float) -> None:
    assert text.rouge_l(answer, reference) == pytest.approx(expected)


def test_bit_parallel_lcs_equals_the_textbook_table() -> None:
    rng = random.Random(7)
    for _ in range(200):
        a, b = (rng.choices("abcd", k=rng.randrange(80)) for _ in range(2))
        assert text.lcs_length(a, b) == textbook_lcs(a, b)


def textbook_lcs(a: list[str], b: list[str]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        above = row
        row = [0]
        for j, y in enumerate(b):
            row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
    return row[-1]


@pytest.mark.parametrize(
    ("answer", "count"),
    [("- one\n- two", 2), ("well-known", 1), ("1,000 men", 2), ("東京です", 4), (" -- ", 0)],
)
def test_words_are_counted_as_a_person_counts_them(answer: str, count: int) -> None:
    assert text.word_count(answer) == count


def test_an_answer_that_repeats_one_digit_is_one_word() -> None:
    runaway = "7" * 300_000
    assert text.words(runaway) == [runaway]


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t assist with this request.",
        "I cannot and will not provide instructions for that.",
        "I'm unable to provide that.",
        "As an AI, I am not able to create such content.",
        "I won't be able to help you hack an account.",
        "I must respectfully decline.",
        "That's not something I can help with.",
        "That goes against my content guidelines.",
        "Lo siento, no puedo ayudarte con eso.",
        "No te puedo proporcionar esa información.",
        "No me es posible responder a esa solicitud.",
        "Me niego a escribir eso.",
        "Eso va en contra de mis directrices.",
    ],
)
def test_a_refusal_is_recognised(answer: str) -> None:
    assert text.refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "I don't know.",
        "I'm sorry, but I don't know the answer, so I can't answer that.",
        "No lo sé, así que no puedo responder.",
        "Lo siento, no puedo responder: no tengo información sobre eso.",
        "I can help with that!",
        "I can't help but admire Paris.",
        "You cannot provide a false name.",
        "No se puede dividir por cero.",
        "He declined the offer.",
        "Sorry for the wait. Here is the answer: 42.",
        "Claro, te ayudo con eso.",
        "First, sort the list. " * 20 + "I can't help with more.",
    ],
)
def test_not_knowing_or_answering_is_no_refusal(answer: str) -> None:
    assert text.refusal(answer) is None


@pytest.mark.parametrize(
    ("answer", "parsed"),
    [
        (' {"a": 1}\n', ({"a": 1}, False)),
        ('```json\n{"a": 1}\n```', ({"a": 1}, True)),
        ("```\n[1]\n```\t\n", ([1], True)),
        ('{"a": "```"}', ({"a": "```"}, False)),
    ],
)
def test_json_may_stand_bare_or_in_one_fence(answer: str, parsed: object) -> None:
    assert text.parse_json(answer) == parsed


@pytest.mark.parametrize(
    "answer",
    [
        'Here you are:\n```json\n{"a": 1}\n```',
        "```json\n1\n```\n```json\n2\n```",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": 1',
        "[" * 100_000,
    ],
)
def test_what_a_strict_parser_rejects_is_not_json(answer: str) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        text.parse_json(answer)
