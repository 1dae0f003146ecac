"""How far each model is: one live display on a terminal, quiet lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from steps.core.answering.runner import Answer

Tick = Callable[[Answer], None]
Track = Callable[[str, int], Tick]  # (candidate, rows) -> what to call with each answer
QUIET_S = 10.0  # between two lines of one model where there is no terminal


@contextmanager
def progress() -> Iterator[Track]:
    """Give a `Track`; safe to use from several threads."""
    if not sys.stderr.isatty():
        yield _lines
        return
    from rich import progress as bars  # slow, and only a terminal needs it
    from rich.console import Console

    columns = (
        "{task.description}",
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        "{task.fields[rate]} {task.fields[errors]} errors {task.fields[spent]}",
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as display:

        def track(name: str, total: int) -> Tick:
            task = display.add_task(name, total=total, errors=0, spent="", rate="")
            errors, spent = 0, 0.0

            def tick(answer: Answer) -> None:
                nonlocal errors, spent
                errors += not answer.completion.answered
                spent += 0.0 if answer.reused else answer.completion.cost_usd or 0.0
                cost = f"${spent:.4f}" if spent else ""
                speed = display.tasks[task].speed
                rate = f"{speed:.0f} rows/s" if speed else ""
                display.update(task, advance=1, errors=errors, spent=cost, rate=rate)

            return tick

        yield track


def _lines(name: str, total: int) -> Tick:
    done = errors = 0
    told = time.monotonic()

    def tick(answer: Answer) -> None:
        nonlocal done, errors, told
        done += 1
        errors += not answer.completion.answered
        if done == total or time.monotonic() - told > QUIET_S:
            told = time.monotonic()
            click.echo(f"{name}: {done}/{total} rows, {errors} errors")

    return tick
