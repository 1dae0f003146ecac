"""Links open the right page of MLflow's UI, and what is logged beside them is well formed."""

import json
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.core.comparing.leaderboard import Board, Line
from steps.core.comparing.mlflow_views import CHARTS, links, publish, publish_comparison, server_url
from tests.steps.core.compared_models import board_of, compare, model

RUNS = ["aa11", "bb22", "cc33"]


def page_of(url: str) -> tuple[str, dict[str, list[str]]]:
    """(route, query) behind the `#` that MLflow's UI reads."""
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.path, parts.query) == ("http", "mlflow.test", "/", "")
    assert " " not in url
    assert '"' not in url
    route, _, query = parts.fragment.partition("?")
    return route, parse_qs(query, strict_parsing=True) if query else {}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.test/")


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sqlite:////data/mlflow.db", "http://127.0.0.1:5000"),
        ("", "http://127.0.0.1:5000"),
        ("http://mlflow.test:8080/", "http://mlflow.test:8080"),
        ("https://mlflow.test/lab/", "https://mlflow.test/lab"),
        ("https://user:pass@mlflow.test", "https://mlflow.test"),
    ],
)
def test_the_ui_is_where_the_store_is_and_its_password_is_not_told(
    monkeypatch: pytest.MonkeyPatch, uri: str, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert server_url() == address
    assert links("1", RUNS)["Traces"].startswith(f"{address}/#/")


def test_links_compare_the_two_best_and_all(server: None) -> None:
    found = [page_of(url) for url in links("7", RUNS).values()]
    assert found[0] == (
        "/experiments/7/evaluation-runs",
        {"selectedRunUuid": ["aa11"], "compareToRunUuid": ["bb22"]},
    )
    route, query = found[1]
    assert route == "/compare-runs"
    assert json.loads(query["runs"][0]) == RUNS
    assert json.loads(query["experiments"][0]) == ["7"]


@pytest.mark.parametrize("runs", [[], RUNS[:1]])
def test_less_than_two_runs_have_nothing_to_compare(server: None, runs: list[str]) -> None:
    routes = [page_of(url)[0] for url in links("7", runs).values()]
    assert routes == ["/experiments/7/runs", "/experiments/7/traces"]


@pytest.fixture
def told(client: MlflowClient, run: Run) -> dict[str, str]:
    """The links of a board that was logged to a run."""
    lines = [Line(name, "m", name, {"rows": 1}) for name in RUNS]
    return publish(client, run, Board("Board of é", lines))


@pytest.fixture
def run(client: MlflowClient, experiment: str) -> Run:
    return client.create_run(experiment)


def test_the_board_is_logged_with_its_links(
    client: MlflowClient, run: Run, told: dict[str, str], tmp_path: Path
) -> None:
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    markdown = (folder / "leaderboard.md").read_text("utf-8")
    page = (folder / "leaderboard.html").read_text("utf-8")
    for text in (markdown, page):
        assert "Board of é" in text
    assert all(f"]({url})" in markdown for url in told.values())
    assert page.count("<a href=") == len(told) == 4


def test_a_comparison_is_logged_as_page_text_data_and_images(
    client: MlflowClient, run: Run, tmp_path: Path
) -> None:
    hostile = "<b>&\"'"
    models = [model("a", [1, 0]), model(hostile, [1, 1])]
    costs = {"cost_per_1000_answers": 1.0, "avg_inference_time": 2.0}
    board = board_of(models, **dict.fromkeys(("a", hostile), costs))
    told = publish_comparison(client, run, board, compare(models, board=board), models)
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert json.loads((folder / "comparison.json").read_text("utf-8"))["baseline"] == "a"
    for name in ("comparison.html", "comparison.md"):
        text = (folder / name).read_text("utf-8")
        assert all(url in unescape(text) for url in told.values())
    suites = ElementTree.parse(folder / "comparison.junit.xml").getroot()
    assert [suite.get("name") for suite in suites] == [hostile]
    images = sorted(path.stem for path in folder.glob("*.png"))
    assert images == ["differences", "means", "quality_cost_time", "times"]


def test_the_link_to_the_charts_names_the_view_that_is_kept(
    client: MlflowClient, experiment: str, told: dict[str, str]
) -> None:
    query = urlsplit(told["Charts"]).fragment.partition("?")[2]
    key = parse_qs(query)["viewStateShareKey"][0]
    view = json.loads(client.get_experiment(experiment).tags[f"mlflow.sharedViewState.{key}"])
    charts = view["compareRunCharts"]
    assert [chart["displayName"] for chart in charts] == [title for title, _ in CHARTS]
    assert len({chart["uuid"] for chart in charts}) == len(CHARTS)
    sections = {section["uuid"] for section in view["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in charts} == sections
    kinds = {chart["type"]: chart for chart in charts}
    assert kinds["BAR"]["metricKey"]
    assert kinds["SCATTER"]["xaxis"]["key"] == "avg_inference_time"
