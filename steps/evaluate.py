"""Answer the questions where that is not done yet, and score the answers: the main job."""

import click

from steps.core.cli import QUESTIONS, step
from steps.core.pipeline import prepare_job, run_job
from steps.core.runner import Cache


def evaluate(config: str, data: str, models: str, limit: str, cache: Cache = "use") -> bool:
    """Score every chosen candidate, one MLflow run each; return whether every one finished."""
    job = prepare_job(config, data or QUESTIONS, models, limit, cache)

    from steps.core import mlflow_views, tracking
    from steps.core.leaderboard import board_of_results
    from steps.core.scoring import scoring_of

    client = tracking.connect()
    params = {"data": job.dataset.name, "models": models}
    with tracking.step_run("evaluate", params) as parent:
        scoring = scoring_of(job.config, job.journal)
        results = run_job(job, client, parent, lambda ready: scoring)
        title = f"Leaderboard on {job.dataset.name}, best {job.config.rank_by} first"
        board = board_of_results(title, results, job.config.rank_by)
        mlflow_views.publish(client, parent, board)
        click.echo(board.text())
    return not any(result.failure for result in results)


@step
@click.option("--cache", type=click.Choice(["use", "refresh", "off"]), default="use")
def main(config: str, data: str, models: str, limit: str, cache: Cache) -> int:
    """Answer and score a dataset with the chosen candidates."""
    return 0 if evaluate(config, data, models, limit, cache) else 1


if __name__ == "__main__":
    main()
