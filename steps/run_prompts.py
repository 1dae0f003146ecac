"""Answer a file of prompts with every chosen candidate."""

import click

from steps.core.cli import PROMPTS, Asking, asking_step
from steps.core.pipeline import asking_job, run_job


def run_prompts(config: str, data: str, models: str, limit: str, asking: Asking) -> bool:
    """Answer the prompts, one MLflow run per model; return whether every model finished."""
    with asking_job(config, data or PROMPTS, models, limit, asking) as job:
        from steps.core import tracking
        from steps.core.comparing.leaderboard import board_of_results
        from steps.core.evaluation import Scoring

        client = tracking.connect()
        params = {"data": job.dataset.name, "models": models}
        with tracking.step_run("run_prompts", params) as parent:
            results = run_job(job, client, parent, lambda ready: Scoring())
            title = f"Answers to {job.dataset.name}, fastest first"
            board = board_of_results(title, results, "avg_inference_time", lowest=True)
            click.echo(board.text())
    return not any(result.failure for result in results)


@asking_step
def main(config: str, data: str, models: str, limit: str, asking: Asking) -> int:
    """Answer a file of prompts with the chosen candidates."""
    return 0 if run_prompts(config, data, models, limit, asking) else 1


if __name__ == "__main__":
    main()
