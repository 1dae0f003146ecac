"""All five steps in order, under one run: the only step that knows the others (see ADR 3)."""

from dataclasses import replace
from pathlib import Path

import click

from llm_models.errors import InputError
from steps.core.cli import QUESTIONS, Asking, asking_step, people_option, row_limit
from steps.core.config import choose, load
from steps.core.dataset import load as load_dataset
from steps.core.human import load_people
from steps.core.verdict import TAG, Verdict
from steps.evaluate import evaluate
from steps.log_models import log_models
from steps.promote import promote
from steps.register import register
from steps.run_prompts import run_prompts


def run_all(
    config: str, data: str, models: str, limit: str, asking: Asking, *, human: str = ""
) -> Verdict | int | None:
    """Log, answer, score, register and promote; return the verdict, or 1 for runs that failed."""
    if asking.cache == "off":
        raise InputError("cache: 'off' would pay for every row twice here; take 'refresh'")
    reading = replace(asking, cache="use", retry_errors=False)

    data = data or QUESTIONS
    choose(load(Path(config)), models)  # what is mistyped is told before a run is made
    load_dataset(data, row_limit(limit))
    load_people(human, config, data, models, asking.repeats)

    from steps.core import tracking

    client = tracking.connect()
    with tracking.step_run("main", {"models": models}) as run:
        log_models(config, data, models, limit)
        answered = run_prompts(config, data, models, limit, asking)
        scored = evaluate(config, data, models, limit, reading, human=human)
        register(config, data, models, limit)
        verdict = promote(config, data, models, limit)
        tracking.set_tags(client, run.info.run_id, {TAG: verdict})
    return verdict if answered and scored else 1


@asking_step
@people_option
def main(
    config: str, data: str, models: str, limit: str, *, asking: Asking, human: str
) -> Verdict | int | None:
    """Run all five steps: log_models, run_prompts, evaluate, register, promote."""
    click.echo("Running log_models, run_prompts, evaluate, register and promote.")
    return run_all(config, data, models, limit, asking, human=human)


if __name__ == "__main__":
    main()
