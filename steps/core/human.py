"""People as a scorer: an answer gets the scores that were given for exactly this answer."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean

from steps.core.answering.runner import Answer
from steps.core.config import choose
from steps.core.config import load as load_config
from steps.core.dataset import load as load_dataset
from steps.core.human_file import Known, Rating, answer_hash, content_hash, read_ratings
from steps.core.scores.scorer import SHARE, Failure, Score

HUMAN = "human"
ANOTHER = Failure("people judged another answer of this candidate, not this one")
SOMEBODY = "people"  # whose score it is where the file does not say


class People:
    """The rows of a file of scores, and which of them have counted."""

    def __init__(self, ratings: Sequence[Rating]) -> None:
        self.hash = content_hash(ratings)
        self.given = [rating for rating in ratings if rating.score is not None]
        self.counted: set[Rating] = set()
        self._of: dict[str, list[Rating]] = {}
        for rating in ratings:
            self._of.setdefault(rating.id, []).append(rating)
        inside = all(0 <= (rating.score or 0) <= 1 for rating in self.given)
        self.bounds = SHARE if inside else None

    def score(self, candidate: str, answer: Answer) -> Score | Failure | None:
        """The mean over people; None where nobody judged this row of this candidate."""
        mark = answer_hash(answer.completion.text or "")
        given = [rating for rating in self._of.get(answer.row.id, ()) if rating.score is not None]
        named = [rating for rating in given if _names(rating, candidate, answer.repeat)]
        free = [rating for rating in named if rating.answer_sha256 is None]
        found = [*free, *(rating for rating in given if rating.answer_sha256 == mark)]
        if not found:
            return ANOTHER if any(rating.candidate for rating in named) else None
        self.counted.update(found)
        return _joined(found)

    def lists(self, candidate: str, row_id: str, repeat: int) -> bool:
        """Whether this row of this candidate is one of those that people were to judge."""
        return any(
            _names(rating, candidate, repeat) and (rating.candidate or not rating.answer_sha256)
            for rating in self._of.get(row_id, ())
        )

    def told(self, candidates: Collection[str], rows: Collection[str]) -> str:
        """How many scores counted, and why the others did not."""
        left = [rating for rating in self.given if rating not in self.counted]
        reasons = Counter(_reason(rating, candidates, rows) for rating in left)
        why = "".join(f"; {n} left out, {reason}" for reason, n in reasons.items())
        return f"{HUMAN}: {len(self.given) - len(left)} of {len(self.given)} scores count{why}"


def load_people(path: str, config: str, data: str, models: str, repeats: int) -> People | None:
    """The scores of a file; None without one. Raises InputError, before any call is made."""
    if not path:
        return None
    settings = load_config(Path(config))
    known = Known(
        ids={row.id for row in load_dataset(data).rows},
        candidates=[candidate.name for candidate in settings.candidates],
        several_candidates=len(choose(settings, models)) > 1,
        several_repeats=repeats > 1,
    )
    return People(read_ratings(Path(path), known))


def _names(rating: Rating, candidate: str, repeat: int) -> bool:
    return rating.candidate in (None, candidate) and rating.repeat in (None, repeat)


def _joined(found: Sequence[Rating]) -> Score:
    scores = [rating.score for rating in found if rating.score is not None]
    alike = isinstance(scores[0], bool) and len(set(scores)) == 1
    people = list(dict.fromkeys(rating.rater or SOMEBODY for rating in found))
    notes = [f"{r.rater or SOMEBODY}: {r.rationale}" for r in found if r.rationale]
    alone = found[0].rationale if len(found) == 1 else "; ".join(notes) or None
    return Score(scores[0] if alike else fmean(scores), alone, rater=", ".join(people))


def _reason(rating: Rating, candidates: Collection[str], rows: Collection[str]) -> str:
    if rating.id not in rows:
        return "of rows that were not asked"
    if rating.candidate and rating.candidate not in candidates:
        return "of candidates that were not asked"
    return "of answers that no candidate gave this time"
