"""What pairwise judges prefer, row by row, becomes wins, ties and losses with an exact test."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from steps.core.answering.journal import Journal
from steps.core.answering.limits import Budget
from steps.core.comparing import comparison_text, report
from steps.core.comparing.comparison import Comparison, with_pairwise
from steps.core.comparing.differences import Difference
from steps.core.comparing.preferences import Bias, Duel
from steps.core.dataset import Row
from steps.core.judges.judging import Judging
from steps.core.predictions import Predictions
from tests.servers.ollama import OllamaServer
from tests.steps.core.compared_models import DATASET, board_of, compare, model, row
from tests.steps.core.judges.lab import CHAT, Messages, always, config_of, said

ROWS = 20
ROW_IDS = [f"row-{i:04d}" for i in range(ROWS)]
MODELS = ("one:1b", "two:2b", "three:3b")
Fight = Callable[..., tuple[Comparison, list[Duel]]]


def marked(name: str, marks: str) -> Predictions:
    """A model whose answers are "+" (good), "-" (poor) or unanswered (" ") on its rows."""
    texts = [None if mark == " " else f"{mark} by {name}" for mark in marks]
    return model(
        name,
        [row(None) if text is None else row(text.startswith("+"), text=text) for text in texts],
    )


def by_mark(messages: Messages) -> str:
    """Prefers the answer with a plus; fails on answers that say "broken"."""
    data = json.loads(messages[1]["content"])
    if "broken" in data["first"] + data["second"]:
        return "I cannot say."
    good = [data[place].startswith("+") for place in ("first", "second")]
    return said("tie" if good[0] == good[1] else "first" if good[0] else "second")


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer(MODELS, by_mark) as running:
        yield running


@pytest.fixture
def fight(server: OllamaServer, tmp_path: Path) -> Iterator[Fight]:
    """Compares models with a pairwise judge, or with several; the first is the baseline."""
    journal = Journal(tmp_path / "journal.sqlite")
    rows = [Row(name, {"prompt": f"Question {name}?"}, {}, {}) for name in ROW_IDS]

    def run(
        *models: Predictions,
        judges: int = 1,
        cap: float | None = None,
        named: bool = True,
        floor: float = 0.0,
    ) -> tuple[Comparison, list[Duel]]:
        chosen = [config_of(server, model=f"ollama:/{name}") for name in MODELS[:judges]]
        price = {f"ollama/{name}": {"input": 10.0, "output": 10.0} for name in MODELS}
        judging = Judging(chosen, journal, price if cap else {}, Budget(cap))
        board = board_of(models)
        lines = [replace(line, min_coverage=floor) for line in board.lines]
        baseline = models[0].candidate if named else ""
        found = compare(models, baseline, board=replace(board, lines=lines))
        return with_pairwise(found, replace(DATASET, rows=rows), models, judging)

    yield run
    journal.close()


def pairwise(found: Comparison) -> list[Difference]:
    return [one for one in found.differences if one.scorer == "pairwise"]


def test_wins_ties_and_losses_are_counted_and_tested_exactly(fight: Fight) -> None:
    found, _ = fight(marked("a", "-" * 12 + "+" * 8), marked("b", "+" * 18 + "--"))
    (one,) = pairwise(found)
    assert one.paired is not None
    assert (one.paired.wins, one.paired.ties, one.paired.losses) == (12, 6, 2)
    assert one.paired.difference == pytest.approx(0.5)
    assert one.paired.p_value == pytest.approx(2 * (1 + 14 + 91) / 2**14)  # sign test, 2 of 14
    assert one.paired.low is not None
    assert one.paired.low > 0
    assert one.verdict == "better"


def test_what_is_not_answered_by_both_or_has_no_verdict_is_told_and_not_counted(
    fight: Fight,
) -> None:
    base, other = marked("a", " " + "-" * 19), marked("b", "++ " + "+" * 17)
    broken = replace(other.rows["row-0005", 0], text="+ broken")
    rows = dict(other.rows) | {("row-0005", 0): broken}
    found, duels = fight(base, Predictions("b", rows))
    (one,) = pairwise(found)
    assert one.left_out == {"scorer failed": 1, "unanswered": 2}
    assert one.paired is not None
    assert one.paired.n == 17
    assert len(duels) == 18
    assert found.pairwise is not None
    assert list(found.pairwise.failures.values()) == [1]


def test_below_the_floor_of_coverage_there_is_no_result(fight: Fight, server: OllamaServer) -> None:
    server.answer = lambda messages: "Well."
    found, _ = fight(marked("a", "-" * ROWS), marked("b", "+" * ROWS), floor=0.8)
    (one,) = pairwise(found)
    assert (one.verdict, one.paired) == ("not enough coverage", None)
    assert one.words == "of both: coverage 0.00 < 0.8"


def test_a_judge_that_goes_by_the_place_gives_ties_and_is_found_out(
    fight: Fight, server: OllamaServer
) -> None:
    server.answer = always("second")
    found, _ = fight(marked("a", "-" * ROWS), marked("b", "+" * ROWS))
    (one,) = pairwise(found)
    assert one.paired is not None
    assert (one.paired.wins, one.paired.ties, one.paired.losses) == (0, ROWS, 0)
    assert found.pairwise is not None
    assert found.pairwise.biases == [Bias("one:1b", ROWS, 0, ROWS, 0)]


@pytest.mark.parametrize(("named", "factor"), [(True, 2), (False, 3)])
def test_p_values_are_corrected_as_those_of_scorers(fight: Fight, named: bool, factor: int) -> None:
    models = [marked("a", "-" * ROWS), marked("b", "-" * 14 + "+" * 6), marked("c", "-" * ROWS)]
    found, _ = fight(*models, named=named)
    told = {one.candidate: one for one in pairwise(found)}
    b = told["b"]
    assert b.paired is not None
    assert b.p_adjusted == pytest.approx(min(1.0, b.paired.p_value * factor))


def test_every_judge_of_a_panel_is_asked_and_its_bias_told(
    fight: Fight, server: OllamaServer
) -> None:
    found, duels = fight(marked("a", "-" * 3), marked("b", "+" * 3), judges=3)
    assert found.pairwise is not None
    assert [bias.judge for bias in found.pairwise.biases] == list(MODELS)
    assert [set(duel.seen) for duel in duels] == [set(MODELS)] * 3
    assert server.calls[CHAT] == 3 * 2 * 3


def test_asked_again_nothing_is_paid_for(fight: Fight, server: OllamaServer) -> None:
    models = marked("a", "-" * ROWS), marked("b", "+" * ROWS)
    first, _ = fight(*models)
    calls = server.calls[CHAT]
    again, _ = fight(*models)
    assert server.calls[CHAT] == calls == 2 * ROWS
    assert pairwise(first) == pairwise(again)
    assert first.pairwise is not None
    assert again.pairwise is not None
    assert (first.pairwise.used["judge_calls"], again.pairwise.used["judge_calls"]) == (calls, 0)


def test_the_cap_on_cost_is_not_crossed_and_what_is_missing_is_told(
    fight: Fight, server: OllamaServer
) -> None:
    found, _ = fight(marked("a", "-" * ROWS), marked("b", "+" * ROWS), cap=0.1)
    (one,) = pairwise(found)
    assert found.pairwise is not None
    spent = found.pairwise.used["judge_cost_usd"]
    assert spent is not None
    assert 0 < spent <= 0.1
    assert 0 < server.calls[CHAT] < 2 * ROWS
    assert one.left_out["scorer failed"] > 0
    assert [why for why in found.pairwise.failures if "max_cost (0.1 USD) leaves no room" in why]


def test_the_reports_tell_it(fight: Fight) -> None:
    models = marked("a", "-" * 12 + "+" * 8), marked("b", "+" * 18 + "--")
    found, _ = fight(*models)
    board = board_of(models)
    page = report.html(found, board, models, {})
    for told in (comparison_text.text(found, board), comparison_text.markdown(found, board, {})):
        assert "12 / 6 / 2" in told
        assert "Pairwise: position bias" in told
        assert "0 (0%)" in told
    assert "Pairwise: position bias" in page
    assert "12 / 6 / 2" in page
    plain = json.loads(found.json())
    assert plain["pairwise"]["biases"][0]["judge"] == "one:1b"
    assert plain["differences"][-1]["scorer"] == "pairwise"
