"""The comparison as one HTML file: no network, works from disk, whatever the answers hold."""

import base64
import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, Template

from steps.core.comparing import comparison_text as words
from steps.core.comparing.comparison import Comparison
from steps.core.comparing.comparison_tables import slice_told, tables
from steps.core.comparing.flips import cut
from steps.core.comparing.frontier import Chart, chart
from steps.core.comparing.leaderboard import COST_PER_1000, Board
from steps.core.predictions import Key, Prediction, Predictions

MAX_PAGE = 30_000_000  # characters of rows in the page, about; predictions.parquet has all
MAX_TEXT = 200_000  # of one prompt or answer
AROUND = 200  # of an answer's other fields
TEMPLATES = Path(__file__).parent / "templates"
COSTS = (COST_PER_1000, "USD per 1,000 answers")
TIMES = ("avg_inference_time", "seconds per answer")


def html(
    comparison: Comparison, board: Board, models: Sequence[Predictions], links: Mapping[str, str]
) -> str:
    """The page; `models` hold the rows it can filter and sort."""
    script, style = (_file(name) for name in ("report.js", "report.css"))
    return _template("report.html").render(
        comparison=comparison,
        board=board,
        charts=charts(comparison),
        words=words,
        links=links,
        slices=_slices(comparison),
        tables=tables(comparison),
        data=_embedded(page_data(comparison, models)),
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


def page_data(comparison: Comparison, models: Sequence[Predictions]) -> dict[str, Any]:
    """What the page's script reads: plain data, texts as the models wrote them."""
    by_name = {model.candidate: model for model in models}
    ordered = [by_name[line.candidate] for line in comparison.models]
    keys = dict.fromkeys(key for model in ordered for key in model.rows)
    kept = _fitting(keys, comparison, ordered)
    return {
        "baseline": comparison.baseline,
        "models": [model.candidate for model in ordered],
        "scorers": comparison.scorers,
        "yesNo": [scorer in comparison.yes_no for scorer in comparison.scorers],
        "repeats": len({repeat for _, repeat in keys}) > 1,
        "leftOut": len(keys) - len(kept),
        "rows": [_row(key, ordered, comparison.scorers) for key in kept],
    }


def _fitting(
    keys: Iterable[Key], comparison: Comparison, models: Sequence[Predictions]
) -> list[Key]:
    """The rows there is room for, in their order; those that flipped come before others."""
    flipped = ((flip.id, flip.repeat) for flip in comparison.flips)
    ranked = list(dict.fromkeys([*flipped, *keys]))
    sizes = accumulate(_size(key, models) for key in ranked)
    chosen = set(ranked[: bisect_right(list(sizes), MAX_PAGE)])
    return [key for key in keys if key in chosen]


def _size(key: Key, models: Iterable[Predictions]) -> int:
    found = [model.rows[key] for model in models if key in model.rows]
    texts = [found[0].prompt, *(answer.text or "" for answer in found)]
    return sum(AROUND + min(len(text), MAX_TEXT) for text in texts)


def _row(key: Key, models: Sequence[Predictions], scorers: Sequence[str]) -> dict[str, Any]:
    found = [model.rows.get(key) for model in models]
    one = next(answer for answer in found if answer)
    answers = [answer and _answer(answer, scorers) for answer in found]
    asked = {"id": key[0], "repeat": key[1], "prompt": cut(one.prompt, MAX_TEXT)}
    return asked | {"tags": dict(one.tags), "answers": answers}


def _answer(answer: Prediction, scorers: Sequence[str]) -> dict[str, Any]:
    """Short keys: they are told thousands of times."""
    notes = [answer.rationales.get(name) or answer.failures.get(name) for name in scorers]
    told = {
        "s": answer.status,
        "t": answer.text and cut(answer.text, MAX_TEXT),
        "e": answer.error,
        "l": answer.latency_s,
        "c": answer.cost_usd,
        "v": [answer.scores.get(name) for name in scorers],
        "n": notes if any(notes) else None,
    }
    return {key: value for key, value in told.items() if value is not None}


def charts(comparison: Comparison) -> list[Chart]:
    """Quality by the first scorer, against cost and against time."""
    if not comparison.scorers:
        return []
    scorer = comparison.scorers[0]
    up = (f"{scorer}/mean", f"{scorer} (mean)")
    lines = comparison.models
    return [
        chart("Quality against cost", lines, COSTS, up),
        chart("Quality against time", lines, TIMES, up),
    ]


def _slices(comparison: Comparison) -> dict[str, dict[tuple[str, str], dict[str, str]]]:
    """scorer -> (tag, value) -> candidate -> what its cell says."""
    told: dict[str, dict[tuple[str, str], dict[str, str]]] = {}
    for one in comparison.slices:
        row = told.setdefault(one.scorer, {}).setdefault((one.tag, one.value), {})
        row[one.candidate] = slice_told(one, comparison.min_coverage)
    return told


def _embedded(data: Any) -> str:
    """JSON that cannot end the <script> it stands in: no "<" is left, nor NaN."""
    told = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return told.replace("<", "\\u003c")


def _template(name: str) -> Template:
    pages = Environment(
        loader=PackageLoader("steps.core.comparing"), autoescape=True, trim_blocks=True
    )
    return pages.get_template(name)


def _file(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


def _hash(text: str) -> str:
    """For the page's Content-Security-Policy: only this script and this style may run."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
