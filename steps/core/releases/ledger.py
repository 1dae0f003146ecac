"""Who had an alias when and why, kept in the registry itself: one tag of the model for each move.

A tag of the registered model outlives its versions and runs, and every machine that reaches the
tracking server sees it. Each entry holds the hash of the one before, so that an edit shows.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llm_models.errors import LabError
from steps.core.hashing import sha256_of

Action = Literal["promote", "rollback", "found"]
PREFIX = "promotion"
MAX_TAG = 5000  # what MLflow's databases keep of a registered model's tag
FOUND = "moved outside of this ledger, or cut off while moving"


class LedgerError(LabError):
    """The ledger cannot be read, or not be written."""


@dataclass(frozen=True)
class Move:
    """One move of an alias; a version is None where nobody had, or has, the alias."""

    action: Action
    before: int | None
    after: int | None
    at: str  # UTC, ISO 8601
    who: str
    reason: str
    run: str | None  # the MLflow run that moved it
    facts: Mapping[str, str] = field(default_factory=dict)  # verdict, gate, evidence, …
    previous: str | None = None  # hash of the entry before
    number: int = 0  # from 1, in the key of its tag

    def text(self) -> str:
        """As it is stored. Raises LedgerError where the database would cut it."""
        told = self.plain()
        text = json.dumps(told, ensure_ascii=False)
        if len(text) > MAX_TAG:
            raise LedgerError(
                f"an entry of {len(text)} characters does not fit: shorten the reason"
            )
        return text

    def plain(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "from": self.before,
            "to": self.after,
            "when": self.at,
            "who": self.who,
            "reason": self.reason,
            "run": self.run,
            **self.facts,
            "previous": self.previous,
        }

    @property
    def hash(self) -> str:
        return sha256_of(self.plain())[:16]


@dataclass(frozen=True)
class Ledger:
    """The moves of one alias, oldest first, and the version that has it now."""

    name: str
    alias: str
    moves: tuple[Move, ...]
    holder: int | None

    @property
    def last(self) -> int | None:
        """Who has the alias by the ledger."""
        return self.moves[-1].after if self.moves else None

    @property
    def astray(self) -> bool:
        """The alias is not where the ledger left it."""
        return bool(self.moves) and self.last != self.holder

    def held(self) -> list[int]:
        """Every version known to have had the alias, in no order; now or ever."""
        ends = [end for move in self.moves for end in (move.before, move.after)]
        return sorted({end for end in (*ends, self.holder) if end is not None})

    def rolled_back(self, version: int) -> Move | None:
        """The rollback that took the alias from a version, if it has not had it since."""
        for move in reversed(self.moves):
            if move.after == version:
                return None
            if move.action == "rollback" and move.before == version:
                return move
        return None

    def way_back(self) -> list[int]:
        """The versions a rollback would come to, the nearest first.

        A rollback is no step forward: after 1, 2, 3 and a rollback to 2, the next one is 1.
        """
        path: list[int] = []
        for move in (*self.moves, *([found(self)] if self.astray else [])):
            if not path and move.before is not None:
                path.append(move.before)
            _walk(path, move)
        if path and path[-1] == self.holder:
            path.pop()
        return path[::-1]

    def edited(self) -> list[int]:
        """Numbers of entries before which one was changed or taken away."""
        hashes = [None, *(move.hash for move in self.moves)]
        pairs = zip(self.moves, hashes, strict=False)
        return [move.number for move, before in pairs if move.previous != before]


def _walk(path: list[int], move: Move) -> None:
    """Back along the path for a rollback, by hand too; else one version on."""
    if move.action != "promote" and move.after in path:
        while path[-1] != move.after:
            path.pop()
    elif move.after is not None and path[-1:] != [move.after]:
        path.append(move.after)


def read(client: MlflowClient, name: str, alias: str) -> Ledger:
    """One look at the registry. Raises LedgerError for an entry that cannot be read."""
    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return Ledger(name, alias, (), None)
    prefix = f"{PREFIX}.{alias}."
    entries = {k: v for k, v in model.tags.items() if k.startswith(prefix)}
    moves = tuple(_move(name, key, entries[key]) for key in sorted(entries))
    holder = model.aliases.get(alias)
    return Ledger(name, alias, moves, None if holder is None else int(holder))


def append(client: MlflowClient, ledger: Ledger, move: Move) -> Ledger:
    """The ledger with one more entry; only for who has the turn."""
    last = ledger.moves[-1] if ledger.moves else None
    number, previous = (last.number + 1, last.hash) if last else (1, None)
    made = replace(move, number=number, previous=previous)
    client.set_registered_model_tag(ledger.name, key_of(ledger.alias, made.number), made.text())
    return replace(ledger, moves=(*ledger.moves, made))


def key_of(alias: str, number: int) -> str:
    return f"{PREFIX}.{alias}.{number:06d}"


def found(ledger: Ledger) -> Move:
    """The move nobody wrote down, from where the ledger left the alias to where it is."""
    return Move("found", ledger.last, ledger.holder, now(), "unknown", FOUND, None)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _move(name: str, key: str, text: str) -> Move:
    try:
        told = json.loads(text)
        own = {k: told.pop(k) for k in ("action", "who", "reason", "run", "previous")}
        ends = {"before": told.pop("from"), "after": told.pop("to"), "at": told.pop("when")}
        number = int(key.rpartition(".")[2])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerError(
            f"{name}: the tag {key} is no entry of the ledger ({error}): delete that tag"
        ) from error
    return Move(**own, **ends, facts=told, number=number)
