"""What MLflow's UI shows of a comparison: the board as artifacts, charts, links to its pages."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from mlflow import MlflowClient
from mlflow.entities import Run

from steps.core.comparing import comparison_files
from steps.core.comparing.comparison import Comparison
from steps.core.comparing.leaderboard import Board
from steps.core.predictions import Predictions

VIEW = "llmflowlab"
CHARTS: tuple[tuple[str, str | tuple[str, str]], ...] = (  # (title, metric or pair of metrics)
    ("Contains facts", "contains_facts/mean"),
    ("People", "human/mean"),
    ("Correctness (judge)", "correctness/mean"),
    ("Average inference time (s)", "avg_inference_time"),
    ("Total tokens", "total_tokens"),
    ("Total cost estimate (USD)", "total_cost_estimate"),
    ("Error rate", "error_rate"),
    ("Quality against time", ("avg_inference_time", "contains_facts/mean")),
)
_SECTION = "llmflowlab-section"


def server_url() -> str:
    """Where the UI is: a tracking server's address, else where `mlflow ui` serves by default."""
    parts = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if not parts.scheme.startswith("http"):
        return "http://127.0.0.1:5000"
    host = parts.netloc.rpartition("@")[2]  # without user and password
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def links(experiment_id: str, run_ids: list[str]) -> dict[str, str]:
    """Addresses of MLflow's pages that compare these runs; the best is first."""
    base = f"{server_url()}/#"
    told: dict[str, str] = {}
    if len(run_ids) > 1:
        pair = f"selectedRunUuid={run_ids[0]}&compareToRunUuid={run_ids[1]}"
        page = f"{base}/experiments/{experiment_id}/evaluation-runs"
        told["Answers of the two best, side by side"] = f"{page}?{pair}"
        runs, experiments = quote(json.dumps(run_ids)), quote(json.dumps([experiment_id]))
        told["Parameters and metrics of all"] = (
            f"{base}/compare-runs?runs={runs}&experiments={experiments}"
        )
    charts = f"viewStateShareKey={VIEW}&compareRunsMode=CHART"
    told["Charts"] = f"{base}/experiments/{experiment_id}/runs?{charts}"
    told["Traces"] = f"{base}/experiments/{experiment_id}/traces"
    return told


def publish(client: MlflowClient, run: Run, board: Board) -> dict[str, str]:
    """Log the board to a run as Markdown and HTML, set up the charts; return the links."""
    run_id, experiment_id = run.info.run_id, run.info.experiment_id
    told = links(experiment_id, [line.run_id for line in board.lines])
    client.log_text(run_id, board.markdown(told), "leaderboard.md")
    client.log_text(run_id, board.html(told), "leaderboard.html")
    preset_charts(client, experiment_id)
    return told


def publish_comparison(
    client: MlflowClient,
    run: Run,
    board: Board,
    comparison: Comparison,
    models: Sequence[Predictions],
    *,
    output: Path | None = None,
) -> dict[str, str]:
    """Log a comparison to a run, as files that also go to the folder `output`; return the links."""
    run_id, experiment_id = run.info.run_id, run.info.experiment_id
    told = links(experiment_id, [line.run_id for line in board.lines])
    with tempfile.TemporaryDirectory() as name:
        comparison_files.write(Path(name), comparison, board, models, told)
        client.log_artifacts(run_id, name)
        if output:
            shutil.copytree(name, output, dirs_exist_ok=True)
    preset_charts(client, experiment_id)
    return told


def preset_charts(client: MlflowClient, experiment_id: str) -> None:
    """Keep one view of charts on the experiment, for everyone who opens its link."""
    state = {
        # Sorted by time, the page would fold child runs into their parents and draw none.
        "orderByKey": "metrics.`contains_facts/mean`",
        "orderByAsc": False,
        "searchFilter": "tags.kind = 'evaluation'",
        "compareRunCharts": [_chart(i, *chart) for i, chart in enumerate(CHARTS)],
        "compareRunSections": [
            {
                "uuid": _SECTION,
                "name": "Quality, time and cost",
                "display": True,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
            }
        ],
        "isAccordionReordered": True,  # else MLflow sorts its own sections before ours
        "selectedColumns": ["attributes.`Source`"],
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": False,
        "globalLineChartConfig": {},
    }
    client.set_experiment_tag(experiment_id, f"mlflow.sharedViewState.{VIEW}", json.dumps(state))


def _chart(number: int, title: str, metric: str | tuple[str, str]) -> dict[str, object]:
    chart: dict[str, object] = {
        "uuid": f"llmflowlab-{number}",
        "runsCountToCompare": 10,
        "deleted": False,
        "isGenerated": False,
        "metricSectionId": _SECTION,
        "displayName": title,
    }
    if isinstance(metric, str):
        return chart | {"type": "BAR", "metricKey": metric}
    across, up = ({"key": key, "type": "METRIC"} for key in metric)
    return chart | {"type": "SCATTER", "xaxis": across, "yaxis": up}
