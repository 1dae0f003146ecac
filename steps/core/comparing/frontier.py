"""Quality against cost and against time: where each model lies on a small chart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from steps.core.comparing.leaderboard import Line

WIDTH, HEIGHT = 460, 300  # of the chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 22, 44  # margins
TICKS = 4
LETTERS = 14  # the height of a name


@dataclass(frozen=True)
class Spot:
    """What was measured of one model."""

    name: str
    x: float
    y: float
    low: float  # ends of y's interval
    high: float

    def beats(self, other: "Spot") -> bool:
        """At least as good in both ways, and better in one."""
        gains = (other.x - self.x, self.y - other.y)
        return min(gains) >= 0 and max(gains) > 0


@dataclass(frozen=True)
class Point:
    """One model on the chart; y counts downwards, as SVG has it."""

    spot: Spot
    x: float
    y: float
    low: float
    high: float
    best: bool  # no model beats it
    label_y: float
    before: bool  # the name stands before the point: behind it there is no room

    @property
    def name(self) -> str:
        return self.spot.name


@dataclass(frozen=True)
class Chart:
    title: str
    across: str
    up: str
    points: Sequence[Point]
    ticks_x: Sequence[tuple[float, str]]
    ticks_y: Sequence[tuple[float, str]]
    missing: Sequence[str]  # models of which one of the two is unknown

    @property
    def line(self) -> str:
        """The frontier, as the points of an SVG polyline."""
        return " ".join(f"{p.x:.1f},{p.y:.1f}" for p in self.points if p.best)


def chart(title: str, lines: Sequence[Line], across: tuple[str, str], up: tuple[str, str]) -> Chart:
    """`across` and `up` are (metric, heading); less across and more up is better."""
    found = {line.candidate: _spot(line, across[0], up[0]) for line in lines}
    spots = sorted((s for s in found.values() if s), key=lambda s: (s.x, -s.y))
    right = max((s.x for s in spots), default=0.0) or 1.0
    high = max((1.0, *(s.high for s in spots)))
    points = [_point(s, right, high, not any(o.beats(s) for o in spots)) for s in spots]
    shares = [i / TICKS for i in range(TICKS + 1)]
    return Chart(
        title,
        across[1],
        up[1],
        _apart(points),
        [(_x(share), f"{right * share:.3g}") for share in shares],
        [(_y(share), f"{high * share:.2f}") for share in shares],
        [name for name, spot in found.items() if spot is None],
    )


def _spot(line: Line, across: str, up: str) -> Spot | None:
    x, y = line.metrics.get(across), line.metrics.get(up)
    if x is None or y is None:
        return None
    scorer = up.removesuffix("/mean")
    low, high = (line.metrics.get(f"{scorer}/{end}") for end in ("ci_low", "ci_high"))
    return Spot(line.candidate, x, y, y if low is None else low, y if high is None else high)


def _point(spot: Spot, right: float, high: float, best: bool) -> Point:
    share = spot.x / right
    y, low, top = (_y(value / high) for value in (spot.y, spot.low, spot.high))
    return Point(spot, _x(share), y, low, top, best, y - 6, share > 0.6)


def _apart(points: Sequence[Point]) -> list[Point]:
    """The same, from left to right, with names moved up that would lie on one another."""
    placed: list[Point] = []
    for point in sorted(points, key=lambda p: -p.y):
        taken = [p.label_y for p in placed if p.before == point.before]
        y = point.label_y
        while any(abs(y - other) < LETTERS for other in taken):
            y -= LETTERS
        placed.append(replace(point, label_y=y))
    return sorted(placed, key=lambda p: (p.x, p.y))


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - max(share, 0.0) * (HEIGHT - TOP - BOTTOM)
