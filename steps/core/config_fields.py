"""Fields that several sections of config.yaml share."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from llm_models.errors import InputError
from steps.core.providers import provider_class

CHOICES = ("available", "all")


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", text):
        raise ValueError("may hold letters, digits, '.', '_' and '-' only")
    if text.startswith("."):
        raise ValueError("must not begin with '.': MLflow takes it for a path")
    if text in CHOICES:
        raise ValueError(f"'{text}' has a meaning of its own on the command line")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@]+(/[^\s@]*)?", text):
        raise ValueError("expected http(s)://host…, without user or password")
    return text


def _price_key(text: str) -> str:
    provider, _, model = text.partition("/")
    provider_class(provider)
    if not model:
        raise ValueError("expected provider/model, such as ollama/llama3.1:8b")
    return text


def _provider(name: str) -> str:
    provider_class(name)
    return name


Name = Annotated[str, AfterValidator(_name)]
ProviderName = Annotated[str, AfterValidator(_provider)]
Url = Annotated[str, AfterValidator(_url)]
Seconds = Annotated[float, Field(gt=0)]
PriceKey = Annotated[str, AfterValidator(_price_key)]


def fitting(options: dict[str, Any], provider: str, info: ValidationInfo) -> dict[str, Any]:
    """A provider's own options, paths in them resolved. Raises ValidationError."""
    kind = provider_class(provider)
    folder = Path((info.context or {}).get("folder", ""))
    resolved = {
        key: str(folder / value) if key in kind.files and isinstance(value, str) else value
        for key, value in options.items()
    }
    try:
        kind.check_options(resolved)
    except InputError as error:
        raise _at_option(options, error) from None
    return resolved


def _at_option(options: Mapping[str, Any], error: InputError) -> ValidationError:
    """The provider's complaint, at the option that it quotes."""
    quoted = next((key for key in options if f"'{key}'" in str(error)), None)
    detail = InitErrorDetails(
        type=PydanticCustomError("option", "{text}", {"text": str(error)}),
        loc=() if quoted is None else (quoted,),
        input=None,
    )
    return ValidationError.from_exception_data("options", [detail])
