"""A comparison as images for the run; the page draws its own charts, which follow its theme."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from steps.core.comparing.comparison import Comparison
from steps.core.comparing.frontier import Chart
from steps.core.comparing.report import TEMPLATES, charts
from steps.core.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = TEMPLATES / "plots.mplstyle"
WIDTH, COLUMNS = 11.0, 3  # of an image, in inches; panels side by side
INK, QUIET, ACCENT = "#1d2129", "#5c6370", "#1a5fb4"
MEAN = "mean"
MARKS = {  # colour and shape: either is enough to tell verdicts apart
    MEAN: (ACCENT, "o"),
    "better": ("#18703a", "^"),
    "worse": ("#b3261e", "v"),
    "no difference shown": (QUIET, "o"),
    "not enough rows": (QUIET, "x"),
    "not enough coverage": (QUIET, "+"),
}
LEGEND = (
    "▲ better    ▼ worse    ● no difference shown    × not enough rows    + not enough coverage"
)


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval, where they are known."""

    scorer: str
    candidate: str
    value: float
    low: float | None
    high: float | None
    mark: str = MEAN


def write(folder: Path, comparison: Comparison, models: Sequence[Predictions]) -> None:
    """Write as PNG what there is to draw: frontier, means, differences, times."""
    import matplotlib as mpl

    told = {
        "quality_cost_time": [chart for chart in charts(comparison) if chart.points],
        "means": _means(comparison),
        "differences": _differences(comparison),
        "times": _times(comparison, models),
    }
    draw = {
        "quality_cost_time": _frontier,
        "means": lambda given: _intervals("Means with 95 % intervals", given),
        "differences": lambda given: _against(comparison.baseline, given),
        "times": _boxes,
    }
    with mpl.rc_context(fname=STYLE):
        for name, given in told.items():
            if given:
                draw[name](given).savefig(folder / f"{name}.png")


def _means(comparison: Comparison) -> list[Interval]:
    found = []
    for scorer, line in product(comparison.scorers, comparison.models):
        mean = line.metrics.get(f"{scorer}/mean")
        low, high = (line.metrics.get(f"{scorer}/{end}") for end in ("ci_low", "ci_high"))
        if mean is not None:
            found.append(Interval(scorer, line.candidate, mean, low, high))
    return found


def _differences(comparison: Comparison) -> list[Interval]:
    return [
        Interval(d.scorer, d.candidate, d.paired.difference, d.paired.low, d.paired.high, d.verdict)
        for d in comparison.differences
        if d.paired
    ]


def _times(comparison: Comparison, models: Sequence[Predictions]) -> dict[str, list[float]]:
    """Seconds of each model's answers, the best model first."""
    rows = {model.candidate: model.rows.values() for model in models}
    found = {
        line.candidate: [
            r.latency_s for r in rows[line.candidate] if r.answered and r.latency_s is not None
        ]
        for line in comparison.models
    }
    return {name: seconds for name, seconds in found.items() if seconds}


def _against(baseline: str, told: Sequence[Interval]) -> "Figure":
    figure = _intervals(f"Differences from {baseline}, paired by row, with 95 % intervals", told)
    for axes in figure.axes:
        axes.axvline(0, color=INK, linewidth=0.8)
    figure.supxlabel(LEGEND, fontsize="medium", color=QUIET)
    return figure


def _intervals(title: str, told: Sequence[Interval]) -> "Figure":
    """A panel for each scorer, in it a line for each model."""
    scorers = list(dict.fromkeys(one.scorer for one in told))
    names = list(dict.fromkeys(one.candidate for one in told))[::-1]  # the first on top
    figure, panels = _panels(title, len(scorers), 0.8 + 0.3 * len(names))
    for axes, scorer in zip(panels, scorers, strict=True):
        axes.set(title=scorer, ylim=(-0.6, len(names) - 0.4))
        axes.set_yticks(range(len(names)), names)
        axes.locator_params(axis="x", nbins=5)  # more would run into one another
        for one in told:
            if one.scorer == scorer:
                _interval(axes, names.index(one.candidate), one)
    return figure


def _interval(axes: "Axes", place: int, one: Interval) -> None:
    color, shape = MARKS[one.mark]
    if one.low is not None and one.high is not None:
        axes.plot([one.low, one.high], [place, place], color=color)
    axes.plot(one.value, place, shape, color=color)


def _panels(title: str, count: int, height: float) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure  # without pyplot: no window and no state of its own

    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    figure = Figure((WIDTH, 0.6 + rows * height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


def _frontier(told: Sequence[Chart]) -> "Figure":
    title = "Filled: no other model is both better and cheaper (or faster)"
    figure, panels = _panels(title, len(told), 4)
    for axes, chart in zip(panels, told, strict=True):
        best = [point.spot for point in chart.points if point.best]
        axes.plot([s.x for s in best], [s.y for s in best], "--", color=ACCENT, linewidth=1)
        _points(axes, chart)
        axes.set(xlabel=chart.across, ylabel=chart.up, title=chart.title)
        axes.set(ylim=(0, max(1.0, axes.get_ylim()[1])), xlim=(0, axes.get_xlim()[1]))
    return figure


def _points(axes: "Axes", chart: Chart) -> None:
    for point in chart.points:
        s, color = point.spot, ACCENT if point.best else QUIET
        axes.plot([s.x, s.x], [s.low, s.high], color=QUIET, linewidth=1, clip_on=False)
        inside = color if point.best else "white"
        axes.plot(s.x, s.y, "o", color=color, markerfacecolor=inside, clip_on=False, zorder=3)
        axes.annotate(
            s.name,
            (s.x, s.y),
            (-7 if point.before else 7, point.y - point.label_y),
            textcoords="offset points",
            ha="right" if point.before else "left",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0, "alpha": 0.8},
        )


def _boxes(seconds: Mapping[str, list[float]]) -> "Figure":
    title = "Seconds per answer: median, quartiles, 5th to 95th percentile"
    figure, (axes,) = _panels(title, 1, 0.8 + 0.4 * len(seconds))
    axes.boxplot(
        list(seconds.values())[::-1],
        orientation="horizontal",
        tick_labels=list(seconds)[::-1],
        whis=(5, 95),
        showfliers=False,
    )
    axes.set_xlim(left=0)
    return figure
