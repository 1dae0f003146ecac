"""The last object of an Ollama answer: how it ended, what it took, whether the prompt was whole."""

from typing import Any

from llm_models.schema import Request, Status, Timing, Usage

# The reason is absent on old servers; "load", "unload" and what is not known end no answer.
ENDINGS: dict[str | None, Status] = {None: "ok", "stop": "ok", "length": "truncated"}
NANOSECONDS = 1_000_000_000
CHARS_PER_TOKEN = 4
DEFAULT_WINDOWS = (2048, 4096, 8192, 32768, 262144)  # Ollama's, by version, model and memory
SLACK = 8  # tokens by which a cut prompt may miss the window, or half of it


def usage(last: dict[str, Any]) -> Usage:
    prompt = _count(last, "prompt_eval_count") or None  # no prompt has 0 tokens
    answer = _count(last, "eval_count")  # thinking included: Ollama does not count it apart
    total = None if prompt is None or answer is None else prompt + answer
    return Usage(input_tokens=prompt, output_tokens=answer, total_tokens=total)


def timing(last: dict[str, Any]) -> Timing:
    """Seconds of the server's own account; what it does not explain is the wait for a slot."""
    total, load, prompt, answer = (
        _seconds(last, f"{part}_duration") for part in ("total", "load", "prompt_eval", "eval")
    )
    queue = None
    if total is not None and load is not None and prompt is not None and answer is not None:
        rest = total - load - prompt - answer
        queue = rest if rest >= 0 else None
    return Timing(queue_s=queue, load_s=load, prompt_s=prompt, generation_s=answer)


def hint(
    reason: str | None, request: Request, input_tokens: int | None, num_ctx: int | None
) -> str | None:
    if looks_cut(request, input_tokens, num_ctx):
        return "prompt looks cut: raise num_ctx"
    if reason == "length" and request.sampling.max_tokens is None:
        return "the answer filled the context window: raise num_ctx"
    return None


def looks_cut(request: Request, input_tokens: int | None, num_ctx: int | None) -> bool:
    """Whether the server seems to have dropped part of the prompt without a word.

    A server that cuts keeps a full window of it or half of one. A count that is merely small
    says nothing, because a cached prompt is not counted.
    """
    texts = [request.system or "", *(message["content"] for message in request.messages)]
    estimate = sum(map(len, texts)) / CHARS_PER_TOKEN
    if num_ctx and (input_tokens or 0) <= num_ctx and estimate > 1.5 * num_ctx:
        return True
    if input_tokens is None:
        return False
    if num_ctx and abs(input_tokens - num_ctx) <= SLACK:
        return True
    return any(
        estimate > window and (input_tokens == window or 0 <= input_tokens - window // 2 <= SLACK)
        for window in ([num_ctx] if num_ctx else DEFAULT_WINDOWS)
    )


def _count(last: dict[str, Any], name: str) -> int | None:
    value = last.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _seconds(last: dict[str, Any], name: str) -> float | None:
    value = _count(last, name)
    return None if value is None else value / NANOSECONDS
