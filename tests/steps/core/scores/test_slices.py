"""Results by tag: each with its n and its own coverage, as a table that MLflow reads unchanged."""

import json
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from steps.core import tracking
from steps.core.scores import slices
from steps.core.scores.scorer_total import ScorerTotal


def scored(rows: int, **scorers: float) -> dict[str, ScorerTotal]:
    totals = {name: ScorerTotal((0.0, 1.0)) for name in scorers}
    for name, value in scorers.items():
        for i in range(rows):
            totals[name].add((f"r{i}", 0), value)
    return totals


def tags(values: list[str], tag: str = "task") -> dict[str, dict[str, str]]:
    return {f"r{i}": {tag: value} for i, value in enumerate(values)}


def test_a_slice_below_the_floor_has_counts_and_no_mean() -> None:
    totals = {"s": ScorerTotal((0.0, 1.0))}
    for i in range(4):
        totals["s"].add((f"r{i}", 0), 1)
    totals["s"].unanswered += [("r4", 0)]
    found = slices.slices("m", totals, tags(["a", "a", "a", "b", "b"]), 0.8)
    told = [(one.value, one.mean, one.n, one.n_attempted, one.coverage) for one in found]
    assert told == [("a", 1.0, 3, 3, 1.0), ("b", None, 1, 2, 0.5)]


def test_repeats_of_a_row_are_one_row_of_its_slice() -> None:
    totals = {"s": ScorerTotal((0.0, 1.0))}
    for place in (("r0", 0), ("r0", 1), ("r1", 0), ("r1", 1)):
        totals["s"].add(place, 1)
    assert [one.n for one in slices.slices("m", totals, tags(["a", "b"]), 0.8)] == [1, 1]


def test_tags_that_divide_nothing_or_name_rows_are_no_slices() -> None:
    rows = slices.MAX_VALUES + 1
    same, own = tags(["a"] * rows), tags([str(i) for i in range(rows)])
    for kinds in (same, own, {}):
        assert slices.slices("m", scored(rows, s=1), kinds, 0.8) == []


def test_only_the_headline_is_logged_as_metrics_and_not_for_a_tag_of_many_values() -> None:
    values = [str(i) for i in range(slices.MAX_CHARTED + 1)]
    many = tags(values)
    both = {row: own | {"language": "en" if row < "r5" else "nl"} for row, own in many.items()}
    found = slices.slices("m", scored(len(values), correctness=1, exact=0), both, 0.8)
    assert len(found) == 2 * (len(values) + 2)
    assert slices.metrics(found, "correctness") == {
        "correctness/mean/language:en": 1.0,
        "correctness/mean/language:nl": 1.0,
    }


def test_mlflow_takes_every_name_and_gives_every_value_back_as_text(
    client: MlflowClient, experiment: str, tmp_path: Path
) -> None:
    values = ["007", "1e5", "2026-01-02", "naïve", "数学", "a/b", "100% @home", "two words"]
    found = slices.slices("m", scored(len(values), s=1), tags(values), 0.8)
    run_id = client.create_run(experiment).info.run_id
    tracking.log_metrics(client, run_id, slices.metrics(found, "s"))
    logged = {name.rpartition(":")[2] for name in client.get_run(run_id).data.metrics}
    assert logged == set(values) - {"a/b", "100% @home"}
    (tmp_path / slices.SLICES).write_text(slices.table(found), "utf-8")
    tracking.log_tables(client, run_id, tmp_path, [slices.SLICES])
    table = mlflow.load_table(slices.SLICES, run_ids=[run_id])
    assert set(table["slice"]) == {f"task={value}" for value in values}
    assert list(table["n"]) == [1] * len(values)


def test_the_table_holds_unknown_as_null() -> None:
    totals = scored(1, s=1) | {"dead": ScorerTotal((0.0, 1.0), failed=[("r0", 0), ("r1", 0)])}
    told = json.loads(slices.table(slices.slices("m", totals, tags(["a", "b"]), 0.8)))
    rows = [dict(zip(told["columns"], row, strict=True)) for row in told["data"]]
    assert [row["mean"] for row in rows] == [1.0, None, None]
