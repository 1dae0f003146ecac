"""A leaderboard of the latest evaluation of every chosen candidate on one dataset."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from steps.core.cli import QUESTIONS, row_limit, step
from steps.core.config import choose, load
from steps.core.dataset import load as load_dataset

if TYPE_CHECKING:
    from steps.core.leaderboard import Board


def compare(config: str, data: str, models: str, limit: str) -> "Board":
    """Print the leaderboard, and log it as Markdown and HTML with links to MLflow's own views."""
    settings = load(Path(config))
    dataset = load_dataset(data or QUESTIONS, row_limit(limit))
    names = [candidate.name for candidate in choose(settings, models)]

    from steps.core import mlflow_views, tracking
    from steps.core.leaderboard import board_of_evidence
    from steps.core.registry import require_evidence

    client = tracking.connect()
    with tracking.step_run("compare", {"data": dataset.name, "models": models}) as run:
        evidence = require_evidence(client, run.info.experiment_id, dataset, names, models)
        title = f"Leaderboard on {dataset.name}, best {settings.rank_by} first"
        board = board_of_evidence(title, evidence, settings.rank_by)
        links = mlflow_views.publish(client, run, board)
        click.echo(board.text())
        for name, url in links.items():
            click.echo(f"{name}: {url}")
    return board


@step
def main(config: str, data: str, models: str, limit: str) -> None:
    """Compare the latest evaluations of the chosen candidates."""
    compare(config, data, models, limit)


if __name__ == "__main__":
    main()
