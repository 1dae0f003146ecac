"""Which scorers a run has, and one call that puts all of them to one answer."""

from collections.abc import Mapping
from typing import Any

import click

from steps.core import judges, scorers
from steps.core.config import Config
from steps.core.evaluation import Scores, Scoring
from steps.core.hashing import sha256_of
from steps.core.journal import Journal
from steps.core.runner import Answer

JUDGE_CONCURRENCY = 4  # rows judged side by side


def scorer_names(config: Config) -> tuple[str, ...]:
    """The deterministic scorers of a config. Raises InputError for an unknown name."""
    names = scorers.DEFAULT_SCORERS if config.scorers is None else config.scorers
    for name in names:
        scorers.find(name)
    return tuple(names)


def scoring_of(config: Config, journal: Journal) -> Scoring:
    """Deterministic scorers, and the judges when there is an available one; says so when not."""
    names = scorer_names(config)
    judging = _judging(config, journal)

    def score(answer: Answer) -> Scores:
        text, row = answer.completion.text or "", answer.row
        given = scorers.score_row(names, row.inputs, text, row.expectations)
        return given | (judging.score(row.inputs, text, row.expectations) if judging else {})

    def applicable(expectations: Mapping[str, Any]) -> list[str]:
        found = [name for name in names if scorers.applies(name, expectations)]
        judged = judging.names if judging else ()
        return found + [n for n in judged if judging and judging.applies(n, expectations)]

    every = names + (tuple(judging.names) if judging else ())
    judge_hash = judging.hash if judging else "none"
    tags = {
        "kind": "evaluation",
        "mlflow.runType": "genai_evaluate",  # puts the run into MLflow's evaluation view
        "judge_hash": judge_hash,
        "scorers_hash": sha256_of(list(names)),
    }
    return Scoring(every, score, applicable, JUDGE_CONCURRENCY if judging else 1, tags)


def _judging(config: Config, journal: Journal) -> judges.Judging | None:
    if config.judge is None:
        return None
    reason = judges.unavailable(config.judge)
    if reason is not None:
        click.echo(f"No judge, so {', '.join(config.judge.scorers)} are not scored: {reason}")
        return None
    return judges.Judging(config.judge, journal, config.own_prices())
