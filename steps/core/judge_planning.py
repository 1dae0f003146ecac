"""What judging a run would ask and spend: each verdict that the journal does not hold yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_models.cost import cost_usd
from llm_models.schema import Completion, Message, Request, Usage
from steps.core.answering.asking import Task
from steps.core.answering.candidates import Ready
from steps.core.answering.estimate import UNBOUNDED, Estimate, estimate_of
from steps.core.answering.journal import Journal
from steps.core.answering.reuse import Policy, sort_out
from steps.core.config import Config
from steps.core.dataset import Row
from steps.core.judges import canaries
from steps.core.judges.judging import Judging, OneJudge
from steps.core.judges.prompts import Criterion, Fields
from steps.core.planning import ModelPlan, at_pace, mean, past_of, recent
from steps.core.sums import sum_known


@dataclass(frozen=True)
class _Awaited:
    """An answer that is still to come, and how many tokens it may have."""

    task: Task
    likely: float | None  # None where no answer tells yet
    most: int


@dataclass(frozen=True)
class _Case:
    """What one verdict is about."""

    criterion: Criterion
    inputs: Fields
    answer: str | _Awaited
    expectations: Fields


@dataclass(frozen=True)
class _Due:
    """A verdict that is to be asked for; tokens of its prompt."""

    likely: int
    worst: Estimate
    guessed: bool  # the answer's length is not known from others


def plan_judges(
    config: Config, rows: Sequence[Row], ready: Sequence[Ready], policy: Policy, journal: Journal
) -> list[ModelPlan]:
    """One plan for each judge of the config, all of which can be asked."""
    if not config.judge:
        return []
    judging = Judging(config.judge, journal, config.own_prices())
    cases = [
        _Case(criterion, {"prompt": canary.prompt}, canary.answer, canary.expectations)
        for criterion, canary in canaries.asked(judging)
    ]
    for one in ready:
        for row, answer in _answers(one, rows, policy, journal):
            given = [c for c in judging.criteria.values() if c.applies(row.expectations)]
            cases += [_Case(c, row.inputs, answer, row.expectations) for c in given]
    return [_plan(config, judge, cases, policy, journal) for judge in judging.judges]


def _answers(
    one: Ready, rows: Sequence[Row], policy: Policy, journal: Journal
) -> Iterator[tuple[Row, str | _Awaited]]:
    """Every row's answer but those that are known to have failed."""
    likely = past_of(journal, one.fingerprint).answer_tokens
    most = one.config.sampling.max_tokens or UNBOUNDED
    for task, record in sort_out(one, rows, policy, journal):
        completion = Completion.from_record(record) if record else None
        if completion is None or completion.answered:
            answer = completion.text or "" if completion else _Awaited(task, likely, most)
            yield from ((row, answer) for row in task.rows)


def _plan(
    settings: Config, judge: OneJudge, cases: Sequence[_Case], policy: Policy, journal: Journal
) -> ModelPlan:
    config = judge.config
    asked = {_key(judge, case): case for case in cases}  # equal questions are one verdict
    known = [key for key, awaited in asked if not awaited] if policy.cache != "off" else []
    held = {(key, "") for key, _ in journal.read_verdicts(known)}
    due = [_due(judge, case) for key, case in asked.items() if key not in held]
    tokens, written = sum(one.likely for one in due), _written(judge, journal)
    worst = sum_known(one.worst.worst_usd for one in due)
    likely = sum_known(_likely_usd(judge, one, written) for one in due)
    return ModelPlan(
        candidate=f"judge {judge.name}",
        provider=config.provider,
        model=config.model,
        base_url=config.base_url,
        rows=len(asked),
        in_journal=len(held),
        to_ask=len(due),
        input_tokens=tokens,
        worst_output_tokens=sum(one.worst.worst_output_tokens for one in due),
        likely_usd=worst if likely is None else likely,
        likely_is_worst=likely is None or any(one.guessed for one in due),
        worst_usd=worst,
        minutes=at_pace(settings, config.provider, len(due), tokens) or (None if due else 0.0),
        priced=config.price is not None,
    )


def _key(judge: OneJudge, case: _Case) -> tuple[str, str]:
    """Of the verdict, and of the answer that it waits for."""
    awaited = case.answer.task.key if isinstance(case.answer, _Awaited) else ""
    return judge.key(case.criterion.name, *_asked(case)), awaited


def _asked(case: _Case) -> tuple[str | None, str]:
    answer = "" if isinstance(case.answer, _Awaited) else case.answer
    return case.criterion.asked(case.inputs, answer, case.expectations)


def _due(judge: OneJudge, case: _Case) -> _Due:
    system, user = _asked(case)
    request = Request((Message(role="user", content=user),), system, judge.config.sampling)
    if isinstance(case.answer, str):
        worst = estimate_of(judge.config, request)
        return _Due(worst.input_tokens, worst, guessed=False)
    worst = estimate_of(judge.config, request, case.answer.most)
    likely = case.answer.most if case.answer.likely is None else round(case.answer.likely)
    guessed = case.answer.likely is None
    return _Due(worst.input_tokens - case.answer.most + likely, worst, guessed)


def _written(judge: OneJudge, journal: Journal) -> float | None:
    """The mean tokens of the judge's latest verdicts."""
    where = "verdicts WHERE json_extract(record, '$.judge') = ?"
    told = [record["output_tokens"] for record in recent(journal, where, judge.judge.model)]
    return mean([tokens for tokens in told if tokens is not None])


def _likely_usd(judge: OneJudge, one: _Due, written: float | None) -> float | None:
    tokens = None if written is None else round(written)
    return cost_usd(judge.config.price, Usage(one.likely, tokens), None)
