"""Small tables for people: on a terminal and in Markdown."""

import re
from collections.abc import Sequence
from html import escape

from prettytable import PrettyTable, TableStyle

from steps.core.harmless import harmless

_MARKUP = re.compile(r"([\\|`\[\]!*_~])")
Cells = Sequence[Sequence[str]]


def plain_table(headers: Sequence[str], rows: Cells) -> str:
    """Columns aligned for a terminal."""
    return _table(headers, rows, TableStyle.SINGLE_BORDER)


def markdown_table(headers: Sequence[str], rows: Cells) -> str:
    """A Markdown table; nothing in a cell can break it."""
    return _table(headers, [[safe(cell) for cell in row] for row in rows], TableStyle.MARKDOWN)


def safe(text: str) -> str:
    """Text that a model or a server wrote, as one line of Markdown without any markup."""
    told = escape(" ".join(harmless(text).split()))
    return _MARKUP.sub(r"\\\1", told).replace("@", "&#64;")  # a backslash stops no mention


def _table(headers: Sequence[str], rows: Cells, style: TableStyle) -> str:
    table = PrettyTable(list(headers), align="l")
    table.set_style(style)
    table.add_rows([list(row) for row in rows])
    return table.get_string()
