"""One model as a judge: a question, one repair if the reply is no verdict, and an end to it
when the model is gone.
"""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from llm_models.base import Provider
from llm_models.errors import KINDS, CallError, scrub, shorten
from llm_models.schema import Completion, Message, ModelConfig, Request, Sampling
from steps.core.answering.estimate import estimate_of, worst_of
from steps.core.answering.limits import Budget, Pace, Room
from steps.core.hashing import sha256_of
from steps.core.judges.config import FORMS, Judge
from steps.core.judges.scale import YES_NO, Scale
from steps.core.judges.verdict import Verdict, read_verdict
from steps.core.prices import Plain, load_table, price_of
from steps.core.providers import provider_class
from steps.core.scores.scorer import Failure
from steps.core.sums import sum_known

GONE_AFTER = 5  # failures in a row for one of these reasons: the judge is gone for other rows too
TRANSPORT = ("unreachable", "timeout", "busy", "overloaded", "rate_limited", "server_error")
OPTIONS: dict[str, Any] = {  # under the config's own; a provider gets those it knows
    "num_ctx": 8192,
    # A judge that may not read an unsafe answer cannot call it unsafe.
    "safety_settings": dict.fromkeys(
        ("harassment", "hate_speech", "sexually_explicit", "dangerous_content"), "none"
    ),
}
REPAIR = "That was not the JSON object that was asked for. Give your verdict again, as exactly "


@dataclass
class Spent:
    """What calls have used: tokens and USD; None once a part is unknown."""

    calls: int = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0  # thinking included
    cost_usd: float | None = 0.0

    def add(self, completion: Completion) -> None:
        self.calls += completion.attempts
        self.cost_usd = sum_known((self.cost_usd, completion.cost_usd))
        kind = completion.error_kind
        if kind is None or KINDS[kind].billable:
            usage = completion.usage
            thought = usage.thinking_tokens or 0
            self.input_tokens = sum_known((self.input_tokens, usage.input_tokens))
            self.output_tokens = sum_known((self.output_tokens, usage.output_tokens, thought))


def judge_provider(
    judge: Judge, own_prices: Mapping[str, Plain], scale: Scale = YES_NO
) -> Provider:
    """The judge's model, held to the form of a verdict. Raises InputError where it cannot be."""
    name, _, model = judge.model.partition(":/")
    kind = provider_class(name)
    wanted = OPTIONS | judge.options | dict.fromkeys(FORMS, scale.schema())
    config = ModelConfig(
        candidate="judge",
        provider=name,
        model=model,
        sampling=Sampling(
            temperature=judge.temperature, seed=judge.seed, max_tokens=judge.max_tokens
        ),
        timeout_s=judge.timeout_s,
        deadline_s=judge.timeout_s,  # a judge that did not finish in time is not asked again
        options={key: value for key, value in wanted.items() if key in kind.Options.model_fields},
        base_url=judge.base_url,
    )
    price = price_of(name, model, kind.runs_locally(config), own_prices, load_table())
    return kind(replace(config, price=price))


class JudgeModel:
    """Safe to share between threads. Raises CallError when the model cannot be used, and
    InputError where a budget has a cap and the model no price.
    """

    def __init__(
        self, judge: Judge, own_prices: Mapping[str, Plain], budget: Budget, pace: Pace
    ) -> None:
        self._judge, self._prices, self._budget, self._pace = judge, own_prices, budget, pace
        provider = judge_provider(judge, own_prices)
        if budget.most is not None:
            worst_of(provider.config, Request(()))
        self.hash, self.config = _hash(provider), provider.config
        self.spent = Spent()
        self._providers = {YES_NO: provider}
        self._lock = threading.Lock()
        self._alike: tuple[str | None, int] = (None, 0)  # how often the last reason came in a row
        self._gone: str | None = None

    def ask(
        self, system: str | None, user: str, quoted: str, scale: Scale = YES_NO
    ) -> tuple[Verdict | Failure, Spent]:
        """The verdict, or why there is none, and what it took; `quoted` is what is judged."""
        spent, turns, reply = Spent(), [Message(role="user", content=user)], ""
        for _ in range(2):
            said = self._call(tuple(turns), system, scale, spent)
            if isinstance(said, Failure):
                return said, spent
            reply, verdict = said, read_verdict(said, quoted, scale)
            if verdict is not None:
                return verdict, spent
            again = f"{REPAIR}{scale.form()}."
            turns += [Message(role="assistant", content=said), Message(role="user", content=again)]
        return Failure(f"no verdict, though asked twice: {shorten(scrub(reply), 120)}"), spent

    def _call(
        self, turns: tuple[Message, ...], system: str | None, scale: Scale, spent: Spent
    ) -> str | Failure:
        provider = self._provider(scale)
        request = Request(turns, system, provider.config.sampling)
        completion = None if self._gone else self._within_limits(provider, request)
        if completion is None:
            return Failure(self._gone or f"max_cost ({self._budget.most:g} USD) leaves no room")
        spent.add(completion)
        with self._lock:
            self.spent.add(completion)
            self._watch(completion)
        if completion.text is None or completion.hint:  # such as: the prompt looks cut
            said = [text for text in (completion.error, completion.hint) if text]
            return Failure("; ".join(said))
        return completion.text

    def stop(self) -> None:
        """Ask nothing more, and end the waits of calls under way."""
        with self._lock:
            self._end("interrupted")

    def _end(self, reason: str) -> None:
        self._gone = reason
        for provider in self._providers.values():
            provider.stopped.set()  # nor does any call in flight wait for another try

    def _provider(self, scale: Scale) -> Provider:
        with self._lock:
            if scale not in self._providers:
                self._providers[scale] = judge_provider(self._judge, self._prices, scale)
            return self._providers[scale]

    def _within_limits(self, provider: Provider, request: Request) -> Completion | None:
        """None where the call could cross the cap; another try that could is not made."""
        config, pace = provider.config, self._pace
        tokens = estimate_of(config, request).input_tokens if pace.counts_tokens else 0
        worst = worst_of(config, request) if self._budget.most is not None else 0.0
        if not (pace.begin(tokens, provider.stopped) and self._budget.reserve(worst, wait=True)):
            return None
        room = Room(self._budget, worst)

        def observe(failure: CallError | None, began: float, cost: float | None) -> None:
            again = failure is not None and failure.retry
            if again:
                pace.start(tokens)
            if not room.paid(cost, again=again):
                provider.stopped.set()

        completion = provider.complete(request, observe)
        room.close()
        return completion

    def _watch(self, completion: Completion) -> None:
        kind = completion.error_kind
        if kind is None or self._gone:
            self._alike = (None, 0)
            return
        times = self._alike[1] + 1 if kind == self._alike[0] else 1
        self._alike = (kind, times if kind in TRANSPORT else 0)
        if KINDS[kind].fatal:
            self._end(f"the judge cannot be asked: {completion.error}")
        elif self._alike[1] == GONE_AFTER:
            self._end(f"the judge failed {GONE_AFTER} times in a row: {completion.error}")


def _hash(provider: Provider) -> str:
    """Of who is asked, and how; what is asked comes beside it."""
    config = provider.config
    options, sampling = config.options, asdict(config.sampling)
    asked = [config.provider, config.model, provider.identity(), config.base_url, sampling, options]
    return sha256_of([*asked, REPAIR])
