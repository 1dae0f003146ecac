"""Rows that one model gets right and another wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from steps.core.comparing.differences import both_scored
from steps.core.predictions import Key, Prediction, Predictions

MAX_TEXT = 2000  # characters of a prompt or an answer; predictions.parquet has all
Turn = Literal["right → wrong", "wrong → right"]
TURNS: tuple[Turn, Turn] = ("right → wrong", "wrong → right")


@dataclass(frozen=True)
class Flip:
    """A row where a yes/no score of a model is not the baseline's."""

    turn: Turn
    scorer: str
    candidate: str
    id: str
    repeat: int
    prompt: str
    baseline_answer: str
    answer: str
    rationale: str | None  # of the model's score


def flips(models: Sequence[Predictions], scorers: Iterable[str], baseline: str) -> list[Flip]:
    """Right → wrong first, then in the order of the (yes/no) scorers, the models and the rows."""
    (base,) = (model for model in models if model.candidate == baseline)
    others = [model for model in models if model is not base]
    found = [
        _flip(key, left, right, scorer, other.candidate)
        for scorer in scorers
        for other in others
        for key, left, right in both_scored(base, other, scorer)
        if left.scores[scorer] != right.scores[scorer]
    ]
    return sorted(found, key=lambda flip: TURNS.index(flip.turn))


def is_yes_no(models: Iterable[Predictions], scorer: str) -> bool:
    """Whether no model has another score than 0 and 1."""
    return all(
        row.scores.get(scorer, 0.0) in (0.0, 1.0) for model in models for row in model.rows.values()
    )


def _flip(key: Key, left: Prediction, right: Prediction, scorer: str, candidate: str) -> Flip:
    return Flip(
        turn=TURNS[0 if left.scores[scorer] else 1],
        scorer=scorer,
        candidate=candidate,
        id=key[0],
        repeat=key[1],
        prompt=cut(left.prompt),
        baseline_answer=cut(left.text or ""),
        answer=cut(right.text or ""),
        rationale=right.rationales.get(scorer),
    )


def cut(text: str, limit: int = MAX_TEXT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
