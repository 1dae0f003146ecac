"""A config's judges, once they can be asked and have judged known answers rightly."""

from collections.abc import Iterable, Mapping

import click

from llm_models.errors import InputError, LabError
from steps.core.answering.journal import Journal
from steps.core.answering.limits import Budget, Pace, paces_of
from steps.core.config import Config
from steps.core.harmless import harmless
from steps.core.judges import canaries
from steps.core.judges.criteria import criteria
from steps.core.judges.judging import Judging, unavailable
from steps.core.judges.pairwise import check_pairs


class JudgeError(LabError):
    """A judge that was asked for cannot be asked, or graded answers of known verdict wrongly."""


def trusted_judging(
    config: Config,
    journal: Journal,
    candidates: Iterable[str],
    budget: Budget,
    paces: Mapping[str, Pace],
) -> Judging | None:
    """The config's judges; `candidates` are the models they will judge. Raises JudgeError.

    None, said in a line, where one cannot be asked: a panel that has lost a judge is another
    instrument, and what it would measure could not be compared.
    """
    reasons = unscored(config)
    for reason in reasons:
        click.echo(harmless(reason))
    if not config.judge or reasons:
        return None
    _warn_of_kin(config, candidates)
    judging = Judging(config.judge, journal, config.own_prices(), budget, paces)
    for name in canaries.unchecked(judging):
        click.echo(f"{name} has no canaries: nothing shows that its judge can be trusted.")
    refuse_unfit(canaries.check(judging))
    return judging


def pairwise_judging(config: Config, journal: Journal, budget: Budget) -> Judging:
    """The config's judges, once they have preferred the better of two. Raises JudgeError."""
    paces = paces_of(config.limits)
    judging = Judging(config.judge, journal, config.own_prices(), budget, paces)
    refuse_unfit(check_pairs(judging))
    return judging


def require_judges(config: Config, purpose: str) -> None:
    """Raises InputError where there is none, and JudgeError where one cannot be asked."""
    if not config.judge:
        raise InputError(f"{purpose}: the config has no judge; name one under `judge`")
    if reasons := away(config):
        raise JudgeError(f"{purpose}: a judge cannot be asked: {'; '.join(reasons)}")


def unscored(config: Config) -> list[str]:
    """A line for each judge that cannot be asked now, and what is not scored for that."""
    if not config.judge:
        return []
    names = ", ".join(criterion.name for criterion in criteria(config.judge[0]))
    what = "No judge" if len(config.judge) == 1 else "The panel of judges is not complete"
    return [f"{what}, so {names} are not scored: {reason}" for reason in away(config)]


def away(config: Config) -> list[str]:
    """A line for each judge that cannot be asked now."""
    told = [(judge.model, unavailable(judge)) for judge in config.judge]
    named = len(told) > 1
    return [f"{model}: {why}" if named else why for model, why in told if why is not None]


def refuse_unfit(flaws: Iterable[tuple[str, list[str]]]) -> None:
    """Raises JudgeError where a judge has flaws, naming it and them."""
    told = [
        "\n".join([f"the judge {model} is not fit to judge:", *(f"  {line}" for line in lines)])
        for model, lines in flaws
    ]
    if told:
        remedy = "Choose another judge in the config, or `judge: null` to score without one."
        raise JudgeError("\n".join([*told, remedy]))


def _warn_of_kin(config: Config, candidates: Iterable[str]) -> None:
    for model in dict.fromkeys(candidates):
        for judge in config.judge:
            if canaries.same_family(judge.model, model):
                click.echo(f"Careful: the judge {judge.model} is of one family with {model}.")
