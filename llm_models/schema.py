"""What goes into one provider call and what comes out of it: plain types, no MLflow."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypedDict

Status = Literal["ok", "truncated", "empty", "blocked", "error", "incomplete"]
ANSWERED: tuple[Status, ...] = ("ok", "truncated")  # the only statuses that may be scored


class Message(TypedDict):
    role: str  # "user" or "assistant"; a system prompt travels apart
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling options in provider-neutral names; None leaves the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    messages: tuple[Message, ...]
    system: str | None = None
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reports them; None is unknown, never 0."""

    input_tokens: int | None = None
    output_tokens: int | None = None  # without thinking
    thinking_tokens: int | None = None
    cached_tokens: int | None = None  # the part of input_tokens read from a cache
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; None where the server does not say."""

    queue_s: float | None = None  # waiting that is neither load, prompt nor generation
    load_s: float | None = None
    prompt_s: float | None = None
    generation_s: float | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of an answer as an adapter translates it; later non-None values win.

    `status` is set only by a piece that ends the answer properly: an answer without one is
    incomplete.
    """

    text: str = ""
    status: Status | None = None
    finish_reason: str | None = None
    model_version: str | None = None
    usage: Usage | None = None
    timing: Timing | None = None
    thought: bool = False  # the model was thinking here; the thought itself is not kept
    hint: str | None = None  # what the reader can change to mend this answer


@dataclass(frozen=True, slots=True)
class Completion:
    """One row's outcome: exactly one status, and `text` only where there is an answer."""

    status: Status
    text: str | None = None
    partial: str | None = None  # what arrived of an answer that does not count as one
    finish_reason: str | None = None
    model_version: str | None = None
    usage: Usage = field(default_factory=Usage)
    latency_s: float | None = None  # wall time of the last call alone, no retry wait
    timing: Timing = field(default_factory=Timing)
    cost_usd: float | None = None  # of all attempts; None is unknown
    attempts: int = 1
    retry_s: float = 0.0  # earlier attempts and the waits between them
    error: str | None = None
    error_kind: str | None = None  # a key of errors.KINDS
    hint: str | None = None
    retry_after_s: float | None = None  # what the server asked to wait before another call

    @property
    def answered(self) -> bool:
        return self.status in ANSWERED

    def record(self) -> dict[str, Any]:
        """One flat JSON-ready row: the columns of OUTPUT_COLUMNS, and retry_after_s.

        The model's identity is not among them.
        """
        row = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NESTED}
        return row | asdict(self.usage) | asdict(self.timing)

    @classmethod
    def from_record(cls, row: dict[str, Any]) -> "Completion":
        """The inverse of `record`; unknown keys are ignored."""
        own = {f.name: row[f.name] for f in fields(cls) if f.name not in _NESTED and f.name in row}
        nested = {
            name: kind(**{f.name: row.get(f.name) for f in fields(kind)})
            for name, kind in _NESTED.items()
        }
        return cls(**own, **nested)


_NESTED: dict[str, Any] = {"usage": Usage, "timing": Timing}

OUTPUT_COLUMNS: dict[str, str] = {  # name -> MLflow type of the model's signature
    "text": "string",
    "status": "string",
    "finish_reason": "string",
    "supplier": "string",
    "model_name": "string",
    "model_version": "string",
    "input_tokens": "long",
    "output_tokens": "long",
    "thinking_tokens": "long",
    "cached_tokens": "long",
    "total_tokens": "long",
    "latency_s": "double",
    "queue_s": "double",
    "load_s": "double",
    "prompt_s": "double",
    "generation_s": "double",
    "cost_usd": "double",
    "attempts": "long",
    "retry_s": "double",
    "partial": "string",
    "error": "string",
    "error_kind": "string",
    "hint": "string",
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What a logged model carries: one candidate, fully resolved, without any secret."""

    candidate: str
    provider: str
    model: str
    system: str | None = None
    sampling: Sampling = Sampling()
    timeout_s: float = 60.0  # of one call
    deadline_s: float = 180.0  # of one row, retries included
    concurrency: int = 4
    options: dict[str, Any] = field(default_factory=dict)  # the provider's own, checked by it
    price: dict[str, Any] | None = None  # see cost.py; None is unknown
    identity: dict[str, Any] = field(default_factory=dict)  # resolved when logged
    base_url: str | None = None  # None: the provider's environment variable or default

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "ModelConfig":
        """Build from MLflow's model_config; keys of other versions are ignored."""
        known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        sampling = {k: v for k, v in (known.pop("sampling", None) or {}).items() if v is not None}
        if "stop" in sampling:
            sampling["stop"] = tuple(sampling["stop"])
        return cls(**known, sampling=Sampling(**sampling))
