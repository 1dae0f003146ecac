"""The command line every step shares: the same options, the same kind of error message."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from llm_models.errors import InputError, LabError, scrub
from steps.core.environment import prepare

QUESTIONS, PROMPTS = "questions.jsonl", "prompts.csv"  # the data a step takes by default

COMMON = (
    click.option("--config", default="config.yaml", show_default=True, help="The config file."),
    click.option("--data", default="", help="A file of eval_data, or any path."),
    click.option(
        "--models",
        default="available",
        show_default=True,
        help="available, all, or names of candidates with commas between.",
    ),
    click.option("--limit", default="", help="Only the first so many rows."),
)


def step(function: Callable[..., Any]) -> click.Command:
    """A command with the common options.

    What goes wrong is told in a sentence and exits 1; a value the function returns that is an int
    is the exit code.
    """
    command: Callable[..., Any] = _guarded(function)
    for option in reversed(COMMON):
        command = option(command)
    return click.command(help=function.__doc__)(command)


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(**options: Any) -> None:
        prepare()
        try:
            code = function(**options)
        except LabError as error:
            raise click.ClickException(str(error)) from None
        except Exception as error:
            if type(error).__module__.startswith("mlflow."):  # imported late: see pipeline.py
                raise click.ClickException(f"MLflow: {scrub(str(error))}") from error
            raise
        if isinstance(code, int):
            sys.exit(code)

    return call


@functools.cache
def tell_once(line: str) -> None:
    """Print a line the first time it is told; the steps of `main` would all tell it."""
    click.echo(line)


def row_limit(text: str) -> int | None:
    """The number in `--limit`; empty is no limit. Raises InputError."""
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"limit: '{text}' is not a whole number of at least 1")
    return int(text)
