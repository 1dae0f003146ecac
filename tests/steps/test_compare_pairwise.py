"""`compare -P pairwise=true`: asked for in words, refused before it costs, kept with the run."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from mlflow import MlflowClient

from steps.compare import main as compare
from steps.core.judges.canary_rows import PAIRS
from steps.evaluate import main as evaluate
from tests.servers.ollama import MODEL, OllamaServer
from tests.steps.conftest import KNOWLEDGE, ConfigWriter, baseline, invoke
from tests.steps.core.judges.lab import CHAT, Messages, always, said

Compare = Callable[..., Result]
CHECKED = 2 * len(PAIRS)  # calls


def fair(messages: Messages) -> str:
    """Prefers the better answer of a canary, and one that names Paris."""
    data = json.loads(messages[1]["content"])
    better = [pair.better for pair in PAIRS]
    good = [data[p] in better or data[p].startswith("Paris is") for p in ("first", "second")]
    return said("tie" if good[0] == good[1] else "first" if good[0] else "second")


@pytest.fixture
def judge() -> Iterator[OllamaServer]:
    with OllamaServer(answer=fair) as running:
        yield running


@pytest.fixture
def run_compare(
    judge: OllamaServer, write_config: ConfigWriter, questions: Path, tmp_path: Path
) -> Compare:
    """Evaluates a good and a poor candidate without a judge, and compares them with one."""

    def run(config: dict[str, Any] | None = None, **options: object) -> Result:
        candidates = [baseline(name, tmp_path) for name in KNOWLEDGE]
        done = invoke(evaluate, write_config(*candidates), data=questions, trace="none")
        assert done.exit_code == 0, done.output
        named = {"judge": {"model": f"ollama:/{MODEL}", "base_url": judge.url}}
        given = write_config(*candidates, **named | (config or {}))
        return invoke(compare, given, data=questions, baseline="good", **options)

    return run


def test_without_being_asked_no_judge_is(run_compare: Compare, judge: OllamaServer) -> None:
    assert "pairwise" not in run_compare().output
    assert judge.requests == []


def test_preferences_are_told_and_kept_row_by_row(
    client: MlflowClient, experiment: str, run_compare: Compare, judge: OllamaServer, tmp_path: Path
) -> None:
    done = run_compare(pairwise="true")
    assert "Pairwise: position bias" in done.output
    assert "0 / 1 / 1" in done.output
    (run,) = client.search_runs([experiment], "tags.step = 'compare'")
    assert run.data.metrics["judge_calls"] == judge.calls[CHAT] == CHECKED + 2
    path = client.download_artifacts(run.info.run_id, "pairwise.parquet", str(tmp_path))
    rows = {row["id"]: row for row in pq.read_table(path).to_pylist()}
    assert {name: row["outcome"] for name, row in rows.items()} == {"fr": "loss", "es": "tie"}
    assert rows["fr"]["judge"] == MODEL


def test_a_judge_that_goes_by_the_place_is_refused(
    client: MlflowClient, experiment: str, run_compare: Compare, judge: OllamaServer
) -> None:
    judge.answer = always("first")
    done = run_compare(pairwise="true")
    assert done.exit_code == 1
    assert f"the judge ollama:/{MODEL} is not fit to judge:" in done.output
    assert "took the first in both orders" in done.output
    assert judge.calls[CHAT] == CHECKED


@pytest.mark.parametrize(
    ("config", "options", "told"),
    [
        ({"judge": None}, {"pairwise": "true"}, "pairwise: the config has no judge"),
        (
            {"judge": {"model": "ollama:/away:1b", "base_url": "http://127.0.0.1:9"}},
            {"pairwise": "true"},
            "pairwise: a judge cannot be asked: Ollama does not answer",
        ),
        ({}, {"pairwise": "yes"}, "pairwise: 'yes' is neither true nor false"),
        ({}, {"pairwise": "true", "max_cost": "-1"}, "max_cost: '-1' is not a number"),
    ],
)
def test_what_cannot_be_done_is_told_before_a_run_is_made(
    client: MlflowClient,
    experiment: str,
    run_compare: Compare,
    config: dict[str, Any],
    options: dict[str, str],
    told: str,
) -> None:
    done = run_compare(config, **options)
    assert done.exit_code == 1
    assert told in done.output
    assert client.search_runs([experiment], "tags.step = 'compare'") == []
