"""One model as a judge: a question, one repair if the reply is no verdict, and an end to it
when the model is gone.
"""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from llm_models.base import Provider
from llm_models.errors import KINDS, InputError, scrub, shorten
from llm_models.schema import Completion, Message, ModelConfig, Request, Sampling
from steps.core.config import Judge
from steps.core.hashing import sha256_of
from steps.core.judge_verdict import Verdict, read_verdict
from steps.core.prices import Plain, load_table, price_of
from steps.core.providers import provider_class
from steps.core.scorers import Failure

GONE_AFTER = 5  # failures in a row for one of these reasons: the judge is gone for other rows too
TRANSPORT = ("unreachable", "timeout", "busy", "overloaded", "rate_limited", "server_error")
MAX_TOKENS = 4096  # of a reply, thinking included
SCHEMA = {
    "type": "object",
    "properties": {  # the reason first, so that the result follows from it
        "rationale": {"type": "string"},
        "result": {"type": "string", "enum": ["yes", "no"]},
    },
    "required": ["rationale", "result"],
    "additionalProperties": False,
}
OPTIONS: dict[str, Any] = {  # a provider gets those it knows
    "format": SCHEMA,
    "response_schema": SCHEMA,
    "num_ctx": 8192,
    # A judge that may not read an unsafe answer cannot call it unsafe.
    "safety_settings": dict.fromkeys(
        ("harassment", "hate_speech", "sexually_explicit", "dangerous_content"), "none"
    ),
}
REPAIR = (
    "That was not the JSON object that was asked for. Give your verdict again, as exactly "
    '{"rationale": "...", "result": "yes"} or {"rationale": "...", "result": "no"}.'
)


@dataclass
class Spent:
    """What calls have used: tokens and USD; None once a part is unknown."""

    calls: int = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0  # thinking included
    cost_usd: float | None = 0.0

    def add(self, completion: Completion) -> None:
        self.calls += completion.attempts
        self.cost_usd = _sum(self.cost_usd, completion.cost_usd)
        kind = completion.error_kind
        if kind is None or KINDS[kind].billable:
            usage = completion.usage
            thought = usage.thinking_tokens or 0
            self.input_tokens = _sum(self.input_tokens, usage.input_tokens)
            self.output_tokens = _sum(_sum(self.output_tokens, usage.output_tokens), thought)


def judge_provider(judge: Judge, own_prices: Mapping[str, Plain]) -> Provider:
    """The judge's model, held to the form of a verdict. Raises InputError where it cannot be."""
    name, _, model = judge.model.partition(":/")
    kind = provider_class(name)
    options = {key: value for key, value in OPTIONS.items() if key in kind.Options.model_fields}
    if not options.keys() & {"format", "response_schema"}:
        raise InputError(f"judge.model: {name} cannot be held to a JSON schema, as a judge must be")
    config = ModelConfig(
        candidate="judge",
        provider=name,
        model=model,
        sampling=Sampling(temperature=judge.temperature, seed=judge.seed, max_tokens=MAX_TOKENS),
        timeout_s=judge.timeout_s,
        deadline_s=judge.timeout_s,  # a judge that did not finish in time is not asked again
        options=options,
        price=price_of(name, model, kind.local, own_prices, load_table()),
        base_url=judge.base_url,
    )
    return kind(config)


class JudgeModel:
    """Safe to share between threads. Raises CallError when the model cannot be used."""

    def __init__(self, judge: Judge, own_prices: Mapping[str, Plain]) -> None:
        self._provider = judge_provider(judge, own_prices)
        self.hash = _hash(self._provider)
        self.spent = Spent()
        self._lock = threading.Lock()
        self._alike: tuple[str | None, int] = (None, 0)  # how often the last reason came in a row
        self._gone: str | None = None

    def ask(self, system: str | None, user: str, answer: str) -> tuple[Verdict | Failure, Spent]:
        """The verdict on `answer`, or why there is none; and what it took."""
        spent, turns, reply = Spent(), [Message(role="user", content=user)], ""
        for _ in range(2):
            said = self._call(tuple(turns), system, spent)
            if isinstance(said, Failure):
                return said, spent
            reply, verdict = said, read_verdict(said, answer)
            if verdict is not None:
                return verdict, spent
            turns += [Message(role="assistant", content=said), Message(role="user", content=REPAIR)]
        return Failure(f"no verdict, though asked twice: {shorten(scrub(reply), 120)}"), spent

    def _call(self, turns: tuple[Message, ...], system: str | None, spent: Spent) -> str | Failure:
        if self._gone:
            return Failure(self._gone)
        completion = self._provider.complete(Request(turns, system, self._provider.config.sampling))
        spent.add(completion)
        with self._lock:
            self.spent.add(completion)
            self._watch(completion)
        if completion.text is None or completion.hint:  # such as: the prompt looks cut
            said = [text for text in (completion.error, completion.hint) if text]
            return Failure("; ".join(said))
        return completion.text

    def _watch(self, completion: Completion) -> None:
        kind = completion.error_kind
        if kind is None or self._gone:
            self._alike = (None, 0)
            return
        times = self._alike[1] + 1 if kind == self._alike[0] else 1
        self._alike = (kind, times if kind in TRANSPORT else 0)
        if KINDS[kind].fatal:
            self._gone = f"the judge cannot be asked: {completion.error}"
        elif self._alike[1] == GONE_AFTER:
            self._gone = f"the judge failed {GONE_AFTER} times in a row: {completion.error}"
        if self._gone:
            self._provider.stopped.set()  # nor does any call in flight wait for another try


def _hash(provider: Provider) -> str:
    """Of who is asked, and how; what is asked comes beside it."""
    config = provider.config
    options, sampling = config.options, asdict(config.sampling)
    asked = [config.provider, config.model, provider.identity(), config.base_url, sampling, options]
    return sha256_of([*asked, REPAIR])


def _sum(total: Any, part: Any) -> Any:
    return None if total is None or part is None else total + part
