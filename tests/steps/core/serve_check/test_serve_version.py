"""When a text must be the one that was evaluated."""

import pytest
from mlflow.entities import Param, Run, RunData, RunInfo

from steps.core.registry import Evidence
from steps.core.serve_check.serve_version import ServedVersion


@pytest.mark.parametrize(
    ("params", "exact"),
    [
        ({"supplier": "ollama", "temperature": "0.2"}, False),
        ({"supplier": "ollama"}, False),
        ({"supplier": "ollama", "temperature": "0.0"}, True),
        ({"supplier": "ollama", "temperature": "0"}, True),
        ({"supplier": "ollama", "temperature": "0.2", "seed": "7"}, True),
        ({"supplier": "baseline", "temperature": "0.2"}, True),
    ],
)
def test_texts_are_fixed_where_nothing_is_left_to_chance(
    params: dict[str, str], exact: bool
) -> None:
    info = RunInfo("r", "0", "someone", "FINISHED", 0, 0, "active")
    run = Run(info, RunData(params=[Param(*pair) for pair in params.items()]))
    assert ServedVersion("name/1", Evidence(run)).is_exact is exact
