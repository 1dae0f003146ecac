"""A request in OpenAI's chat format: what of it the model can be asked, and what it cannot."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from llm_models.errors import InputError

MAX_STOPS = 4  # as OpenAI has it


ONE_VALUE = {  # parameters that may only say what this server does anyway
    *("n", "store", "logprobs", "frequency_penalty", "presence_penalty", "logit_bias"),
    *("tools", "tool_choice", "response_format", "modalities", "service_tier"),
}


class ParameterError(InputError):
    """One parameter of a request is wrong or not supported."""

    def __init__(self, message: str, parameter: str | None) -> None:
        super().__init__(message)
        self.parameter = parameter


def _joined(content: Any) -> Any:
    """The texts of a message in parts, as one. Raises ValueError for another kind of part."""
    if not isinstance(content, list):
        return content
    texts = [_text_of(part) for part in content]
    if not texts:
        raise ValueError("it has no parts")
    return "".join(texts)


def _text_of(part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise ValueError("this server takes text, and parts of type 'text', alone")


def _listed(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class _Strict(BaseModel, extra="forbid", strict=True):
    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, given: Any) -> Any:
        """Null is as good as not given: clients send back whole messages of ours."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}


class ChatMessage(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)]

    def plain(self) -> dict[str, str]:
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": self.content}


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class ChatRequest(_Strict):
    """A parameter that would change the answer, and cannot, is refused by its name."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=1)  # not OpenAI's, but that of many servers
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: Annotated[list[str] | None, BeforeValidator(_listed)] = Field(None, max_length=MAX_STOPS)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)

    # ONE_VALUE
    n: Literal[1] = 1
    store: Literal[False] = False
    logprobs: Literal[False] = False
    frequency_penalty: float = Field(0, ge=0, le=0)
    presence_penalty: float = Field(0, ge=0, le=0)
    logit_bias: dict[str, Any] = Field({}, max_length=0)
    tools: list[Any] = Field([], max_length=0)
    tool_choice: Literal["none", "auto"] = "auto"
    parallel_tool_calls: bool = True
    response_format: dict[Literal["type"], Literal["text"]] = {"type": "text"}
    modalities: list[Literal["text"]] = ["text"]
    service_tier: Literal["auto", "default"] = "auto"

    # They change no answer.
    user: str = ""
    safety_identifier: str = ""
    prompt_cache_key: str = ""
    metadata: dict[str, Any] = {}

    @property
    def record(self) -> dict[str, Any]:
        """The columns of the model's signature."""
        return {"messages": [message.plain() for message in self.messages]}

    @property
    def params(self) -> dict[str, Any]:
        """The model's sampling options, where they are given."""
        own = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "stop")}
        limit = self.max_completion_tokens or self.max_tokens
        own |= {"seed": self.seed, "max_tokens": limit}
        return {name: value for name, value in own.items() if value is not None}


def read_chat(body: bytes) -> ChatRequest:
    """Raises ParameterError that quotes nothing of the request but a name known here."""
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    kind, where = first["type"], _path(first["loc"])
    if kind == "json_invalid":
        raise ParameterError("the body is not JSON that can be read", None)
    if kind == "extra_forbidden":
        raise ParameterError(f"this server does not support the parameter '{where}'", where)
    parameter = str(first["loc"][0]) if first["loc"] else None
    if parameter in ONE_VALUE:
        told = f"this server does not support this value of '{parameter}'"
        raise ParameterError(told, parameter)
    said = first["msg"].removeprefix("Value error, ")
    raise ParameterError(f"{where or 'the body'}: {said}", where)


def _path(place: Sequence[str | int]) -> str | None:
    """As in messages[0].content."""
    told = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return told.removeprefix(".") or None
