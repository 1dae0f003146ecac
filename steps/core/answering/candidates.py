"""From a line of config.yaml to something that can be asked, with the identity of its answers."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llm_models.base import Provider
from llm_models.errors import CallError, InputError
from llm_models.schema import ModelConfig
from steps.core.config import Candidate, Config, choose
from steps.core.hashing import sha256_of, sha256_of_files
from steps.core.prices import load_table, price_of
from steps.core.prompts import Prompt, find, is_reference
from steps.core.providers import PACKAGE, provider_class

_IMPORT = re.compile(r"^\s*from llm_models\.(\w+) import", re.MULTILINE)


@dataclass(frozen=True)
class Ready:
    """A candidate whose provider answers, resolved to what exactly would answer."""

    candidate: Candidate
    provider: Provider
    fingerprint: str  # what changes its answers
    settings_hash: str  # what changes how they are asked and billed
    prompt: Prompt | None = None  # None: the system prompt stands in the config

    @property
    def config(self) -> ModelConfig:
        return self.provider.config

    @property
    def price_hash(self) -> str:
        return sha256_of(self.config.price)

    @property
    def prompt_record(self) -> dict[str, str]:
        """Name and version of its registered prompt, where it has one."""
        return self.prompt.record() if self.prompt else {}


@dataclass(frozen=True)
class Skipped:
    """A candidate that cannot be asked, and the remedy."""

    candidate: Candidate
    reason: str

    def line(self) -> str:
        return f"{self.candidate.name} skipped: {self.reason}"


def resolve(candidate: Candidate, config: Config) -> Ready:
    """Ask the provider who would answer, at no cost.

    Raises CallError with the remedy, and InputError where its prompt is not in the registry.
    """
    kind = provider_class(candidate.provider)
    unresolved = ModelConfig(
        candidate=candidate.name,
        provider=candidate.provider,
        model=candidate.model,
        system=candidate.system,
        sampling=candidate.sampling,
        timeout_s=candidate.timeout_s,
        deadline_s=candidate.deadline_s,
        concurrency=candidate.concurrency,
        options=candidate.options,
        base_url=candidate.base_url,
    )
    local = kind.runs_locally(unresolved)
    price = price_of(candidate.provider, candidate.model, local, config.own_prices(), load_table())
    identity = kind(unresolved).identity()
    prompt = _prompt_of(candidate)
    system = prompt.text if prompt else candidate.system
    provider = kind(replace(unresolved, system=system, identity=identity, price=price))
    settings = settings_hash(candidate, provider.config)
    return Ready(candidate, provider, fingerprint(provider, prompt), settings, prompt)


def _prompt_of(candidate: Candidate) -> Prompt | None:
    """The registered prompt that a candidate names, if it names one."""
    if not (candidate.system and is_reference(candidate.system)):
        return None
    try:
        return find(candidate.system)
    except InputError as error:
        raise InputError(f"{candidate.name}: system: {error}") from None


def resolve_all(config: Config, spec: str) -> tuple[list[Ready], list[Skipped]]:
    """The chosen candidates that can be asked, and the others.

    Raises InputError when a candidate chosen by name, or all, cannot be asked, and when none can.
    """
    ready: list[Ready] = []
    skipped: list[Skipped] = []
    for candidate in choose(config, spec):
        try:
            ready.append(resolve(candidate, config))
        except CallError as error:
            hint = f" ({error.hint})" if error.hint else ""
            skipped.append(Skipped(candidate, f"{error}{hint}"))
    if skipped and (spec.strip() != "available" or not ready):
        lines = "\n".join(f"  {skip.line()}" for skip in skipped)
        raise InputError(f"these candidates cannot be asked:\n{lines}")
    return ready, skipped


def fingerprint(provider: Provider, prompt: Prompt | None = None) -> str:
    """Hex sha256 of what changes the answers: model, prompt, options and packed code."""
    config = provider.config
    options = {k: v for k, v in config.options.items() if k not in provider.files}
    parts: dict[str, Any] = {
        "provider": config.provider,
        "model": config.model,
        "identity": config.identity,  # holds the hashes of packed files
        "system": config.system,
        "sampling": asdict(config.sampling),
        "options": options,
        "base_url": config.base_url,
        "code": sha256_of_files(list(_code_of(config.provider))),
    }
    if prompt:
        parts |= prompt.record()
    return sha256_of(parts)


def settings_hash(candidate: Candidate, config: ModelConfig) -> str:
    """Hex sha256 of the rest of what is packed: a change means a new logged model, no new call."""
    names = [candidate.name, candidate.registered_name, candidate.task]
    return sha256_of(
        [*names, config.timeout_s, config.deadline_s, config.concurrency, config.price]
    )


def _code_of(provider: str) -> Iterable[Path]:
    """Its file and all that it imports of the package; no other can change its answers."""
    found: set[str] = set()
    waiting = {provider}
    while waiting:
        found |= waiting
        texts = [(PACKAGE / f"{name}.py").read_text("utf-8") for name in waiting]
        waiting = {name for text in texts for name in _IMPORT.findall(text)} - found
    return (PACKAGE / f"{name}.py" for name in sorted(found))
