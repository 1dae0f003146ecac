"""Lines from a person or a pipe, and the signals that a session has to outlive or obey."""

import os
import signal
import sys
import termios
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice

ENDING = (signal.SIGTERM, signal.SIGHUP)


def is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def read_line(prompt: str) -> str:
    """One line without its end; a person gets the prompt, line editing and earlier inputs.

    Raises EOFError at the end.
    """
    if is_interactive():
        try:
            return input(prompt)
        except EOFError:
            print()  # the prompt's line is still open
            raise
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def edit_lines(words: Callable[[], Iterable[str]]) -> None:
    """Arrow keys, earlier inputs, and the tabulator for what begins one of `words`.

    What is pasted is one input, however many lines it has.
    """
    import readline  # to import it is what makes `input` edit

    def complete(text: str, number: int) -> str | None:
        return next(islice((word for word in words() if word.startswith(text)), number, None), None)

    readline.set_completer_delims(" ,\n")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
    readline.parse_and_bind("set enable-bracketed-paste on")  # Python turns it off


def tolerate_any_text() -> None:
    """Bytes that are no text, either way, must not end a session."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]


@contextmanager
def unechoed() -> Iterator[None]:
    """What is typed meanwhile is kept for the next prompt, and a ^C moves nothing that is drawn."""
    before = termios.tcgetattr(0)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(0, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal may have been closed
            termios.tcsetattr(0, termios.TCSANOW, before)


@contextmanager
def foreground() -> Iterator[None]:
    """Be the one whom the terminal's Ctrl-C reaches.

    Under `mlflow run` (or make) it would also reach the caller, which would end the session.
    Ctrl-Z is off meanwhile: nobody would wake us.
    """
    before = os.getpgrp()
    if not is_interactive() or before == os.getpid() or os.tcgetpgrp(0) != before:
        yield
        return
    for number in (signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(0, before)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, a SIGTERM or a closed terminal raises SystemExit; afterwards it is ignored."""

    def end(number: int, frame: object) -> None:
        _handle(signal.SIG_IGN)  # a terminal that closes tells so twice
        raise SystemExit(128 + number)

    _handle(end)
    try:
        yield
    finally:
        _handle(signal.SIG_IGN)


def _handle(by: Callable[[int, object], None] | signal.Handlers) -> None:
    for number in ENDING:
        signal.signal(number, by)
