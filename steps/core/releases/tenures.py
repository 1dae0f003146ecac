"""The ledger as people ask for it: who had an alias, from when until when, and why."""

from collections.abc import Iterable, Sequence
from typing import Any

from mlflow import MlflowClient

from llm_models.errors import InputError
from steps.core.config import ALIASES, Candidate
from steps.core.model_info_text import printable
from steps.core.releases import ledger
from steps.core.releases.ledger import FOUND, Ledger, Move
from steps.core.tabular import plain_table

HEADERS = ("#", "from (UTC)", "until", "version", "candidate", "by", "verdict", "who", "why", "run")


def ledgers(
    client: MlflowClient, chosen: Iterable[Candidate], name: str, alias: str
) -> list[Ledger]:
    """Those with anything in them: of one registered model or of the candidates' own, and of one
    alias or of both. Raises InputError for a name or an alias there is not.
    """
    if alias and alias not in ALIASES:
        raise InputError(f"alias: there is no '{alias}'; choose from {', '.join(ALIASES)}")
    if name and not client.search_registered_models(f"name = '{name}'"):
        raise InputError(
            f"name: there is no registered model '{name}'; `info -P models=all` lists them"
        )
    names = [name] if name else dict.fromkeys(c.registered_name for c in chosen)
    found = [ledger.read(client, n, a) for n in names for a in ([alias] if alias else ALIASES)]
    return [one for one in found if one.moves or one.holder is not None]


def text(one: Ledger) -> str:
    """A table with one line for each move, and what an auditor must know beside it."""
    holder = f"version {one.holder}" if one.holder else "nobody"
    lines = [f"models:/{one.name}@{one.alias} is held by {holder}"]
    if one.moves:
        end = "unknown" if one.astray else "now"
        rows = [_cells(move, after, end) for move, after in _with_next(one.moves)]
        lines.append(plain_table(HEADERS, rows))
    return "\n".join([*lines, *(f"careful: {warning}" for warning in warnings(one))])


def warnings(one: Ledger) -> list[str]:
    """What the ledger does not know, or no longer knows, for sure."""
    told = []
    if one.astray:
        left = f"version {one.last}" if one.last else "nobody"
        told.append(f"the ledger left it at {left}: {FOUND}; the next move writes that down")
    if not one.moves:
        told.append("it was given by hand: no entry tells by whom, when or why")
    told += [
        f"before entry {n} an entry was changed or taken away; the runs of the steps promote and "
        "rollback hold copies"
        for n in one.edited()
    ]
    return told


def plain(one: Ledger) -> dict[str, Any]:
    """For JSON."""
    moves = [
        move.plain() | {"number": move.number, "until": after.at if after else None}
        for move, after in _with_next(one.moves)
    ]
    known = {"name": one.name, "alias": one.alias, "holder": one.holder}
    return known | {"moves": moves, "warnings": warnings(one)}


def _with_next(moves: Sequence[Move]) -> list[tuple[Move, Move | None]]:
    return list(zip(moves, [*moves[1:], None], strict=True))


def _cells(move: Move, after: Move | None, end: str) -> list[str]:
    forced = ", forced" if "forced" in move.facts else ""
    told = [
        str(move.number),
        _short(move.at),
        _short(after.at) if after else end,
        f"{move.before or '–'} → {move.after or '–'}",
        move.facts.get("candidate", "–"),
        move.action + forced,
        move.facts.get("verdict", "–"),
        move.who,
        move.reason,
        (move.run or "–")[:8],
    ]
    return [printable(cell) for cell in told]


def _short(at: str) -> str:
    """An ISO time in UTC, without the zone that the heading tells."""
    return at.removesuffix("+00:00").replace("T", " ")
