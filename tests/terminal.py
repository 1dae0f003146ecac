"""A process on a terminal of its own: typed at and read as a person would."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

CONTROL_C, CONTROL_D, CONTROL_Z = "\x03", "\x04", "\x1a"
_ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[@-~]|[()][0-9A-B]|[=>])|\x1b[^@-Z\\^-~]*$")
# The process leads a session whose terminal this is, as a shell's does; what runs in the
# background has Ctrl-C ignored, and what it starts would inherit that.
_LEAD = "import fcntl, os, signal, sys, termios; os.setsid(); "
_LEAD += "fcntl.ioctl(0, termios.TIOCSCTTY, 0); signal.signal(signal.SIGINT, signal.SIG_DFL); "
_LEAD += "os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """Runs a command; leaving the `with` block kills what is left of it."""

    def __init__(
        self,
        command: list[str],
        cwd: Path,
        env: Mapping[str, str],
        size: tuple[int, int] = (40, 120),
    ) -> None:
        self.raw = ""  # all that was written
        self._passed = 0  # how much of what is shown `expect` has passed
        self._fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LEAD, *command],
            cwd=cwd,
            env=dict(env) | {"TERM": "xterm-256color"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
        )
        os.close(inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    @property
    def shown(self) -> str:
        """All that was written, without escape sequences, also one that is not whole yet."""
        return _ESCAPE.sub("", self.raw).replace("\r", "")

    def expect(self, text: str, seconds: float = 60) -> str:
        """Read until `text` is written; what came between the last such text and this one."""
        assert self.hears(text, seconds), f"no {text!r} in:\n{self.shown}"
        found = self.shown.index(text, self._passed)
        before, self._passed = self.shown[self._passed : found], found + len(text)
        return before

    def hears(self, text: str, seconds: float) -> bool:
        """Whether `text` is written within that time."""
        until = time.monotonic() + seconds
        while self.shown.find(text, self._passed) < 0:
            if not self._more(until - time.monotonic()):
                return False
        return True

    def wait(self, seconds: int = 60) -> int:
        """Read to the end; the exit code."""
        until = time.monotonic() + seconds
        while self._more(until - time.monotonic()):
            pass
        assert time.monotonic() < until, f"it goes on:\n{self.shown}"
        return self.process.wait(10)

    def _more(self, seconds: float) -> bool:
        """Whether something came in that time."""
        if not select.select([self._fd], [], [], max(0, seconds))[0]:
            return False
        try:
            piece = os.read(self._fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += piece.decode("utf-8", "replace")
        return bool(piece)
