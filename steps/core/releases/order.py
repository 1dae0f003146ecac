"""What is asked of a promotion, checked before anything is looked up."""

from dataclasses import dataclass
from typing import Self

from llm_models.errors import InputError
from steps.core.cli import true_or_false, whole_number
from steps.core.config import Config, Gate, GateMode
from steps.core.strict import did_you_mean

MODES: tuple[GateMode, ...] = ("enabled", "dry_run", "disabled")
MAX_REASON = 1000  # characters: a tag of the registry holds 5,000


@dataclass(frozen=True)
class Order:
    """An alias, its gate, and how strictly it is kept."""

    alias: str
    gate: tuple[Gate, ...]
    mode: GateMode
    force: bool
    reason: str
    name: str | None  # of a registered model; None: those of the chosen candidates
    version: int | None  # None: the best that was evaluated, or for production what holds staging

    @property
    def takes_the_candidate(self) -> bool:
        """What is asked for is a candidate of the config as it stands, and no certain version."""
        return self.alias == "staging" and self.version is None and not self.force

    @classmethod
    def parse(
        cls,
        config: Config,
        *,
        alias: str,
        name: str = "",
        version: str = "",
        mode: str = "",
        force: str = "",
        reason: str = "",
    ) -> Self:
        """From the texts of a command line, empty where not given. Raises InputError."""
        forced, chosen = true_or_false("force", force), _mode(mode) or config.gate_mode
        told = one_line("reason", reason)
        if (forced or _mode(mode) == "disabled") and not told:
            raise InputError("reason: tell why, since force or mode=disabled overrides the gate")
        why = {"disabled": "the config's gate_mode is disabled"}.get(chosen, "the gate holds")
        number = whole_number("version", version)
        return cls(alias, _gate(config, alias), chosen, forced, told or why, name or None, number)


def one_line(option: str, text: str) -> str:
    """Raises InputError for a text longer than the ledger keeps."""
    told = " ".join(text.split())
    if len(told) > MAX_REASON:
        raise InputError(f"{option}: {len(told)} characters; the ledger keeps {MAX_REASON}")
    return told


def _mode(text: str) -> GateMode | None:
    found = next((mode for mode in MODES if mode == text), None)
    if text and found is None:
        hint = did_you_mean(text, MODES)
        raise InputError(f"mode: there is no '{text}'{hint}; choose from {', '.join(MODES)}")
    return found


def _gate(config: Config, alias: str) -> tuple[Gate, ...]:
    """The gate of an alias. Raises InputError: without a gate nothing may be promoted."""
    gate = {str(name): gates for name, gates in config.gates.items()}.get(alias)
    if not gate:
        known = ", ".join(config.gates) or "none"
        raise InputError(f"alias: the config has no gates for '{alias}' (it has: {known})")
    return gate
