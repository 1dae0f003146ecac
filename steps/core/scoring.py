"""Which scorers a run has, and one call that puts all of them to one answer."""

from dataclasses import replace

import click

from llm_models.errors import LabError
from steps.core import canaries, judges, scorers
from steps.core.config import Config
from steps.core.dataset import Row
from steps.core.evaluation import Scores, Scoring
from steps.core.hashing import sha256_of
from steps.core.human import HUMAN, People
from steps.core.journal import Journal
from steps.core.judges import Judging
from steps.core.runner import Answer
from steps.core.scorer import BOUNDS, SHARE

JUDGE_CONCURRENCY = 4  # rows judged side by side


class JudgeError(LabError):
    """The judge graded answers wrongly whose verdict is known."""


def scoring_of(config: Config, judging: Judging | None) -> Scoring:
    """Deterministic scorers, and judges where there is one that can be asked."""
    names = scorers.chosen(config.scorers)

    def score(answer: Answer) -> Scores:
        text, row = answer.completion.text or "", answer.row
        given = scorers.score_row(names, row.inputs, text, row.expectations)
        return given | (judging.score(row.inputs, text, row.expectations) if judging else {})

    def applicable(row: Row, _: int) -> list[str]:
        found = [name for name in names if scorers.applies(name, row.expectations)]
        if judging:
            found += [name for name in judging.names if judging.applies(name, row.expectations)]
        return found

    judged = judging.names if judging else ()
    tags = {
        "kind": "evaluation",
        "mlflow.runType": "genai_evaluate",  # puts the run into MLflow's evaluation view
        "judge_hash": judging.hash if judging else "none",
        "judge_model": judging.judge.model if judging else "none",
        "human_hash": "none",
        "scorers_hash": sha256_of(list(names)),
    }
    concurrency = JUDGE_CONCURRENCY if judging else 1
    return Scoring(
        (*names, *judged),
        score,
        applicable,
        concurrency,
        tags,
        judges=frozenset(judged),
        bounds=BOUNDS | dict.fromkeys(judged, SHARE),
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


def trusted_judging(config: Config, journal: Journal, candidates: list[str]) -> Judging | None:
    """The config's judges, once they have graded answers of known verdict rightly.

    None, said in a line, where the judge cannot be asked. Raises JudgeError.
    """
    if config.judge is None:
        return None
    reason = judges.unavailable(config.judge)
    if reason is not None:
        click.echo(f"No judge, so {', '.join(config.judge.scorers)} are not scored: {reason}")
        return None
    for model in candidates:
        if canaries.same_family(config.judge.model, model):
            click.echo(f"Careful: the judge {config.judge.model} is of one family with {model}.")
    judging = Judging(config.judge, journal, config.own_prices())
    wrong = canaries.check(judging)
    if wrong:
        lines = "\n".join(f"  {line}" for line in wrong)
        raise JudgeError(
            f"the judge {config.judge.model} is not fit to judge:\n{lines}\n"
            "Choose another judge in the config, or `judge: null` to score without one."
        )
    return judging
