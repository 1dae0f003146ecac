"""One reply of Gemini's, whole or a piece of a stream, as a Chunk. Any field may be missing."""

from typing import TYPE_CHECKING, Any

from llm_models.schema import Chunk, Status, Usage

if TYPE_CHECKING:
    from google.genai import types

ENDINGS: dict[str, Status] = {"STOP": "ok", "MAX_TOKENS": "truncated"}
BLOCKED = {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"}
BLOCKED |= {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"}
BLOCKED |= {"MODEL_ARMOR", "ESCALATION"}

PROMPT_BLOCKED = "the prompt itself was blocked: rephrase it, or see safety_settings"
TOO_SHORT = "raise max_output_tokens or lower the thinking budget (max_tokens, thinking_budget)"
TOOL_CALL = "the model tried to call a tool, and none was offered"
TOOL_ENDINGS = {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}


def chunk_of(reply: "types.GenerateContentResponse", wrote: bool) -> Chunk:
    """`wrote`: this reply or an earlier one of the same answer holds more than thoughts."""
    reason, hint = _ending(reply)
    parts = parts_of(reply)
    if any(part.function_call for part in parts):
        hint = hint or TOOL_CALL
    return Chunk(
        text="".join(part.text or "" for part in parts if not part.thought),
        status=_status(reply, reason),
        finish_reason=reason,
        model_version=(reply.model_version or "").removeprefix("models/") or None,
        usage=_usage(reply.usage_metadata, wrote),
        thought=any(part.thought for part in parts),
        hint=hint,
    )


def parts_of(reply: "types.GenerateContentResponse") -> "list[types.Part]":
    """Those of candidate 0; the others are other answers."""
    candidate = _candidate(reply)
    content = candidate.content if candidate else None
    return (content.parts if content else None) or []


def speaks(part: "types.Part") -> bool:
    """Whether a part counts as output: text, code or a tool call, but no thought."""
    return not part.thought and bool(part.text or part.function_call or part.executable_code)


def _candidate(reply: "types.GenerateContentResponse") -> "types.Candidate | None":
    return next((c for c in reply.candidates or [] if not c.index), None)


def _ending(reply: "types.GenerateContentResponse") -> tuple[str | None, str | None]:
    """The finish reason, or why the prompt was blocked, and what mends it."""
    if _blocked_prompt(reply):
        return _blocked_prompt(reply), PROMPT_BLOCKED
    candidate = _candidate(reply)
    reason = _name(candidate and candidate.finish_reason)
    if reason in TOOL_ENDINGS:
        return reason, TOOL_CALL
    return reason, TOO_SHORT if reason == "MAX_TOKENS" else None


def _status(reply: "types.GenerateContentResponse", reason: str | None) -> Status | None:
    """Only what is known to be good is good: new finish reasons appear over time."""
    if reason is None:
        return None
    if _blocked_prompt(reply) or reason in BLOCKED:
        return "blocked"
    return ENDINGS.get(reason, "error")


def _blocked_prompt(reply: "types.GenerateContentResponse") -> str | None:
    feedback = reply.prompt_feedback
    return _name(feedback and feedback.block_reason)


def _name(value: Any) -> str | None:
    """An enum member, perhaps younger than the SDK, as the text the server sent."""
    return str(value.value) if value else None


def _usage(counts: Any, wrote: bool) -> Usage | None:
    """Google leaves zeros out and bills what tools feed to the model as input.

    A missing output count is 0 only where nothing was written; beside text it is unknown. The
    total is never computed: it does not always hold the thoughts.
    """
    if counts is None:
        return None
    prompt, output = counts.prompt_token_count, counts.candidates_token_count
    counted = prompt is not None
    usage = Usage(
        input_tokens=prompt + (counts.tool_use_prompt_token_count or 0) if counted else None,
        output_tokens=0 if output is None and counted and not wrote else output,
        thinking_tokens=counts.thoughts_token_count,
        cached_tokens=counts.cached_content_token_count,
        total_tokens=counts.total_token_count,
    )
    return None if usage == Usage() else usage
