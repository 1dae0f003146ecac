"""Which scorers a run has, and one call that puts all of them to one answer."""

from dataclasses import replace

from steps.core.answering.runner import Answer
from steps.core.config import Config
from steps.core.dataset import Row
from steps.core.evaluation import Scores, Scoring
from steps.core.hashing import sha256_of
from steps.core.human import HUMAN, People
from steps.core.judges.judging import Judging, models_of
from steps.core.scores import scorers
from steps.core.scores.scorer import BOUNDS

JUDGE_CONCURRENCY = 4  # rows judged side by side


def scoring_of(config: Config, judging: Judging | None) -> Scoring:
    """Deterministic scorers, and judges where there is one that can be asked."""
    names = scorers.chosen(config.scorers)

    def score(answer: Answer) -> Scores:
        text, row = answer.completion.text or "", answer.row
        given = scorers.score_row(names, row.inputs, text, row.expectations)
        return given | (judging.score(row.inputs, text, row.expectations) if judging else {})

    def applicable(row: Row, _: int) -> list[str]:
        found = [name for name in names if scorers.applies(name, row.expectations)]
        return found + (judging.applicable(row.expectations) if judging else [])

    tags = {
        "kind": "evaluation",
        "mlflow.runType": "genai_evaluate",  # puts the run into MLflow's evaluation view
        "judge_hash": judging.hash if judging else "none",
        "judge_model": models_of(config.judge if judging else ()),
        "human_hash": "none",
        "scorers_hash": sha256_of(list(names)),
    }
    return Scoring(
        (*names, *(judging.names if judging else ())),
        score,
        applicable,
        concurrency=JUDGE_CONCURRENCY * len(judging.judges) if judging else 1,
        tags=tags,
        judges=judging.sources() if judging else {},
        panels=judging.panels() if judging else {},
        bounds=BOUNDS | (judging.bounds() if judging else {}),
        min_coverage=config.min_coverage,
        headline=config.rank_by.partition("/")[0],
    )


def with_people(scoring: Scoring, people: People | None, candidate: str) -> Scoring:
    """The same scoring, and what people said of this candidate's answers.

    People judge samples: a row that their file does not list, or lists without a score, is no row
    of this scorer. One that it lists and that was not answered is missing, and so is an answer of
    which they have judged another version.
    """
    if people is None:
        return scoring

    def score(answer: Answer) -> Scores:
        return {**scoring.score(answer), HUMAN: people.score(candidate, answer)}

    def applicable(row: Row, repeat: int) -> list[str]:
        own = [HUMAN] if people.lists(candidate, row.id, repeat) else []
        return [*scoring.applicable(row, repeat), *own]

    return replace(
        scoring,
        names=(*scoring.names, HUMAN),
        score=score,
        applicable=applicable,
        tags={**scoring.tags, "human_hash": people.hash},
        bounds={**scoring.bounds, HUMAN: people.bounds},
    )
