"""The command line every step shares: the same options, the same kind of error message."""

import functools
import io
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import click

from llm_models.errors import InputError, LabError, scrub
from steps.core.environment import prepare
from steps.core.harmless import harmless
from steps.core.verdict import Verdict

QUESTIONS, PROMPTS = "questions.jsonl", "prompts.csv"  # the data a step takes by default
INTERRUPTED = 130  # the exit code, as shells have it
STORE = ("mlflow.", "sqlalchemy.")  # whose errors are told by module: both are imported late
Trace = Literal["auto", "all", "errors", "sample", "none"]
Cache = Literal["use", "refresh", "off"]

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
ASKING = (
    click.option(
        "--cache",
        type=click.Choice(get_args(Cache)),
        default="use",
        show_default=True,
        help="Read answers back, ask all again, or leave the journal alone.",
    ),
    click.option("--retry_errors", default="false", help="true: ask every failed row again."),
    click.option("--repeats", default="1", help="How often each row is asked."),
    click.option("--max_cost", default="", help="USD; stops before it is crossed."),
    click.option(
        "--trace",
        type=click.Choice(get_args(Trace)),
        default="auto",
        show_default=True,
        help="Which rows get an MLflow trace; auto: all of a small run, a sample of a large one.",
    ),
)
people_option = click.option(
    "--human", default="", help="A CSV of scores that people gave: id, score, text, candidate, …"
)


@dataclass(frozen=True)
class Asking:
    """How the rows are asked, and which of them are traced."""

    cache: Cache = "use"
    retry_errors: bool = False
    repeats: int = 1
    max_cost: float | None = None
    trace: Trace = "auto"

    @classmethod
    def parse(
        cls, cache: Cache, retry_errors: str, repeats: str, max_cost: str, trace: Trace
    ) -> "Asking":
        """From what MLproject hands over: texts, empty where not given. Raises InputError."""
        again = true_or_false("retry_errors", retry_errors)
        times = whole_number("repeats", repeats) or 1
        return cls(cache, again, times, positive("max_cost", max_cost, " of USD"), trace)


def step(function: Callable[..., Any]) -> click.Command:
    """A command with the common options.

    What goes wrong is told in a sentence and exits 1; a verdict that the function returns is the
    last line and the exit code, and an int is the exit code.
    """
    return _command(function, _with(COMMON, _guarded(function)))


def asking_step(function: Callable[..., Any]) -> click.Command:
    """A step that asks models: its options arrive as one `asking`."""

    @functools.wraps(function)
    def call(**options: Any) -> Any:
        own = {field.name: options.pop(field.name) for field in fields(Asking)}
        return function(**options, asking=Asking.parse(**own))

    return _command(function, _with((*COMMON, *ASKING), _guarded(call)))


class _MistypedError(click.UsageError):
    exit_code = 1  # click's own 2 would be the verdict of a gate


class _Command(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _MistypedError(error.format_message(), ctx) from error


def _command(function: Callable[..., Any], call: Callable[..., Any]) -> click.Command:
    return click.command(cls=_Command, help=function.__doc__)(call)


def _with(options: tuple[Any, ...], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(**options: Any) -> None:
        prepare()
        if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal of another encoding than UTF-8
            sys.stdout.reconfigure(errors="replace")  # lacks the lines of tables: not worth a crash
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            code = function(**options)
        except LabError as error:
            raise click.ClickException(harmless(str(error))) from None
        except BrokenPipeError:
            raise  # the reader of our output has gone: click ends quietly
        except OSError as error:  # a full disk, a store that is read-only
            raise click.ClickException(
                f"{scrub(str(error))}. What was answered is kept: mend that and run it again."
            ) from error
        except KeyboardInterrupt:
            click.echo(f"\nInterrupted. Everything answered is kept; go on with:\n  {again()}")
            sys.exit(INTERRUPTED)
        except Exception as error:
            if type(error).__module__.startswith(STORE):
                raise click.ClickException(f"MLflow: {harmless(scrub(str(error)))}") from error
            raise
        if isinstance(code, Verdict):
            click.echo(code.line)
            code = code.exit_code
        if isinstance(code, int):
            sys.exit(code)

    return call


def _interrupt(signum: int, frame: object) -> None:
    """A SIGTERM ends a step as a Ctrl-C does: with everything kept."""
    raise KeyboardInterrupt


def again() -> str:
    """The command line that goes on with what this process was doing."""
    module = f"steps.{sys.argv[0].rpartition('/')[2].removesuffix('.py')}"
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


@functools.cache
def tell_once(line: str) -> None:
    """Print a line the first time it is told; the steps of `main` would all tell it."""
    click.echo(harmless(line))


def whole_number(name: str, text: str) -> int | None:
    """The number in an option; empty is None. Raises InputError."""
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{name}: '{text}' is not a whole number of at least 1")
    return int(text)


def row_limit(text: str) -> int | None:
    return whole_number("limit", text)


def true_or_false(name: str, text: str) -> bool:
    """Empty is false. Raises InputError."""
    if text not in ("true", "false", ""):
        raise InputError(f"{name}: '{text}' is neither true nor false")
    return text == "true"


def positive(name: str, text: str, unit: str = "") -> float | None:
    """The number in an option; empty is None. Raises InputError."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{name}: '{text}' is not a number{unit} above 0")
    return value
