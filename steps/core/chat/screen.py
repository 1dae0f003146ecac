"""Answers as they come: as plain text, or side by side where the terminal has room for that."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from steps.core.chat.terminal import is_interactive, unechoed
from steps.core.chat.turn import Turn
from steps.core.harmless import harmless

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

COLUMN = 36  # characters, the least a column of an answer should have
FRAME = 5  # lines of a table that are no text, and the one below it
SIDES = 4  # characters of a column that are no text


def note(text: str, **style: Any) -> None:
    """A line beside the answers: on stderr, so that a pipe gets the answers alone."""
    told = harmless(text)
    if is_interactive():
        told = "\n".join(map(_within_width, told.split("\n")))
    click.secho(told, err=True, **(style or {"dim": True}))


def _within_width(line: str) -> str:
    """Broken between words, where the terminal would break within one."""
    width = get_terminal_size().columns
    if len(line) <= width:
        return line
    return fill(line, width, break_long_words=False, break_on_hyphens=False)


def show(turn: Turn) -> None:
    """Show a turn until it is over."""
    if not is_interactive():
        _in_sequence(turn, _nothing)
        return
    from rich.console import Console  # slow, and only a terminal needs it

    console = Console(highlight=False)
    with unechoed():
        if 1 < len(turn.questions) <= console.width // COLUMN:
            _side_by_side(turn, console)
        else:
            _in_sequence(turn, lambda name: console.status(f"{name} …", spinner="dots"))


def _nothing(name: str) -> AbstractContextManager[Any]:
    return nullcontext()


def _in_sequence(turn: Turn, waiting: Callable[[str], AbstractContextManager[Any]]) -> None:
    """One after the other; the later ones have been answering meanwhile."""
    for name in turn.questions:
        if len(turn.questions) > 1:
            click.secho(f"{name}:", bold=True)
        pieces = turn.pieces(name)
        with waiting(name):
            first = next(pieces, "")
        try:
            for piece in chain([first], pieces):
                click.echo(harmless(piece), nl=False)
        finally:
            if turn.texts[name] and not turn.texts[name].endswith("\n"):
                click.echo()


def _side_by_side(turn: Turn, console: "Console") -> None:
    from rich.live import Live

    columns = _Columns(turn, console)
    with Live(columns, console=console, refresh_per_second=8):
        try:
            while not turn.over:
                turn.receive()
        finally:
            columns.height = None


class _Columns:
    """A column for each answer; while they are written, no more lines than the terminal has."""

    def __init__(self, turn: Turn, console: "Console") -> None:
        self.turn, self.console = turn, console
        self.height: int | None = max(1, console.height - FRAME)  # None: all of them

    def __rich__(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(expand=True)
        for name in self.turn.questions:
            table.add_column(Text(name), ratio=1, overflow="fold")
        table.add_row(*(self._newest(Text(harmless(t))) for t in self.turn.texts.values()))
        return table

    def _newest(self, text: "Text") -> "Text":
        """The last lines; as Text, so that square brackets are no markup."""
        from rich.text import Text

        if self.height is None:
            return text
        width = max(1, self.console.width // len(self.turn.questions) - SIDES)
        return Text("\n").join(text.wrap(self.console, width)[-self.height :])
