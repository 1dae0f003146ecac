"""Answer the questions where that is not done yet, and score the answers: the main job."""

import click

from steps.core.cli import QUESTIONS, Asking, asking_step, people_option
from steps.core.human import load_people
from steps.core.pipeline import asking_job, run_job


def evaluate(
    config: str, data: str, models: str, limit: str, asking: Asking, *, human: str = ""
) -> bool:
    """Score every chosen candidate, one MLflow run each; return whether every one finished.

    `human` is a CSV of scores that people gave: see steps/core/human_file.py.
    """
    people = load_people(human, config, data or QUESTIONS, models, asking.repeats)
    with asking_job(config, data or QUESTIONS, models, limit, asking, judged=True) as job:
        from steps.core import tracking
        from steps.core.comparing import mlflow_views
        from steps.core.comparing.leaderboard import board_of_results
        from steps.core.human_agreement import file_metrics
        from steps.core.scoring import scoring_of, with_people

        client = tracking.connect()
        params = {"data": job.dataset.name, "models": models}
        with tracking.step_run("evaluate", params) as parent:
            scoring = scoring_of(job.config, job.judging)
            results = run_job(
                job, client, parent, lambda one: with_people(scoring, people, one.candidate.name)
            )
            if people:
                asked_of = [run.ready.candidate.name for run in job.runs]
                click.echo(people.told(asked_of, {row.id for row in job.dataset.rows}))
                tracking.log_metrics(client, parent.info.run_id, file_metrics(people))
            if job.judging:
                tracking.log_metrics(client, parent.info.run_id, job.judging.spent())
            title = f"Leaderboard on {job.dataset.name}, best {job.config.rank_by} first"
            board = board_of_results(title, results, job.config.rank_by)
            links = mlflow_views.publish(client, parent, board)
            click.echo(board.text())
            for name, url in links.items():
                click.echo(f"{name}: {url}")
    return not any(result.failure for result in results)


@asking_step
@people_option
def main(config: str, data: str, models: str, limit: str, *, asking: Asking, human: str) -> int:
    """Answer and score a dataset with the chosen candidates."""
    return 0 if evaluate(config, data, models, limit, asking, human=human) else 1


if __name__ == "__main__":
    main()
