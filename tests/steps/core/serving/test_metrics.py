"""What /metrics tells where several processes count."""

import os
from pathlib import Path

import pytest

from steps.core.serving.metrics import DIRECTORY, Metrics


@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge_livesum"])
def test_a_process_that_begins_just_now_does_not_break_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    (tmp_path / f"{kind}_{os.getpid()}.db").touch()
    assert Metrics(()).page().status == 200
