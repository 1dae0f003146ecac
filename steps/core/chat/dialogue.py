"""Who is talked to first, and line after line until the end."""

from llm_models.errors import InputError
from steps.core.chat import terminal
from steps.core.chat.cast import Cast
from steps.core.chat.commands import COMMANDS, say
from steps.core.chat.screen import note
from steps.core.chat.session import Session
from steps.core.chat.speakers import Speaker, described
from steps.core.config import CHOICES


def choose(cast: Cast, models: str) -> list[Speaker]:
    """All who are named; of those available the one a person picks, the first on a pipe.

    Raises InputError, and EOFError where nobody is picked.
    """
    met = cast.meet(models)
    if models.strip() not in CHOICES or len(met) == 1:
        return met
    if not terminal.is_interactive():
        note(f"{met[0].name} answers; `models` names others")
        return met[:1]
    note(cast.menu([]))
    while True:
        try:
            return cast.meet(terminal.read_line("Talk to [1]: ") or "1")
        except InputError as error:
            note(str(error), fg="red")


def converse(session: Session, first: list[str]) -> None:
    """Ask `first`, then what is typed, until the input ends; Ctrl-C ends no more than an answer.

    On a pipe it ends the session: raises KeyboardInterrupt.
    """
    if terminal.is_interactive():
        terminal.edit_lines(lambda: [*COMMANDS, *session.cast.known])
        for speaker in session.speakers:
            note(f"{speaker.name}: {described(speaker)}")
        note("/help lists the commands, Ctrl-D ends")
    for prompt in first:
        note(f"> {prompt}")
        _say(session, f" {prompt}")  # a question, also where it begins with a slash
    while (line := _next_line()) is not None and _say(session, line):
        pass


def _say(session: Session, line: str) -> bool:
    """Whether the session goes on."""
    try:
        say(session, line)
    except EOFError:
        return False
    except KeyboardInterrupt:
        if not terminal.is_interactive():
            raise
    return True


def _next_line() -> str | None:
    try:
        return terminal.read_line("> ")
    except EOFError:
        return None
    except KeyboardInterrupt:
        if not terminal.is_interactive():
            raise
        note("\n(Ctrl-D or /quit ends the session)")
        return ""
