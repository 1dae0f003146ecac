"""A conversation as a file for people."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from llm_models.errors import InputError
from steps.core.chat.turn import Reply
from steps.core.harmless import harmless


def save(replies: Sequence[Reply], file: str = "") -> Path:
    """Write Markdown to `file`, by default one named by the time. Raises InputError.

    A file that exists is never written over.
    """
    if not replies:
        raise InputError("there is nothing to save yet")
    path = Path(file or f"chat-{datetime.now():%Y%m%d-%H%M%S}.md").expanduser().resolve()
    try:
        with path.open("x", encoding="utf-8") as written:
            written.write("\n\n".join(_paragraphs(replies)) + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): name another") from None
    return path


def _paragraphs(replies: Sequence[Reply]) -> Iterator[str]:
    number = None
    for reply in replies:
        question, completion = reply.question, reply.completion
        if question.number != number:
            number = question.number
            asked = datetime.fromtimestamp(reply.asked_at).astimezone()
            yield f"## {asked.isoformat(' ', 'seconds')}"
            yield harmless(question.prompt)
        yield f"**{question.speaker.name}**"
        if reply.said:
            yield harmless(reply.said)
        if completion.error:
            yield f"*{harmless(completion.error)}*"
