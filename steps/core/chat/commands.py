"""What begins with a slash."""

from collections.abc import Callable

from llm_models.errors import InputError, LabError
from steps.core.chat import transcript
from steps.core.chat.screen import note
from steps.core.chat.session import Session

HELP = """\
/model                list who can answer
/model NAMES          who answers from here on: names or numbers, or models:/NAME@ALIAS;
                      several with commas between answer side by side
/compare [NAMES]      the last question again, to these (or to all) side by side
/retry                the last question again
/system TEXT          another system prompt from here on; `default` is each model's own
/new                  forget what was said and begin another conversation
/save [FILE]          write the conversation as Markdown
/quit                 end the session, as Ctrl-D does
Ctrl-C stops an answer. A line that begins with a blank is a question, whatever follows."""


def say(session: Session, line: str) -> None:
    """Ask a question or follow a command; an error is told. Raises EOFError to end."""
    try:
        if line.startswith("/"):
            _follow(session, line)
        elif line.strip():
            session.ask(line.strip())
    except LabError as error:
        note(str(error), fg="red")


def _follow(session: Session, line: str) -> None:
    name, _, argument = line.strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        raise InputError(f"{name} is no command: /help lists them")
    command(session, argument.strip())


def _model(session: Session, names: str) -> None:
    if names:
        session.speakers = session.cast.meet(names)
    else:
        session.cast.everyone()
    note(session.cast.menu(session.speakers))


def _compare(session: Session, names: str) -> None:
    session.ask_again(session.cast.meet(names) if names else session.cast.everyone())


def _system(session: Session, text: str) -> None:
    if text:
        session.conversation.system = None if text == "default" else text
    system = session.conversation.system
    note("each model has its own system prompt" if system is None else f"system: {system}")


def _retry(session: Session, _: str) -> None:
    session.ask_again(session.speakers)


def _new(session: Session, _: str) -> None:
    session.conversation.exchanges.clear()
    note("nothing is remembered of what was said")


def _save(session: Session, file: str) -> None:
    note(f"saved as {transcript.save(session.replies, file)}")


def _help(session: Session, _: str) -> None:
    note(HELP)


def _quit(session: Session, _: str) -> None:
    raise EOFError


COMMANDS: dict[str, Callable[[Session, str], None]] = {
    "/model": _model,
    "/compare": _compare,
    "/system": _system,
    "/retry": _retry,
    "/new": _new,
    "/save": _save,
    "/help": _help,
    "/quit": _quit,
}
