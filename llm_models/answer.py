"""The pieces of one answer, folded into a Completion."""

import time
from typing import TYPE_CHECKING, Any

from llm_models.cost import cost_usd
from llm_models.errors import KINDS, CallError
from llm_models.schema import Chunk, Completion, Timing, Usage

if TYPE_CHECKING:
    from llm_models.base import Provider


class Answer:
    """One answer while it arrives."""

    def __init__(self, provider: "Provider") -> None:
        self.provider = provider
        self.texts: list[str] = []
        self.last = Chunk()
        self.started = time.perf_counter()

    def add(self, chunk: Chunk) -> None:
        self.texts.append(chunk.text)
        self.last = Chunk(
            status=chunk.status or self.last.status,
            finish_reason=chunk.finish_reason or self.last.finish_reason,
            model_version=chunk.model_version or self.last.model_version,
            usage=chunk.usage or self.last.usage,
            timing=chunk.timing or self.last.timing,
            thought=chunk.thought or self.last.thought,
            hint=chunk.hint or self.last.hint,
        )

    def completion(self) -> Completion:
        raw = self._written()
        text = self.provider.clean(raw)
        status = self.last.status or "incomplete"
        if status in ("ok", "truncated") and not text.strip():
            return self._empty(status, raw)
        if status in ("ok", "truncated"):
            cut = "the answer was cut: raise max_tokens" if status == "truncated" else None
            return self._outcome(status=status, text=text, hint=self.last.hint or cut)
        return self._outcome(
            status=status,
            partial=raw or None,
            error=f"the answer ended with '{self.last.finish_reason or 'no finish reason'}'",
            error_kind=_kind_of(status),
        )

    def _empty(self, status: str, raw: str) -> Completion:
        thought = self.last.thought or bool(raw.strip()) or bool(self._usage().thinking_tokens)
        cause = "thinking used up the whole answer" if thought else "the answer has no text"
        hint = self.last.hint
        if status == "truncated":
            hint = hint or "raise max_tokens or lower the thinking budget"
        return self._outcome(
            status="empty",
            partial=raw or None,
            error=cause,
            error_kind="empty",
            hint=hint,
        )

    def failure(self, error: CallError) -> Completion:
        partial = self._written()
        return self._outcome(
            status="incomplete" if partial or error.kind == "incomplete" else "error",
            partial=partial or None,
            error=str(error),
            error_kind=error.kind,
            hint=error.hint,
            retry_after_s=error.retry_after,
        )

    def _written(self) -> str:
        """All text so far; half a surrogate pair, which nothing could store, becomes U+FFFD."""
        return "".join(self.texts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _usage(self) -> Usage:
        return self.last.usage or Usage()

    def _outcome(self, **fields: Any) -> Completion:
        latency = time.perf_counter() - self.started
        kind = fields.get("error_kind")
        begun = bool(self.texts) or self.last.usage is not None
        billed = begun or kind is None or KINDS[kind].billable
        price = self.provider.config.price
        fields.setdefault("hint", self.last.hint)
        return Completion(
            **fields,
            finish_reason=self.last.finish_reason,
            model_version=self.last.model_version,
            usage=self._usage(),
            latency_s=latency,
            timing=self.last.timing or Timing(),
            # A call the server refused outright was not billed; any other may have been.
            cost_usd=cost_usd(price, self._usage(), latency) if billed else 0.0,
        )


def _kind_of(status: str) -> str:
    return status if status in ("blocked", "incomplete") else "bad_response"
