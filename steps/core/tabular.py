"""Small tables for people: on a terminal and in Markdown."""

from collections.abc import Sequence

from prettytable import PrettyTable, TableStyle

Cells = Sequence[Sequence[str]]


def plain_table(headers: Sequence[str], rows: Cells) -> str:
    """Columns aligned for a terminal."""
    return _table(headers, rows, TableStyle.SINGLE_BORDER)


def markdown_table(headers: Sequence[str], rows: Cells) -> str:
    """A Markdown table; a pipe or a line break in a cell cannot break it."""
    safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return _table(headers, safe, TableStyle.MARKDOWN)


def _table(headers: Sequence[str], rows: Cells, style: TableStyle) -> str:
    table = PrettyTable(list(headers), align="l")
    table.set_style(style)
    table.add_rows([list(row) for row in rows])
    return table.get_string()
