"""A comparison for a terminal, and as Markdown that fits the comment of a pull request."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate

from steps.core.comparing.comparison import Comparison
from steps.core.comparing.comparison_tables import MAX_ROWS, brief_tables
from steps.core.comparing.differences import Difference
from steps.core.comparing.flips import Flip, cut
from steps.core.comparing.leaderboard import UNKNOWN, Board
from steps.core.harmless import harmless
from steps.core.tabular import markdown_table, plain_table, safe

MAX_FLIPS = 20  # told in Markdown; the page has all
MAX_QUOTE = 400  # characters of a prompt or an answer
MAX_QUOTED = 40_000  # of all flips, escaped; a comment on GitHub may have 65,536
HEADERS = ("scorer", "model", "difference", "win / tie / loss", "p", "rows", "verdict")


def text(comparison: Comparison, board: Board) -> str:
    """For a terminal: the board, and below it every model against the baseline."""
    rows = [difference_cells(one) for one in comparison.differences]
    table = [plain_table(HEADERS, rows)] if rows else []
    more = [one.text() for one in brief_tables(comparison)]
    parts = [
        board.text(),
        "",
        *_introduction(comparison),
        *table,
        *comparison.flips_told(),
        *more,
        *comparison.verdict_told(),
    ]
    return harmless("\n".join(parts))


def markdown(comparison: Comparison, board: Board, links: Mapping[str, str]) -> str:
    rows = [difference_cells(one) for one in comparison.differences]
    table = [markdown_table(HEADERS, rows[:MAX_ROWS]), ""] if rows else []
    if len(rows) > MAX_ROWS:
        table.append(f"{len(rows) - MAX_ROWS} more are in the page.\n")
    told = [safe(line) for line in _introduction(comparison)]
    more = [one.markdown() for one in brief_tables(comparison)]
    parts = [
        *_decided(comparison),
        board.markdown(links),
        *told,
        "",
        *table,
        *comparison.flips_told(),
        "",
        *more,
    ]
    return "\n".join([*parts, *_quotes(comparison.flips)])


def signed(value: float | None, shape: str = "{:+.2f}") -> str:
    return UNKNOWN if value is None else shape.format(value)


def with_interval(one: Difference) -> str:
    """The difference and, where the data can say, its interval."""
    if one.paired is None:
        return UNKNOWN
    paired = one.paired
    known = paired.low is not None and paired.high is not None
    interval = f" [{signed(paired.low)}, {signed(paired.high)}]" if known else ""
    return signed(paired.difference) + interval


def win_tie_loss(one: Difference) -> str:
    paired = one.paired
    return f"{paired.wins} / {paired.ties} / {paired.losses}" if paired else UNKNOWN


def p_value(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def rows_told(one: Difference) -> str:
    """How many rows count, and how many do not."""
    kept, out = one.paired.n if one.paired else 0, sum(one.left_out.values())
    return f"{kept} ({out} answers left out)" if out else str(kept)


def difference_cells(one: Difference) -> list[str]:
    numbers = [with_interval(one), win_tie_loss(one), p_value(one.p_adjusted), rows_told(one)]
    return [one.scorer, one.candidate, *numbers, one.words]


def _introduction(comparison: Comparison) -> list[str]:
    if not comparison.differences:
        return ["One model, or none with scores: there is nothing to compare it with."]
    return [comparison.method()]


def _decided(comparison: Comparison) -> list[str]:
    """What a reviewer wants to know first; empty where no verdict was asked for."""
    why = [f"- {safe(line)}" for line in comparison.verdict_told()]
    return [f"**{comparison.verdict.line}**", "", *why, ""] if why else []


def _quotes(flips: Sequence[Flip]) -> list[str]:
    """The first flips, folded. Inside <pre> GitHub reads no Markdown, no mention and no link."""
    quotes = [_quote(flip) for flip in flips[:MAX_FLIPS]]
    sizes = accumulate(len(quote) for quote in quotes)
    told = [quote for quote, size in zip(quotes, sizes, strict=True) if size <= MAX_QUOTED]
    if not told:
        return []
    summary = f"{len(told)} of {len(flips)} flips, right → wrong first"
    return [f"<details><summary>{summary}</summary>", "", *told, "</details>", ""]


def _quote(flip: Flip) -> str:
    head = f"{flip.turn} by {flip.scorer}: {flip.candidate} on {flip.id}, repeat {flip.repeat}"
    parts = {"asked": flip.prompt, "baseline": flip.baseline_answer, flip.candidate: flip.answer}
    quotes = "\n".join(
        f"{escape(name)}: {escape(harmless(cut(part, MAX_QUOTE)))}" for name, part in parts.items()
    )
    return f'**{safe(head)}**\n\n<pre dir="auto">{quotes}</pre>\n'
