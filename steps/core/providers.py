"""From the name of a provider to its class: the file name is the provider's name."""

import importlib
import re
from pathlib import Path

import llm_models
from llm_models.base import Provider
from llm_models.errors import InputError
from steps.core.strict import did_you_mean

PACKAGE = Path(llm_models.__file__).parent
_PROVIDER = re.compile(r"^class \w+\([^)]*\bProvider\b[^)]*\):", re.MULTILINE)


def providers() -> list[str]:
    """The files of llm_models that define a Provider, by name; none of them is imported."""
    files = sorted(PACKAGE.glob("*.py"))
    return [file.stem for file in files if _PROVIDER.search(file.read_text(encoding="utf-8"))]


def provider_class(name: str) -> type[Provider]:
    """The Provider subclass of llm_models/<name>.py. Raises InputError naming those there are."""
    known = providers()
    if name not in known:
        hint = did_you_mean(name, known)
        raise InputError(f"there is no provider '{name}'{hint}; llm_models has {', '.join(known)}")
    module = importlib.import_module(f"llm_models.{name}")
    return next(
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Provider)
        and item.__module__ == module.__name__
    )
