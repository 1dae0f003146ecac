"""What a run would ask, spend and take, before any call: from the data, prices and journal."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, Literal

from llm_models.cost import cost_usd
from llm_models.schema import Completion, Usage
from steps.core.answering.candidates import Ready
from steps.core.answering.estimate import UNBOUNDED, Estimate, estimate
from steps.core.answering.journal import Journal
from steps.core.answering.reuse import Policy, sort_out
from steps.core.config import Config
from steps.core.dataset import Row
from steps.core.sums import sum_known

RECENT = 1000  # latest answers, whose means tell what the next ones will be like
SUMMED = ("rows", "in_journal", "to_ask", "input_tokens", "worst_output_tokens")
MONEY = ("likely_usd", "worst_usd")
Verdict = Literal["no", "maybe", "yes", "refused"]  # refused: a cap needs every price


@dataclass(frozen=True)
class Past:
    """Means over a candidate's latest answers; None where the journal does not tell."""

    output_tokens: float | None = None  # thinking included, as it is billed
    latency_s: float | None = None
    answer_tokens: float | None = None  # without thinking


@dataclass(frozen=True)
class ModelPlan:
    """One model's part of a run, as a candidate or as a judge; None is unknown."""

    candidate: str
    provider: str
    model: str
    base_url: str | None
    rows: int  # times repeats; a judge's are verdicts
    in_journal: int
    to_ask: int  # calls: rows of equal inputs share one
    input_tokens: int  # estimated, as all tokens here
    worst_output_tokens: int
    likely_usd: float | None
    likely_is_worst: bool  # the journal cannot tell yet
    worst_usd: float | None
    minutes: float | None
    priced: bool
    max_cost_stops: Verdict | None = None  # None: there is no cap


@contextmanager
def journal_to_read(path: Path) -> Iterator[Journal]:
    """The journal; where there is none, one that is gone afterwards."""
    with TemporaryDirectory() as folder:
        found = path if path.exists() else Path(folder) / path.name
        with closing(Journal(found)) as journal:
            yield journal


def plan_models(
    config: Config, rows: Sequence[Row], ready: Sequence[Ready], policy: Policy, journal: Journal
) -> list[ModelPlan]:
    """One plan for each candidate."""
    return [_plan(config, rows, one, policy, journal) for one in ready]


def capped(plans: Sequence[ModelPlan], cap: float) -> list[ModelPlan]:
    """The same, told whether `cap` (USD, over all of them) would stop the run."""
    if any(not plan.priced for plan in plans):
        return [replace(plan, max_cost_stops="refused") for plan in plans]
    stops = _stops(plans, cap)
    return [replace(p, max_cost_stops=stops if p.worst_usd else "no") for p in plans]


def totals(plans: Sequence[ModelPlan]) -> dict[str, Any]:
    """Figures of all models together; None when a part is unknown."""
    summed = {name: sum_known(getattr(plan, name) for plan in plans) for name in SUMMED + MONEY}
    servers = {(plan.provider, plan.base_url) for plan in plans}  # models of one take turns
    minutes = [
        sum_known(plan.minutes for plan in plans if (plan.provider, plan.base_url) == server)
        for server in servers
    ]
    known = [each for each in minutes if each is not None]
    guessed = any(plan.likely_is_worst for plan in plans)
    slowest = max(known) if len(known) == len(minutes) else None
    return summed | {"likely_is_worst": guessed, "minutes": slowest}


def caveats(
    plans: Sequence[ModelPlan], ready: Sequence[Ready], judges: Sequence[ModelPlan]
) -> list[str]:
    """What the figures leave out or take for granted, one sentence each."""
    lines = ["Tokens are estimated; retries are not counted."]
    if judges:
        lines.append(
            "A judge's rows are its verdicts, canaries included and second tries not; run_prompts "
            "asks for none. An answer to come is taken to be as long as earlier ones, else as long "
            "as it may be. A judge's minutes are those that `limits` ask for, if any."
        )
    unbounded = [one.candidate.name for one in ready if not one.config.sampling.max_tokens]
    if unbounded:
        lines.append(f"Without max_tokens, {UNBOUNDED} a call are assumed: {', '.join(unbounded)}.")
    unpriced = [plan.candidate for plan in (*plans, *judges) if not plan.priced]
    if unpriced and any(plan.max_cost_stops for plan in plans):
        lines.append(f"max_cost is refused until `prices` has one for: {', '.join(unpriced)}.")
    return lines


def _plan(
    config: Config, rows: Sequence[Row], one: Ready, policy: Policy, journal: Journal
) -> ModelPlan:
    due: Counter[str] = Counter()
    held = 0
    for task, record in sort_out(one, rows, policy, journal):
        if record is None:
            due[task.rows[0].id] += 1
        else:
            held += len(task.rows)
    past = past_of(journal, one.fingerprint)
    asked = [(estimate(one.config, row), due[row.id]) for row in rows if row.id in due]
    tokens = sum(each.input_tokens * times for each, times in asked)
    likely = sum_known(_times(_likely_usd(one, each, past), times) for each, times in asked)
    worst = sum_known(_times(each.worst_usd, times) for each, times in asked)
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
        priced=one.config.price is not None,
    )


def recent(journal: Journal, where: str, *given: str) -> list[dict[str, Any]]:
    """The latest records of a table; `where` begins with its name."""
    query = f"SELECT record FROM {where} ORDER BY written_at DESC LIMIT ?"  # noqa: S608 (own)
    with closing(sqlite3.connect(f"{journal.path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return [json.loads(record) for (record,) in db.execute(query, (*given, RECENT))]


def past_of(journal: Journal, fingerprint: str) -> Past:
    found = recent(journal, "answers WHERE fingerprint = ? AND answered", fingerprint)
    answers = [Completion.from_record(record) for record in found]
    billed = [
        (a.usage.output_tokens or 0) + (a.usage.thinking_tokens or 0)
        for a in answers
        if a.usage.output_tokens is not None or a.usage.thinking_tokens is not None
    ]
    seconds = [a.latency_s for a in answers if a.latency_s is not None]
    written = [a.usage.output_tokens for a in answers if a.usage.output_tokens is not None]
    return Past(mean(billed), mean(seconds), mean(written))


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
    unhindered = latency_s * calls / one.provider.parallel(one.config.concurrency) / 60
    return max(unhindered, at_pace(config, one.config.provider, calls, tokens))


def at_pace(config: Config, provider: str, calls: int, tokens: int) -> float:
    """Minutes that the limits of the config ask for."""
    allowed = config.limits.get(provider)
    if allowed is None:
        return 0.0
    by_calls = calls / (allowed.requests_per_minute or float("inf"))
    return max(by_calls, tokens / (allowed.tokens_per_minute or float("inf")))


def _stops(plans: Sequence[ModelPlan], cap: float) -> Verdict:
    """Whether spending, over all models, would reach the cap."""
    if sum(plan.worst_usd or 0.0 for plan in plans) <= cap:
        return "no"
    likely = sum(plan.likely_usd or 0.0 for plan in plans if not plan.likely_is_worst)
    return "yes" if likely > cap else "maybe"


def mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _times(value: float | None, times: int) -> float | None:
    return None if value is None else value * times
