"""What a comparison leaves behind: for people, for programs, for CI and as images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from steps.core.comparing import comparison_text, junit, plots, report
from steps.core.comparing.comparison import Comparison
from steps.core.comparing.leaderboard import Board
from steps.core.predictions import Predictions


def write(
    folder: Path,
    comparison: Comparison,
    board: Board,
    models: Sequence[Predictions],
    links: Mapping[str, str],
) -> None:
    """Write comparison.html, .md, .json and .junit.xml, and the images."""
    told = {
        "html": report.html(comparison, board, models, links),
        "md": comparison_text.markdown(comparison, board, links),
        "json": comparison.json(),
        "junit.xml": junit.junit(comparison, models),
    }
    for kind, text in told.items():
        (folder / f"comparison.{kind}").write_text(text, "utf-8")
    plots.write(folder, comparison, models)
