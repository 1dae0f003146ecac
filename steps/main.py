"""All five steps in order, under one run: the only step that knows the others (see ADR 3)."""

import click

from steps.core.cli import QUESTIONS, step
from steps.evaluate import evaluate
from steps.log_models import log_models
from steps.promote import GATE_FAILED, promote
from steps.register import register
from steps.run_prompts import run_prompts


def run_all(config: str, data: str, models: str, limit: str) -> int:
    """Log, answer, score, register and promote; return the exit code."""
    from steps.core import tracking

    tracking.connect()
    data = data or QUESTIONS
    with tracking.step_run("main", {"models": models}):
        log_models(config, data, models, limit)
        answered = run_prompts(config, data, models, limit)
        scored = evaluate(config, data, models, limit)
        register(config, data, models, limit)
        promoted = promote(config, data, models, limit)
    if not (answered and scored):
        return 1
    return 0 if promoted else GATE_FAILED


@step
def main(config: str, data: str, models: str, limit: str) -> int:
    """Run all five steps: log_models, run_prompts, evaluate, register, promote."""
    click.echo("Running log_models, run_prompts, evaluate, register and promote.")
    return run_all(config, data, models, limit)


if __name__ == "__main__":
    main()
