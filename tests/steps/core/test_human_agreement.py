"""Judges are held against people on the answers both have judged, with chance removed."""

import pytest

from steps.core.human import People
from steps.core.human_agreement import HumanAgreement, file_metrics, human_agreement
from steps.core.scores.scorer_total import ScorerTotal
from tests.steps.core.human_scores import answer, rating


def total(*scores: float | None, bounds: tuple[float, float] | None = (0.0, 1.0)) -> ScorerTotal:
    made = ScorerTotal(bounds)
    for i, score in enumerate(scores):
        if score is not None:
            made.add((f"r{i}", 0), score)
    return made


def one(found: list[HumanAgreement]) -> HumanAgreement:
    (told,) = found
    return told


def test_agreement_is_over_the_answers_both_have_judged() -> None:
    judge, people = total(1, 1, 0, 0, 1, None), total(1, 0, 0, 0, None, 1)
    told = one(human_agreement([{"judge": judge, "human": people}]))
    assert (told.scorer, told.n, told.share.mean) == ("judge", 4, 0.75)
    assert told.kappa == pytest.approx(0.5)  # by chance half would agree
    assert told.alpha == pytest.approx(1 - 7 * 2 / (2 * 3 * 5))  # Krippendorff's two-value form
    assert told.metrics()["judge/human_alpha"] == told.alpha
    assert told.metrics()["judge/human_n"] == 4


def test_all_models_count_together() -> None:
    each = [{"judge": total(1, 0), "human": total(1, 0)}] * 2
    assert one(human_agreement(each)).n == 4


def test_repeats_of_a_row_do_not_narrow_the_interval_as_rows_would() -> None:
    agrees = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    rows = {"judge": total(*agrees), "human": total(1, 1, 0, 0, 1, 1)}
    repeats = {name: ScorerTotal((0.0, 1.0)) for name in rows}
    for name, made in repeats.items():
        for repeat in range(4):
            for place, value in zip(rows[name].scored, rows[name].values, strict=True):
                made.add((place[0], repeat), value)
    few, many = one(human_agreement([rows])).share, one(human_agreement([repeats])).share
    assert few.n_clusters == many.n_clusters == 6
    assert few.low is not None
    assert many.low is not None
    assert many.low < few.low + 0.05


def test_the_majority_of_people_counts_and_a_tie_does_not() -> None:
    judge, people = total(1, 0, 1), total(2 / 3, 1 / 3, 0.5)
    told = one(human_agreement([{"judge": judge, "human": people}]))
    assert (told.n, told.share.mean) == (2, 1.0)


@pytest.mark.parametrize(
    "totals",
    [
        {"judge": total(1, 0)},
        {"overlap": total(0.5, 0.1), "human": total(1, 0)},
        {"judge": total(1, 0), "human": total(4, 5, bounds=None)},
        {"judge": total(1, None), "human": total(None, 1)},
    ],
    ids=["no people", "no yes or no", "people on another scale", "nothing in common"],
)
def test_where_labels_cannot_be_compared_nothing_is_told(totals: dict[str, ScorerTotal]) -> None:
    assert human_agreement([totals]) == []


def test_a_file_tells_how_far_people_agree_among_themselves() -> None:
    said = {"a": (True, True), "b": (False, False), "c": (True, False)}
    people = People(
        [
            rating(score, text=text, rater=rater)
            for text, scores in said.items()
            for rater, score in zip(("ann", "ben"), scores, strict=True)
        ]
    )
    people.score("good", answer("a"))
    told = file_metrics(people)
    assert (told["human_scores"], told["human_scores_left_out"]) == (6, 4)
    assert told["human_raters_alpha"] == pytest.approx(1 - 5 * 2 / (2 * 3 * 3))
    assert file_metrics(People([rating()]))["human_raters_alpha"] is None
