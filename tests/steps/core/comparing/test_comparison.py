"""A verdict comes from rows that both sides answered, is corrected, and says what it would take."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from llm_models.errors import InputError
from steps.core import predictions
from steps.core.comparing import comparison, comparison_text, report
from steps.core.comparing.comparable import refuse_unlike
from steps.core.comparing.comparison import Comparison
from steps.core.comparing.frontier import chart
from steps.core.comparing.leaderboard import Board, Line
from steps.core.predictions import Predictions
from steps.core.registry import Evidence
from tests.steps.conftest import CopyRun
from tests.steps.core.compared_models import (
    ABSTAINED,
    board_of,
    compare,
    line,
    model,
    row,
    tagged,
)

HOSTILE = "</pre></details><script>alert(1)</script> @everyone [a](http://x.test) \0 ```"


def verdicts(found: Comparison) -> dict[str, str]:
    return {one.candidate: one.verdict for one in found.differences}


@pytest.mark.parametrize("tag", ["dataset_sha256", "judge_hash", "scorers_hash"])
def test_runs_that_did_not_measure_the_same_are_refused_by_name(
    copy_run: CopyRun, tag: str
) -> None:
    runs = [Evidence(copy_run("good")), Evidence(copy_run("poor", {tag: "0" * 64}))]
    what = {"dataset_sha256": "dataset", "judge_hash": "judge", "scorers_hash": "scorers"}[tag]
    with pytest.raises(InputError, match=rf"the {what}|of the {what}") as refused:
        refuse_unlike(runs)
    for one in runs:
        assert f"{one.candidate} (run {one.run.info.run_id[:8]})" in str(refused.value)


def test_one_model_at_two_prices_is_refused(copy_run: CopyRun) -> None:
    runs = [Evidence(copy_run("good")), Evidence(copy_run("poor", {"price_hash": "0" * 64}))]
    with pytest.raises(InputError, match="the price of baseline/bm25"):
        refuse_unlike(runs)


def test_models_with_prices_of_their_own_are_compared(
    client: MlflowClient, copy_run: CopyRun, experiment: str
) -> None:
    tags = dict(copy_run("poor").data.tags) | {"price_hash": "0" * 64}
    kept = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
    other = client.create_run(experiment, tags=kept).info.run_id
    for name, value in {"supplier": "ollama", "model_name": "llama3.1:8b"}.items():
        client.log_param(other, name, value)
    refuse_unlike([Evidence(copy_run("good")), Evidence(client.get_run(other))])


def test_the_stored_table_is_read_back_with_its_scores(
    client: MlflowClient, originals: Mapping[str, Run]
) -> None:
    found = predictions.read(client, Evidence(originals["poor"]))
    answers = {key: (one.status, one.scores["contains_facts"]) for key, one in found.rows.items()}
    assert answers == {("fr", 0): ("ok", 0.0), ("es", 0): ("ok", 1.0)}
    assert found.rows["fr", 0].rationales["contains_facts"] == "missing: Paris"


def test_a_run_without_its_table_is_named(client: MlflowClient, copy_run: CopyRun) -> None:
    evidence = Evidence(copy_run("good"))
    with pytest.raises(
        InputError, match=f"good: predictions.parquet of run {evidence.run.info.run_id}"
    ):
        predictions.read(client, evidence)


def test_the_best_is_the_baseline_unless_another_is_named() -> None:
    models = [model("good", [1, 1]), model("poor", [0, 1])]
    assert compare(models).baseline == "good"
    assert not compare(models).named
    assert compare(models, "poor").baseline == "poor"
    with pytest.raises(
        InputError, match="baseline: 'por' is not compared here; choose from good, poor"
    ):
        compare(models, "por")


def test_a_clear_loss_is_told_and_a_draw_is_not_a_verdict() -> None:
    models = [
        model("base", [1] * 40 + [0] * 10),
        model("bad", [0] * 30 + [1] * 10 + [0] * 10),
        model("alike", [1] * 39 + [0] * 10 + [1]),
    ]
    assert verdicts(compare(models)) == {"bad": "worse", "alike": "no difference shown"}
    assert verdicts(compare(models, "bad")) == {"base": "better", "alike": "better"}


def test_without_enough_evidence_it_says_how_many_rows_it_would_take() -> None:
    (one,) = compare([model("a", [1] * 30), model("b", [1] * 27 + [0] * 3)]).differences
    assert one.verdict == "no difference shown"
    assert re.fullmatch(r"no difference shown; about \d+ rows would be needed", one.words)
    assert one.paired is not None
    assert int(re.findall(r"\d+", one.words)[0]) > one.paired.n


def test_few_rows_give_no_verdict_however_they_end() -> None:
    (one,) = compare([model("a", [1] * 5), model("b", [0] * 5)]).differences
    assert one.words == "not enough rows: 5 scored for both"


def test_rows_without_a_score_of_both_sides_are_left_out_by_reason() -> None:
    base = model("base", [1, 1, None, 1, 1, 0, None])
    other = model("other", [0, None, 1, "broke", ABSTAINED, 0, None])
    (one,) = compare([base, other]).differences
    assert one.left_out == {"unanswered": 3, "scorer failed": 1, "abstained": 1}
    assert one.paired is not None
    assert (one.paired.n, one.paired.losses, one.paired.ties) == (2, 1, 1)


def floored(*models: Predictions) -> Comparison:
    """The models compared where means need a coverage of 0.8."""
    lines = [replace(line, min_coverage=0.8) for line in board_of(models).lines]
    return compare(models, board=Board("Leaderboard", lines))


def test_a_model_below_the_floor_gets_no_verdict_and_is_no_part_of_the_correction() -> None:
    full = model("a", [1] * 40)
    beaten = model("b", [0] * 40)
    thin = model("thin", [0] * 20 + ["broke"] * 20)
    told = {one.candidate: one for one in floored(full, beaten, thin).differences}
    assert told["thin"].words == "thin: coverage 0.50 < 0.8"
    assert (told["thin"].verdict, told["thin"].paired) == ("not enough coverage", None)
    alone = floored(full, beaten).differences[0]
    assert told["b"].p_adjusted == alone.p_adjusted


def test_two_models_that_lack_different_rows_are_not_compared_on_the_few_they_share() -> None:
    gaps = [None] * 15, [1] * 70, [0] * 15
    a, b = model("a", [*gaps[0], *gaps[1], *gaps[2]]), model("b", [*gaps[2], *gaps[1], *gaps[0]])
    (one,) = floored(a, b).differences
    assert one.words == "of both: coverage 0.70 < 0.8"


def test_abstentions_and_other_repeats_are_not_missing() -> None:
    a = model("a", [ABSTAINED] * 30 + [1] * 20)
    b = model("b", [1] * 50 + [None])
    (one,) = floored(a, b).differences
    assert one.paired is not None
    assert one.paired.n == 20


def test_a_dead_scorer_is_named_and_not_passed_over() -> None:
    (one,) = floored(model("a", [1] * 9), model("b", ["broke"] * 9)).differences
    assert one.words == "b: coverage 0.00 < 0.8"


def test_a_slice_has_a_floor_of_its_own() -> None:
    tags = [tagged(language="en")] * 9 + [tagged(language="nl")] * 2
    rows = [row(score, tags=tag) for score, tag in zip([1] * 10 + [None], tags, strict=True)]
    found = {one.value: one.mean for one in floored(model("a", rows)).slices}
    assert found == {"en": 1.0, "nl": None}


def test_a_failed_row_has_no_score_whatever_the_table_holds() -> None:
    failed = row(None) | {"correctness": 1.0}
    assert compare([model("a", [1]), model("b", [failed])]).differences[0].paired is None


def test_a_baseline_chosen_by_its_score_is_corrected_over_all_pairs() -> None:
    models = [model("a", [1] * 40), model("b", [1] * 32 + [0] * 8), model("c", [1] * 40)]
    chosen, named = compare(models), compare(models, "a")
    raw = {one.candidate: one.paired.p_value for one in named.differences if one.paired}
    adjusted = {
        told: {one.candidate: one.p_adjusted for one in told_by.differences}
        for told, told_by in {"chosen": chosen, "named": named}.items()
    }
    assert adjusted["named"]["b"] == pytest.approx(2 * raw["b"])
    assert adjusted["chosen"]["b"] == pytest.approx(3 * raw["b"])
    assert {one.baseline for one in chosen.differences} == {"a"}


def test_repeats_of_a_row_are_one_row() -> None:
    a, b = model("a", [1] * 60, repeats=3), model("b", [0, 0, 0] + [1] * 57, repeats=3)
    (one,) = compare([a, b]).differences
    assert one.paired is not None
    assert (one.paired.n, one.paired.losses) == (20, 1)


def test_flips_name_what_was_lost_first_and_hold_both_answers() -> None:
    models = [model("a", [0, 1, 1]), model("b", [1, 0, 1])]
    lost, won = compare(models).flips
    assert (lost.turn, lost.id, won.turn, won.id) == (
        "right → wrong",
        "row-0001",
        "wrong → right",
        "row-0000",
    )
    assert (lost.baseline_answer, lost.answer) == ("answer 1", "answer 0")


def test_scores_between_right_and_wrong_do_not_flip() -> None:
    assert compare([model("a", [0.5, 1]), model("b", [1, 0])]).flips == []


def test_slices_have_their_own_means_and_count_only_scored_rows() -> None:
    tags = [tagged(language="en"), tagged(language="en"), tagged(language="nl")]
    rows = [row(score, tags=tag) for score, tag in zip([1, None, 0], tags, strict=True)]
    found = {(one.value, one.mean, one.n) for one in compare([model("a", rows)]).slices}
    assert found == {("en", 1.0, 1), ("nl", 0.0, 1)}


def test_a_tag_of_any_length_is_one_short_line_of_a_table() -> None:
    tags = [tagged(kind="x" * 300), tagged(kind="two\nlines \x1b[31m")]
    models = [model("a", [row(1, tags=tag) for tag in tags])]
    shown = comparison_text.text(compare(models), board_of(models))
    assert "│ kind: two lines ␛[31m " in shown
    assert max(map(len, shown.splitlines())) < 150


def test_a_tag_that_names_rows_is_no_slice() -> None:
    rows = [row(1, tags=tagged(number=str(i))) for i in range(31)]
    assert compare([model("a", rows)]).slices == []


def test_one_model_alone_has_nothing_to_be_compared_with() -> None:
    alone = [model("a", [1, 0])]
    found, board = compare(alone), board_of(alone)
    shown = (
        comparison_text.text(found, board),
        comparison_text.markdown(found, board, {}),
        report.html(found, board, alone, {}),
    )
    assert all("nothing to compare" in told for told in shown)


def test_json_holds_the_verdicts_and_is_plain() -> None:
    told = json.loads(compare([model("a", [1] * 9), model("b", [0] * 9)]).json())
    (one,) = told["differences"]
    assert (one["verdict"], one["paired"]["losses"]) == ("worse", 9)
    assert [flip["turn"] for flip in told["flips"]] == ["right → wrong"] * 9


def test_the_terminal_tells_verdict_and_number_of_flips() -> None:
    models = [model("a", [1] * 9), model("b", [0] * 9)]
    told = comparison_text.text(compare(models), board_of(models))
    assert re.search(r"correctness .* b .* -1\.00 .* 0 / 0 / 9 .* worse", told)
    assert "Flips by correctness: 9 right → wrong, 0 wrong → right." in told


def test_markdown_fits_a_comment_and_folds_the_first_flips() -> None:
    huge = "<&>" * 100_000
    rows = [row(0, text=huge, prompt=huge) for _ in range(50)]
    models = [model("a", [1] * 50), *(model(f"m{i}", rows) for i in range(12))]
    told = comparison_text.markdown(compare(models), board_of(models), {})
    assert len(told) < 65_536
    assert "20 of 600 flips, right → wrong first" in told
    assert told.count("<pre") == told.count("</pre>") == 20
    assert told.count("<details>") == told.count("</details>") == 1


def test_markdown_folds_fewer_flips_where_they_would_not_fit() -> None:
    quotes = '"' * 10_000  # six characters each in a page
    rows = [[row(score, text=quotes, prompt=quotes) for _ in range(30)] for score in (1, 0)]
    models = [model("a", rows[0]), model("b", rows[1])]
    told = comparison_text.markdown(compare(models), board_of(models), {})
    assert 45_000 > len(told) > 30_000
    assert re.search(r"<summary>\d of 30 flips", told)


def test_markdown_keeps_hostile_answers_inside_their_quote() -> None:
    models = [model("a", [1]), model("b", [row(0, text=HOSTILE, prompt=HOSTILE)])]
    told = comparison_text.markdown(compare(models), board_of(models), {})
    assert told.count("</pre>") == told.count("<pre") == 1
    inside = told.partition("<pre")[2].partition("</pre>")[0]
    outside = told.replace(inside, "")
    assert "<script" not in told
    assert "\0" not in told
    assert "@everyone" in inside
    assert "@everyone" not in outside


def test_the_pages_data_cannot_end_its_script() -> None:
    models = [model("a", [1]), model("b", [row(0, text="</script><!--<script>")])]
    page = report.html(compare(models), board_of(models), models, {})
    embedded = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert json.loads(embedded[0]) == report.page_data(compare(models), models)
    assert "<" not in embedded[0]


def test_the_page_names_neither_a_host_nor_a_file() -> None:
    models = [model("a", [1]), model("b", [0])]
    board = board_of(models, a={"avg_inference_time": 1.0})
    page = report.html(compare(models, board=board), board, models, {})
    assert page.count("<svg") == 1
    named = page.replace("http://www.w3.org/2000/svg", "")  # a name, and no address
    assert not re.search(r"https?://|src=|url\(|@import", named)


def test_the_frontier_holds_who_is_beaten_by_none() -> None:
    told = {"cheap": (0.5, 1.0), "good": (0.9, 3.0), "beaten": (0.4, 2.0)}
    lines = [
        Line(name, "m", name, {"correctness/mean": quality, "cost": cost})
        for name, (quality, cost) in told.items()
    ]
    lines.append(Line("free?", "m", "r", {"correctness/mean": 0.7}))
    found = chart("t", lines, ("cost", "USD"), ("correctness/mean", "correctness"))
    assert [(p.name, p.best) for p in found.points] == [
        ("cheap", True),
        ("beaten", False),
        ("good", True),
    ]
    assert found.missing == ["free?"]


def test_coverage_stands_beside_a_mean_that_is_not_of_all_rows() -> None:
    one = model("a", [1, 1, None])
    board = board_of([one], a={"correctness/coverage": 2 / 3})
    assert "1.00, 67% scored" in board.text()
    assert "scored" not in board_of([one], a={"correctness/coverage": 1.0}).text()
    assert line(one).metrics["correctness/mean"] == 1


def test_where_not_all_rows_fit_the_page_keeps_those_that_flipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = [model("a", [1] * 5), model("b", [1, 1, 0, 1, 0])]
    monkeypatch.setattr(report, "MAX_PAGE", 3 * (3 * report.AROUND + 20))
    told = report.page_data(compare(models), models)
    assert [one["id"] for one in told["rows"]] == ["row-0000", "row-0002", "row-0004"]
    assert told["leftOut"] == 2


def test_json_holds_the_first_flips_and_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MAX_FLIPS", 2)
    told = json.loads(compare([model("a", [0, 1, 1]), model("b", [1, 0, 0])]).json())
    assert [flip["turn"] for flip in told["flips"]] == ["right → wrong"] * 2
    assert told["flips_left_out"] == 1
    assert (told["differences"][0]["lost"], told["differences"][0]["won"]) == (2, 1)
