"""What is known of a registered model, for a terminal of any width.

Much of it was written by models and by people: none of that is read as markup, and no control
character of it reaches the terminal.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table

from steps.core.comparing.flips import cut
from steps.core.comparing.leaderboard import UNKNOWN
from steps.core.harmless import harmless
from steps.core.scores.coverage import lacking, told

SHOWN = 5  # prompts and answers; the JSON file has more
MAX_TEXT = 200  # characters of a prompt, an answer or a parameter
HUGE = 1e15  # MLflow keeps an infinity as the largest number there is
Info = Mapping[str, Any]
Row = Sequence[object]


def show(info: Info, rank_by: str) -> None:
    """Print it, as wide as the terminal."""
    console = Console(markup=False, emoji=False, highlight=False)
    for part in _parts(info, rank_by):
        console.print(part)
        console.print()


def printable(text: object) -> str:
    """One line, harmless to a terminal; None is a dash."""
    line = UNKNOWN if text is None else cut(" ".join(str(text).split()), MAX_TEXT)
    return harmless(line)


def _parts(info: Info, rank_by: str) -> Iterator[RenderableType]:
    yield Rule(printable(info["name"]), align="left", style="bold")
    held = [f"{printable(alias)}: version {number}" for alias, number in info["aliases"].items()]
    if held:
        yield " · ".join(held)
    yield from _table(
        ("version", "candidate", "model", rank_by.removesuffix("/mean"), "errors", "registered"),
        [_row(version, rank_by) for version in info["versions"]],
    )
    for version in info["versions"]:
        if version["version"] == info["shown_version"]:
            yield from _in_full(version)
    keys = ("alias", "from", "to", "action", "verdict", "who", "reason")
    told = [move | {"action": _action(move)} for move in info["history"]]
    moves = [[_moment(str(move["when"])), *map(move.get, keys)] for move in told]
    yield from _table(("moved at (UTC)", *keys), moves)
    if not moves:
        yield "No move of an alias is recorded."
    yield from _answers(info["last_prompts_and_answers"])


def _action(move: Info) -> str:
    """A move against the verdict of its gate is told as such."""
    return f"{move['action']}, forced" if "forced" in move else str(move["action"])


def _row(version: Info, rank_by: str) -> Row:
    known, errors = version["parameters"], version["metrics"].get("error_rate")
    return [
        version["version"],
        known.get("candidate"),
        known.get("model_name"),
        _value(version, rank_by),
        None if errors is None else f"{errors:.1%}",
        version["registered_at"][:10],
    ]


def _in_full(version: Info) -> Iterator[RenderableType]:
    metrics, number = version["metrics"], version["version"]
    named = ", ".join(version["aliases"]) or "no alias"
    dataset = printable(version["tags"].get("dataset"))
    yield f"Version {number} ({named}), evaluated on {dataset}, run {printable(version['run_id'])}"
    yield from _table(("parameter", "value"), version["parameters"].items())
    counts = ("n_scored", "n_failed", "n_unanswered")
    names = [name.removesuffix("/n_scored") for name in metrics if name.endswith("/n_scored")]
    used = [name for name in names if any(metrics.get(f"{name}/{count}") for count in counts)]
    columns = ("mean", *counts)
    yield from _table(
        ("scorer", "mean [95 % interval]", "scored", "failed", "no answer"),
        [[name, *(_value(version, f"{name}/{column}") for column in columns)] for name in used],
    )
    others = [name for name in metrics if "/" not in name or name.startswith("status/")]
    yield from _table(("metric", "value"), [[name, _value(version, name)] for name in others])


def _answers(last: Info | None) -> Iterator[RenderableType]:
    if last and last["error"]:
        yield f"No prompts and answers: {printable(last['error'])}"
    rows = [
        [_moment(row["date"]), row["prompt"], _answer(row)]
        for row in (last["rows"][:SHOWN] if last else ())
    ]
    yield from _table(("asked at (UTC)", "last prompts", "their answers"), rows)


def _answer(row: Info) -> str:
    return row["answer"] if row["answer"] is not None else f"({row['status']}: {row['error']})"


def _moment(iso: str) -> str:
    return iso[:16].replace("T", " ")


def _value(version: Info, name: str) -> str | None:
    """A metric; a scorer's mean with its 95 % interval, or why it is none."""
    metrics: Mapping[str, float | None] = version["metrics"]
    value, scorer, floor = metrics.get(name), name.removesuffix("/mean"), version["min_coverage"]
    if scorer != name and scorer in (lacks := lacking(metrics, floor or 0)):
        return told(lacks[scorer], floor)
    if value is None:
        return None
    if scorer == name:
        whole = value.is_integer() and abs(value) < HUGE
        return f"{value:,.0f}" if whole else f"{value:.4g}"
    low, high = (metrics.get(f"{scorer}/{end}") for end in ("ci_low", "ci_high"))
    known = low is not None and high is not None
    return f"{value:.2f} [{low:.2f}, {high:.2f}]" if known else f"{value:.2f}"


def _table(headings: Sequence[str], rows: Iterable[Row]) -> Iterator[Table]:
    """Nothing where there is no row."""
    lines = [[printable(cell) for cell in row] for row in rows]
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(*line)
    if lines:
        yield table
