"""Answers, and what people said of them."""

from typing import Any

from llm_models.schema import Completion
from steps.core.answering.runner import Answer
from steps.core.dataset import Row
from steps.core.human_file import Rating, answer_hash


def rating(score: bool | float | None = True, text: str | None = None, **fields: Any) -> Rating:
    """Of row r; with a text, bound to it."""
    mark = None if text is None else answer_hash(text)
    return Rating.model_construct(
        **{"id": "r", "score": score, "answer_sha256": mark, "candidate": None, "repeat": None}
        | {"rater": None, "rationale": None}
        | fields
    )


def answer(text: str = "Paris", repeat: int = 0, row: str = "r") -> Answer:
    asked = Row(row, {"prompt": "?"}, {}, {})
    return Answer(asked, Completion("ok", text), 0.0, reused=False, repeat=repeat)
