"""Which model is better, and whether the difference is real: the latest evaluation of each."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from steps.core.cli import QUESTIONS, row_limit, step
from steps.core.config import choose, load
from steps.core.dataset import load as load_dataset

if TYPE_CHECKING:
    from steps.core.comparison import Comparison


def compare(config: str, data: str, models: str, limit: str, baseline: str) -> "Comparison":
    """Print and log the leaderboard and every model against the baseline, paired by row.

    `baseline` names a candidate; empty is the best by rank_by.
    """
    settings = load(Path(config))
    dataset = load_dataset(data or QUESTIONS, row_limit(limit))
    names = [candidate.name for candidate in choose(settings, models)]
    if baseline:
        choose(settings, baseline)  # what is mistyped is told before a run is made

    from steps.core import comparable, comparison_text, mlflow_views, predictions, tracking
    from steps.core.comparison import compared
    from steps.core.leaderboard import board_of_evidence
    from steps.core.registry import require_evidence

    client = tracking.connect()
    params = {"data": dataset.name, "models": models, "baseline": baseline}
    with tracking.step_run("compare", params) as run:
        where, floor = (client, run.info.experiment_id), settings.min_coverage
        evidence = require_evidence(*where, dataset, names, models, min_coverage=floor)
        comparable.refuse_unlike(evidence)
        title = f"Leaderboard on {dataset.name}, best {settings.rank_by} first"
        board = board_of_evidence(title, evidence, settings.rank_by)
        tables = [predictions.read(client, one) for one in evidence]
        comparison = compared(dataset, board, tables, settings.rank_by, baseline)
        links = mlflow_views.publish_comparison(client, run, board, comparison, tables)
        click.echo(comparison_text.text(comparison, board))
        for name, url in links.items():
            click.echo(f"{name}: {url}")
    return comparison


@step
@click.option("--baseline", default="", help="What all are compared with; default: the best.")
def main(config: str, data: str, models: str, limit: str, baseline: str) -> None:
    """Compare the latest evaluations of the chosen candidates."""
    compare(config, data, models, limit, baseline)


if __name__ == "__main__":
    main()
