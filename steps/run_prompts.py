"""Answer a file of prompts with every chosen candidate."""

import click

from steps.core.cli import PROMPTS, step
from steps.core.pipeline import prepare_job, run_job
from steps.core.runner import Cache


def run_prompts(config: str, data: str, models: str, limit: str, cache: Cache = "use") -> bool:
    """Answer the prompts, one MLflow run per model; return whether every model finished."""
    job = prepare_job(config, data or PROMPTS, models, limit, cache)

    from steps.core import tracking
    from steps.core.evaluation import Scoring
    from steps.core.leaderboard import board_of_results

    client = tracking.connect()
    params = {"data": job.dataset.name, "models": models}
    with tracking.step_run("run_prompts", params) as parent:
        results = run_job(job, client, parent, lambda ready: Scoring())
        title = f"Answers to {job.dataset.name}, fastest first"
        click.echo(board_of_results(title, results, "avg_inference_time", lowest=True).text())
    return not any(result.failure for result in results)


@step
@click.option("--cache", type=click.Choice(["use", "refresh", "off"]), default="use")
def main(config: str, data: str, models: str, limit: str, cache: Cache) -> int:
    """Answer a file of prompts with the chosen candidates."""
    return 0 if run_prompts(config, data, models, limit, cache) else 1


if __name__ == "__main__":
    main()
