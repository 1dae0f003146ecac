"""What a run would ask, spend and take, before any call: from the data, prices and journal."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from llm_models.cost import cost_usd
from llm_models.schema import Completion, Usage
from steps.core.candidates import Ready
from steps.core.config import Config
from steps.core.dataset import Row
from steps.core.estimate import UNBOUNDED, Estimate, estimate
from steps.core.journal import Journal
from steps.core.runner import Policy, sort_out

RECENT = 1000  # latest answers, whose means tell what the next ones will be like
SUMMED = ("rows", "in_journal", "to_ask", "input_tokens", "worst_output_tokens")
MONEY = ("likely_usd", "worst_usd")
Verdict = Literal["no", "maybe", "yes", "refused"]  # refused: a cap needs every price


@dataclass(frozen=True)
class Past:
    """Means over a candidate's latest answers; None where the journal does not tell."""

    output_tokens: float | None = None  # thinking included, as it is billed
    latency_s: float | None = None


@dataclass(frozen=True)
class ModelPlan:
    """One model's part of a run; None is unknown."""

    candidate: str
    provider: str
    model: str
    base_url: str | None
    rows: int  # times repeats
    in_journal: int
    to_ask: int  # calls: rows of equal inputs share one
    input_tokens: int  # estimated, as all tokens here
    worst_output_tokens: int
    likely_usd: float | None
    likely_is_worst: bool  # the journal cannot tell yet
    worst_usd: float | None
    minutes: float | None
    max_cost_stops: Verdict | None = None  # None: there is no cap


def plan_models(
    config: Config, rows: Sequence[Row], ready: Sequence[Ready], policy: Policy, cap: float | None
) -> list[ModelPlan]:
    """One plan for each candidate; `cap` is in USD, over all of them."""
    held = closing(Journal(config.journal)) if config.journal.exists() else nullcontext()
    with held as journal:
        plans = [_plan(config, rows, one, policy, journal) for one in ready]
    if cap is None:
        return plans
    if any(one.config.price is None for one in ready):
        return [replace(plan, max_cost_stops="refused") for plan in plans]
    stops = _stops(plans, cap)
    return [replace(p, max_cost_stops=stops if p.worst_usd else "no") for p in plans]


def totals(plans: Sequence[ModelPlan]) -> dict[str, Any]:
    """Figures of all models together; None when a part is unknown."""
    summed = {name: _sum(getattr(plan, name) for plan in plans) for name in SUMMED + MONEY}
    servers = {(plan.provider, plan.base_url) for plan in plans}  # models of one take turns
    minutes = [
        _sum(plan.minutes for plan in plans if (plan.provider, plan.base_url) == server)
        for server in servers
    ]
    known = [each for each in minutes if each is not None]
    guessed = any(plan.likely_is_worst for plan in plans)
    slowest = max(known) if len(known) == len(minutes) else None
    return summed | {"likely_is_worst": guessed, "minutes": slowest}


def caveats(config: Config, ready: Sequence[Ready], cap: float | None) -> list[str]:
    """What the figures leave out or take for granted, one sentence each."""
    lines = ["Tokens are estimated; retries are not counted."]
    unbounded = [one.candidate.name for one in ready if not one.config.sampling.max_tokens]
    if unbounded:
        lines.append(f"Without max_tokens, {UNBOUNDED} a call are assumed: {', '.join(unbounded)}.")
    unpriced = [one.candidate.name for one in ready if one.config.price is None]
    if cap is not None and unpriced:
        lines.append(f"max_cost is refused until `prices` has one for: {', '.join(unpriced)}.")
    for judge in config.judge:
        lines.append(f"What the judge {judge.model} takes comes on top, and counts in max_cost.")
    return lines


def _plan(
    config: Config, rows: Sequence[Row], one: Ready, policy: Policy, journal: Journal | None
) -> ModelPlan:
    due: Counter[str] = Counter()
    held = 0
    for task, record in sort_out(one, rows, policy, journal):
        if record is None:
            due[task.rows[0].id] += 1
        else:
            held += len(task.rows)
    past = _past(config.journal, one.fingerprint) if journal else Past()
    asked = [(estimate(one.config, row), due[row.id]) for row in rows if row.id in due]
    tokens = sum(each.input_tokens * times for each, times in asked)
    likely = _sum(_times(_likely_usd(one, each, past), times) for each, times in asked)
    worst = _sum(_times(each.worst_usd, times) for each, times in asked)
    return ModelPlan(
        candidate=one.candidate.name,
        provider=one.config.provider,
        model=one.config.model,
        base_url=one.config.base_url,
        rows=len(rows) * policy.repeats,
        in_journal=held,
        to_ask=due.total(),
        input_tokens=tokens,
        worst_output_tokens=sum(each.worst_output_tokens * times for each, times in asked),
        likely_usd=worst if likely is None else likely,
        likely_is_worst=likely is None,
        worst_usd=worst,
        minutes=_minutes(config, one, due.total(), tokens, past.latency_s),
    )


def _past(path: Path, fingerprint: str) -> Past:
    query = (
        "SELECT record FROM answers WHERE fingerprint = ? AND answered "
        "ORDER BY written_at DESC LIMIT ?"
    )
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        found = db.execute(query, (fingerprint, RECENT)).fetchall()
    answers = [Completion.from_record(json.loads(record)) for (record,) in found]
    billed = [
        (a.usage.output_tokens or 0) + (a.usage.thinking_tokens or 0)
        for a in answers
        if a.usage.output_tokens is not None or a.usage.thinking_tokens is not None
    ]
    seconds = [a.latency_s for a in answers if a.latency_s is not None]
    return Past(fmean(billed) if billed else None, fmean(seconds) if seconds else None)


def _likely_usd(one: Ready, each: Estimate, past: Past) -> float | None:
    written = None if past.output_tokens is None else round(past.output_tokens)
    usage = Usage(input_tokens=each.input_tokens, output_tokens=written)
    return cost_usd(one.config.price, usage, past.latency_s)


def _minutes(
    config: Config, one: Ready, calls: int, tokens: int, latency_s: float | None
) -> float | None:
    """At full concurrency, or at the pace the config allows where that is slower."""
    if not calls:
        return 0.0
    if latency_s is None:
        return None
    minutes = [latency_s * calls / one.provider.parallel(one.config.concurrency) / 60]
    if allowed := config.limits.get(one.config.provider):
        minutes.append(calls / (allowed.requests_per_minute or float("inf")))
        minutes.append(tokens / (allowed.tokens_per_minute or float("inf")))
    return max(minutes)


def _stops(plans: Sequence[ModelPlan], cap: float) -> Verdict:
    """Whether spending, over all models, would reach the cap."""
    if sum(plan.worst_usd or 0.0 for plan in plans) <= cap:
        return "no"
    likely = sum(plan.likely_usd or 0.0 for plan in plans if not plan.likely_is_worst)
    return "yes" if likely > cap else "maybe"


def _times(value: float | None, times: int) -> float | None:
    return None if value is None else value * times


def _sum(values: Iterable[float | None]) -> float | None:
    total: float = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
