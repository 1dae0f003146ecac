"""Images hold what is known, and nothing else is drawn."""

from pathlib import Path
from typing import get_args

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from steps.core.comparing import plots
from steps.core.comparing.differences import Verdict
from tests.steps.core.compared_models import board_of, compare, model, row

BEFORE = dict(mpl.rcParams)
COSTS = {"cost_per_1000_answers": 1.0, "avg_inference_time": 2.0}


def test_every_image_is_drawn_on_white_and_leaves_no_style_behind(tmp_path: Path) -> None:
    models = [model("a", [1] * 30), model("b", [1] * 20 + [0] * 10), model("c", [0.5] * 30)]
    board = board_of(models, **dict.fromkeys("abc", COSTS))
    plots.write(tmp_path, compare(models, board=board), models)
    drawn = {path.stem: imread(path) for path in tmp_path.iterdir()}
    assert drawn.keys() == {"quality_cost_time", "means", "differences", "times"}
    for image in drawn.values():
        assert np.array_equal(image[0, 0], [1, 1, 1, 1])  # red, green, blue, opaque
        assert (image[..., :3].min(axis=2) < 0.5).any()
    assert dict(mpl.rcParams) == BEFORE


@pytest.mark.parametrize(
    ("fields", "scores", "drawn"),
    [
        ({"latency_s": None}, [1, 0], {"means", "differences"}),
        ({}, [1, None], {"means", "times"}),
        ({"latency_s": None}, [None, None], set()),
    ],
    ids=["no times", "no pair", "no answer"],
)
def test_what_is_not_known_is_not_drawn(
    tmp_path: Path, fields: dict[str, None], scores: list[int | None], drawn: set[str]
) -> None:
    models = [model(name, [row(score, **fields)]) for name, score in zip("ab", scores, strict=True)]
    plots.write(tmp_path, compare(models), models)
    assert {path.stem for path in tmp_path.iterdir()} == drawn


def test_each_verdict_has_a_mark_of_its_own() -> None:
    verdicts = get_args(Verdict)
    assert plots.MARKS.keys() == {plots.MEAN, *verdicts}
    assert len({plots.MARKS[verdict][1] for verdict in verdicts}) == len(verdicts)
