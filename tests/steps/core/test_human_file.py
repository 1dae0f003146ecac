"""Scores of people are read as they were meant, or refused with file, line and column."""

from pathlib import Path

import pytest

from llm_models.errors import InputError
from steps.core.human_file import Known, Rating, answer_hash, content_hash, read_ratings

ONE = Known({"fr", "es"}, ["good", "poor"], several_candidates=False, several_repeats=False)
SEVERAL = Known({"fr", "es"}, ["good", "poor"], several_candidates=True, several_repeats=True)


def write(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "human.csv"
    path.write_text("\n".join(lines), encoding)
    return path


def refusal(path: Path, known: Known = ONE) -> str:
    with pytest.raises(InputError) as refused:
        read_ratings(path, known)
    return str(refused.value)


@pytest.mark.parametrize(
    ("cell", "score"),
    [
        ("yes", True),
        ("No", False),
        ("TRUE", True),
        ("false", False),
        ("1", 1.0),
        ("4.5", 4.5),
        (" 0 ", 0.0),
        ("-2", -2.0),
    ],
)
def test_yes_no_and_numbers_are_scores(tmp_path: Path, cell: str, score: bool | float) -> None:
    (rating,) = read_ratings(write(tmp_path, "id,score", f"fr,{cell}"), ONE)
    assert (rating.score, type(rating.score)) == (score, type(score))


def test_every_column_is_read_and_others_are_let_be(tmp_path: Path) -> None:
    header = "asked_at,id,candidate,repeat,text,score,rater,rationale,language"
    row = '2026-01-01,fr,good,1,"Paris\r\nit is ",yes,Ann,"short, and right",en'
    (rating,) = read_ratings(write(tmp_path, header, row), SEVERAL)
    assert rating == Rating.model_construct(
        id="fr",
        score=True,
        candidate="good",
        repeat=1,
        answer_sha256=answer_hash("Paris it is"),
        rater="Ann",
        rationale="short, and right",
    )


def test_the_hash_of_the_answer_wins_over_a_text_that_a_spreadsheet_has_changed(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "id,text,answer_sha256,score", f"fr,7,{answer_hash('007')},yes")
    assert read_ratings(path, ONE)[0].answer_sha256 == answer_hash("007")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "id,score", "fr,yes", encoding="utf-8-sig")
    assert [rating.id for rating in read_ratings(path, ONE)] == ["fr"]


WRONG = {
    "unknown row": (["id,score", "fr,yes", "fra,no"], "3: id: the data has no row 'fra'"),
    "score": (["id,score", "fr,good"], "2: score: expected yes, no or a number such as 0.5"),
    "not a number": (["id,score", "fr,nan"], "2: score: expected yes, no or a number"),
    "comma": (["id,score", 'fr,"0,5"'], "2: score: expected yes, no or a number"),
    "candidate": (
        ["id,score,candidate", "fr,yes,god"],
        "2: candidate: the config has no candidate 'god' (did you mean 'good'?)",
    ),
    "repeat": (["id,score,repeat", "fr,yes,first"], "2: repeat: expected a whole number from 0"),
    "hash": (["id,score,answer_sha256", "fr,yes,abc"], "2: answer_sha256: "),
    "cells": (["id,score", "fr,yes,no"], "2: 3 cells under 2 columns"),
    "no id": (["row,score", "fr,yes"], "1: no column 'id', only row, score; commas must stand"),
    "no score": (["id;score", "fr;yes"], "1: no column 'id', only id;score; commas must stand"),
    "column twice": (["id,score,score", "fr,yes,yes"], "1: column 'score' is given twice"),
    "nobody": (["id,score", "fr,", "es,"], "1: nobody judged anything: the column score is empty"),
    "judged twice": (
        ["id,score", "fr,yes", "fr,no"],
        "3: judged already on line 2: tell people apart in a column rater",
    ),
    "no answer": (["id,text,score", "fr,,no"], "2: score: there is no answer to judge"),
    "two scales": (["id,score", "fr,yes", "es,4"], "3: score: 4 among yes and no; use one scale"),
}


@pytest.mark.parametrize(("lines", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, lines: list[str], told: str) -> None:
    path = write(tmp_path, *lines)
    assert refusal(path).startswith(f"{path}:{told}")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(write(tmp_path, "id,score", "fra,yes", "es,maybe")).splitlines()
    assert [line.partition(".csv:")[2].partition(":")[0] for line in told] == ["2", "3"]


@pytest.mark.parametrize(
    ("header", "row", "told"),
    [
        ("id,score", "fr,yes", "whose answer was judged? Name the candidate, or add a column text"),
        ("id,score,candidate", "fr,yes,good", "which of its answers was judged? Name the repeat"),
    ],
)
def test_a_score_that_could_be_of_several_answers_is_refused(
    tmp_path: Path, header: str, row: str, told: str
) -> None:
    path = write(tmp_path, header, row)
    assert told in refusal(path, SEVERAL)
    assert len(read_ratings(path, ONE)) == 1


@pytest.mark.parametrize(
    ("header", "row"),
    [("id,text,score", "fr,Paris,yes"), ("id,candidate,repeat,score", "fr,good,0,yes")],
)
def test_a_score_of_one_certain_answer_is_taken(tmp_path: Path, header: str, row: str) -> None:
    assert len(read_ratings(write(tmp_path, header, row), SEVERAL)) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.csv").startswith(f"{tmp_path}/absent.csv: No such file")


def test_white_space_does_not_make_another_answer() -> None:
    assert answer_hash(" a\r\nb\t c") == answer_hash("a b c") != answer_hash("abc")


def test_the_hash_of_a_file_changes_with_its_scores_and_not_with_their_order(
    tmp_path: Path,
) -> None:
    rows = ["fr,yes", "es,no"]
    read = [
        read_ratings(write(tmp_path, "id,score", *lines), ONE)
        for lines in (rows, rows[::-1], ["fr,no", "es,no"])
    ]
    same, turned, other = map(content_hash, read)
    assert same == turned != other
