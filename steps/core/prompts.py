"""System prompts of MLflow's prompt registry: each one version, found before any call is made.

MLflow is imported only where a candidate names such a prompt. What a version says about models
and response formats is left alone: config.yaml says that.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_models.errors import InputError, scrub, shorten
from steps.core.surroundings import server, sqlite_file

if TYPE_CHECKING:
    from mlflow.entities.model_registry import PromptVersion

FORM = "prompts:/name@alias or prompts:/name/3"
_LIKE_ONE = re.compile(r"\s*prompts?:/\S*\s*")
_REFERENCE = re.compile(r"prompts:/([\w.-]+)(?:@([\w-]+)|/(\d+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a registered prompt, and the system prompt it makes."""

    name: str
    version: int
    text: str

    @property
    def uri(self) -> str:
        return f"prompts:/{self.name}/{self.version}"

    def record(self) -> dict[str, str]:
        """What params and tags say of it."""
        return {"prompt_name": self.name, "prompt_version": str(self.version)}


def checked(system: str) -> str:
    """A system prompt as it is. Raises ValueError where it names a registered one wrongly."""
    if _LIKE_ONE.fullmatch(system) and not is_reference(system):
        raise ValueError(f"expected {FORM}, or the text itself")
    return system


def is_reference(system: str) -> bool:
    """Whether a system prompt names a registered one."""
    return _REFERENCE.fullmatch(system) is not None


def find(reference: str) -> Prompt:
    """The version that `reference` means now. Raises InputError with what mends it."""
    found = _version(reference)
    return Prompt(found.name, found.version, _text(found))


def _version(reference: str) -> "PromptVersion":
    import mlflow
    from mlflow.exceptions import MlflowException

    from steps.core import tracking

    ((name, alias, version),) = _REFERENCE.findall(reference)
    if not _there(mlflow.get_registry_uri()):
        raise InputError(f"{reference} is not there; {_remedy(name, alias, known=False)}")
    client = mlflow.MlflowClient()
    get = client.get_prompt_version_by_alias if alias else client.get_prompt_version
    try:
        with tracking.exclusive("store"):  # which another process may be creating
            found = get(name, alias or version)  # past the cache of mlflow.genai.load_prompt
        cause = "is not there"
    except MlflowException as error:
        found, cause = None, f"cannot be had: {shorten(scrub(error.message)).removesuffix('.')}"
    if found is None:
        known = client.get_prompt(name) is not None
        raise InputError(f"{reference} {cause}; {_remedy(name, alias, known=known)}")
    return found


def _there(store: str) -> bool:
    """Whether there is a store to look into. Raises InputError where it does not answer.

    Looking would create an SQLite store, and MLflow takes minutes to give a dead server up.
    """
    if file := sqlite_file(store):
        return file.exists()
    found = server(store)
    if found.status == "problem":
        raise InputError(f"{found.finding}; {found.remedy}")
    return True


def _remedy(name: str, alias: str, *, known: bool) -> str:
    """The command that makes the prompt, the version or the alias."""
    named = alias and alias.lower() != "latest"  # which every prompt has
    register = f"mlflow.genai.register_prompt('{name}', 'Its text.')"
    give = f"mlflow.genai.set_prompt_alias('{name}', '{alias}', 1)"
    made = [*([] if known and named else [register]), *([give] if named else [])]
    return f'make it with `python -c "import mlflow; {"; ".join(made)}"`'


def _text(found: "PromptVersion") -> str:
    """The template as one text. Raises InputError where it is more than a system prompt."""
    template: Any = found.template
    messages = [{"role": "system", "content": template}] if found.is_text_prompt else template
    texts: list[Any] = [message.get("content") for message in messages]
    if others := sorted({message["role"] for message in messages} - {"system"}):
        wrong = f"has messages of the role {', '.join(others)}, not of 'system' alone"
    elif not all(isinstance(text, str) and text.strip() for text in texts):
        wrong = "has an empty message, or one that is more than text"
    elif found.variables or any("{%" in text for text in texts):
        fields = ", ".join(f"{{{{{name}}}}}" for name in sorted(found.variables))
        wrong = f"is a template, and nothing fills {fields or 'its {% … %}'}"
    else:
        return "\n\n".join(texts)
    raise InputError(f"{found.uri} {wrong}; register a version that is one plain text")
