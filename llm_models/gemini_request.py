"""A request in the SDK's types, and the options that only Gemini has."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from llm_models.schema import Request

if TYPE_CHECKING:
    from google.genai import types

CATEGORIES = frozenset(
    {
        "HARASSMENT",
        "HATE_SPEECH",
        "SEXUALLY_EXPLICIT",
        "DANGEROUS_CONTENT",
        "CIVIC_INTEGRITY",
        "JAILBREAK",
        "IMAGE_HARASSMENT",
        "IMAGE_HATE",
        "IMAGE_SEXUALLY_EXPLICIT",
        "IMAGE_DANGEROUS_CONTENT",
    }
)
THRESHOLDS = frozenset({"LOW_AND_ABOVE", "MEDIUM_AND_ABOVE", "ONLY_HIGH", "NONE", "OFF"})


class GeminiOptions(BaseModel, extra="forbid", strict=True):
    thinking_budget: int | None = Field(None, ge=-1)  # tokens; 0 is off, -1 is automatic
    thinking_level: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    include_thoughts: bool | None = None  # summaries of thoughts are sent; they are not kept
    safety_settings: dict[str, str] = Field(default_factory=dict)  # {"harassment": "none"}
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None  # a JSON schema
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    @field_validator("safety_settings", mode="before")
    @classmethod
    def _full_names(cls, given: Any) -> Any:
        """Google's own names from its own or short ones: HARM_CATEGORY_… and BLOCK_…."""
        if not isinstance(given, dict):
            return given
        return {_category(name): _threshold(level) for name, level in given.items()}

    @model_validator(mode="after")
    def _one_way_to_think(self) -> "GeminiOptions":
        if self.thinking_budget is not None and self.thinking_level is not None:
            raise ValueError("give thinking_budget or thinking_level, not both")
        return self


def _category(name: Any) -> str:
    return "HARM_CATEGORY_" + _known("category", name, "HARM_CATEGORY_", CATEGORIES)


def _threshold(level: Any) -> str:
    level = "off" if level is False else level  # YAML reads off as False
    short = _known("threshold", level, "BLOCK_", THRESHOLDS)
    return short if short == "OFF" else f"BLOCK_{short}"


def _known(what: str, given: Any, prefix: str, known: frozenset[str]) -> str:
    short = given.upper().removeprefix(prefix) if isinstance(given, str) else None
    if short is None or short not in known:
        raise ValueError(f"unknown {what} '{given}' (known: {', '.join(sorted(known))})")
    return short


def contents_of(request: Request) -> "list[types.Content]":
    from google.genai import types

    return [
        types.Content(
            role="model" if message["role"] == "assistant" else "user",
            parts=[types.Part(text=message["content"])],
        )
        for message in request.messages
    ]


def config_of(request: Request, options: GeminiOptions) -> "types.GenerateContentConfig":
    from google.genai import types

    sampling = request.sampling
    json_mode = "application/json" if options.response_schema else None
    return types.GenerateContentConfig(
        system_instruction=request.system,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_output_tokens=sampling.max_tokens,
        stop_sequences=list(sampling.stop) if sampling.stop else None,
        seed=sampling.seed,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        response_mime_type=options.response_mime_type or json_mode,
        response_json_schema=options.response_schema,
        safety_settings=_safety(options),
        thinking_config=_thinking(options),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def _thinking(options: GeminiOptions) -> "types.ThinkingConfig | None":
    from google.genai import types

    level = options.thinking_level
    thinking = types.ThinkingConfig(
        include_thoughts=options.include_thoughts,
        thinking_budget=options.thinking_budget,
        thinking_level=types.ThinkingLevel(level.upper()) if level else None,
    )
    return thinking if thinking.model_dump(exclude_none=True) else None


def _safety(options: GeminiOptions) -> "list[types.SafetySetting] | None":
    from google.genai import types

    return [
        types.SafetySetting(
            category=types.HarmCategory(category), threshold=types.HarmBlockThreshold(threshold)
        )
        for category, threshold in options.safety_settings.items()
    ] or None
