"""What one HTTP request may ask of a served model. Evaluation and Spark have no such limits."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

from llm_models.errors import InputError, TooLargeError
from llm_models.schema import Request

PREFIX = "LLMFLOWLAB_MAX_"


@dataclass(frozen=True, slots=True)
class Limits:
    """Each is set by the environment variable of its name: LLMFLOWLAB_MAX_BODY_BYTES, …"""

    body_bytes: int = 4 * 2**20
    rows: int = 256
    prompt_chars: int = 400_000  # of one row: its messages and its system prompt
    requests: int = 256  # answered at the same time; one more is told to try later

    @classmethod
    def from_environment(cls) -> Self:
        """Raises InputError naming a variable that is no whole number above 0."""
        return cls(**{f.name: _whole_number(f.name, f.default) for f in fields(cls)})

    def check_body(self, size: int) -> None:
        """Raises TooLargeError for a body of more bytes than are taken."""
        if size > self.body_bytes:
            raise TooLargeError(f"the body is longer than {self.body_bytes} bytes: send less")

    def check_rows(self, count: int) -> None:
        """Raises TooLargeError for more rows than are taken."""
        if count > self.rows:
            raise TooLargeError(f"{count} rows in one request, {self.rows} are taken: send fewer")

    def check_prompts(self, requests: Iterable[Request | InputError]) -> None:
        """Raises TooLargeError that names the first row with too long a prompt."""
        for number, request in enumerate(requests):
            if isinstance(request, InputError):
                continue
            size = sum(len(message["content"]) for message in request.messages)
            size += len(request.system or "")
            if size > self.prompt_chars:
                raise TooLargeError(
                    f"row {number}: a prompt of {size} characters, {self.prompt_chars} are taken:"
                    " shorten it"
                )


def _whole_number(name: str, default: object) -> int:
    variable = f"{PREFIX}{name.upper()}"
    told = os.environ.get(variable, "").strip() or str(default)
    if not (told.isascii() and told.isdecimal() and int(told)):
        raise InputError(f"{variable} must be a whole number above 0, and not '{told}'")
    return int(told)
