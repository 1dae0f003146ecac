"""What an answer, and a session, took: in one line each. What is unknown is said to be so."""

from collections.abc import Iterable, Sequence

from llm_models.schema import Completion
from steps.core.chat.turn import Reply
from steps.core.sums import sum_known


def of_reply(reply: Reply) -> str:
    """Tokens, seconds, tokens a second and USD."""
    completion = reply.completion
    told = (
        reply.question.speaker.name,
        _tokens(completion),
        _seconds(reply),
        _speed(completion),
        _usd(completion.cost_usd),
    )
    return " · ".join(filter(None, told))


def of_session(replies: Sequence[Reply]) -> str:
    """How many were answered, in how many tokens, how many were not, and the USD of all."""
    answered = [reply for reply in replies if reply.completion.answered]
    stopped = sum(reply.stopped for reply in replies)
    failed = len(replies) - len(answered) - stopped
    tokens = sum_known(reply.completion.usage.total_tokens for reply in answered)
    counted = "tokens unknown" if tokens is None else f"{tokens:,.0f} tokens"
    told = (
        f"{len(answered)} answered" + (f" ({counted})" if answered else ""),
        f"{stopped} stopped" if stopped else "",
        f"{failed} failed" if failed else "",
        _usd(total_usd(replies)),
    )
    return " · ".join(filter(None, told))


def total_usd(replies: Iterable[Reply]) -> float | None:
    """None where any cost is unknown."""
    return sum_known(reply.completion.cost_usd for reply in replies)


def _tokens(completion: Completion) -> str:
    usage = completion.usage
    counts = {
        "in": usage.input_tokens,
        "out": usage.output_tokens,
        "thinking": usage.thinking_tokens,
    }
    known = [f"{count:,} {name}" for name, count in counts.items() if count is not None]
    return f"tokens {' + '.join(known) or 'unknown'}"


def _seconds(reply: Reply) -> str:
    took, first = reply.completion.latency_s, reply.first_s
    if took is None:
        return ""
    return f"{took:.2f} s" if first is None else f"{took:.2f} s, first token after {first:.2f}"


def _speed(completion: Completion) -> str:
    seconds = completion.timing.generation_s or completion.latency_s
    count = completion.usage.output_tokens
    return f"{count / seconds:.0f} tokens/s" if count and seconds else ""


def _usd(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"${cost:.6f}".rstrip("0").rstrip(".")
