"""The board ranks models and shows their names to people, whatever the names hold."""

import re
from html.parser import HTMLParser

import pytest

from steps.core.comparing.leaderboard import COST_PER_1000, UNKNOWN, Board, Line, board_of_evidence
from steps.core.registry import Evidence
from tests.steps.conftest import CopyRun

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "attribute": '"><b onclick="x()">',
    "entity": "a&lt;b & c",
    "pipe": "a|b",
    "escaped pipe": "a\\|b",
    "lines": "a\nb\r\nc",
}


class Page(HTMLParser):
    """The tags of a page, and the cells of its table as a reader sees them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.links: list[str] = []
        self.open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open = tag
        self.cells += [""] if tag == "td" else []
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open == "td":
            self.cells[-1] += data


def line(name: str = "one", model: str = "m", failure: str | None = None, **metrics: float) -> Line:
    return Line(name, model, f"run-{name}", {"rows": 2} | metrics, failure)


def cells_of(markdown_row: str) -> list[str]:
    """As GitHub splits a row: at every pipe that no backslash stands before."""
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", markdown_row.strip("| "))]


def test_judges_of_ones_own_and_how_far_a_panel_agrees_have_columns() -> None:
    metrics = {"polite/mean": 0.5, "safety/mean": 1.0, "safety/judge_alpha": 0.5}
    own_words = {"polite/llama3.1:8b/mean": 0.5, "answer_words/mean": 7.0}
    board = Board("t", [line("one", **metrics, **own_words)])
    assert board.headers()[3:] == ["safety", "polite", "safety: judges' alpha"]
    assert board.rows()[0][3:] == ["1.00", "0.50", "0.50"]
    assert [note for note in board.notes() if "the judges of safety hardly agree" in note]


def test_judges_that_agree_need_no_note() -> None:
    board = Board("t", [line("one", **{"safety/mean": 1.0, "safety/judge_alpha": 0.8})])
    assert not [note for note in board.notes() if "agree" in note]


def test_a_column_is_there_when_one_model_has_the_metric() -> None:
    board = Board("t", [line("one", error_rate=0.25), line("two", total_tokens=7)])
    assert board.headers() == ["candidate", "model", "rows", "errors", "tokens"]
    assert board.rows() == [
        ["one", "m", "2", "25.0%", UNKNOWN],
        ["two", "m", "2", UNKNOWN, "7"],
    ]


def test_what_models_are_ranked_by_has_a_column_and_a_note_where_none_has_it() -> None:
    lines = [line("one", **{"safety/pass_hat_3": 0.25, "safety/mean": 0.5})]
    board = Board("t", lines, "safety/pass_hat_3")
    assert board.headers()[3:] == ["safety/pass_hat_3", "safety"]
    assert board.rows()[0][3:] == ["0.25", "0.50"]
    assert not [note for note in board.notes() if "order means nothing" in note]
    assert "No model has the metric safty/mean" in Board("t", lines, "safty/mean").text()


def test_zero_is_told_and_is_not_unknown() -> None:
    board = Board("t", [Line("one", "m", "r", {"rows": 1, "total_cost_estimate": 0.0})])
    assert board.rows() == [["one", "m", "1", "0.0000"]]


def test_the_best_comes_first_and_who_was_not_measured_last(copy_run: CopyRun) -> None:
    runs = [copy_run("poor", recall=0.1), copy_run("good", recall=0.9), copy_run("poor")]
    board = board_of_evidence("t", [Evidence(run) for run in (runs[2], *runs[:2])], "recall")
    assert [x.run_id for x in board.lines] == [runs[i].info.run_id for i in (1, 0, 2)]


def test_a_model_that_did_not_finish_is_named_with_the_reason_everywhere() -> None:
    board = Board("t", [line("one", failure="no row was answered")])
    for shown in (board.text(), board.markdown({}), board.html({})):
        assert "one did not finish: no row was answered" in shown


def test_nothing_of_a_server_moves_a_cursor() -> None:
    board = Board("t", [line(model="\x1b[2J", failure="answered \x1b]0;x\x07 \u202eback")])
    for shown in (board.text(), board.markdown({})):
        assert not set(shown) & set("\x1b\x07\u202e")
        assert "␛]0;x␇" in shown.replace("\\", "")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_html_shows_a_hostile_name_as_text(name: str) -> None:
    plain = Page(Board("t", [line(model="m")]).html({})).tags
    page = Page(
        Board(name, [line(model=name, failure=name)]).html({name: "http://x.test/?a=1&b=2"})
    )
    assert page.cells[1] == name
    assert page.tags - plain <= {"ul", "li", "a", "h2", "p"}
    assert page.links == ["http://x.test/?a=1&b=2"]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_markdown_keeps_a_hostile_name_in_its_cell(name: str) -> None:
    board = Board("t", [line(model="m"), line(model=name)])
    rows = [row for row in board.markdown({}).splitlines() if row.startswith("|")]
    assert len(rows) == 4
    assert {len(cells_of(row)) for row in rows} == {len(board.headers())}


@pytest.mark.parametrize("name", [HOSTILE["script"], HOSTILE["image"]])
def test_markdown_holds_no_html_of_a_model_or_a_server(name: str) -> None:
    board = Board("t", [line(model=name, failure=f"Ollama answered 500: {name}")])
    assert not re.search(r"<\w", board.markdown({}))


def test_1000_answers_cost_what_all_rows_did_and_unknown_stays_unknown(copy_run: CopyRun) -> None:
    counts = {"status/ok": 2, "status/truncated": 1, "status/error": 5}
    known = Evidence(copy_run("good", **counts, total_cost_estimate=0.3))
    unknown = Evidence(copy_run("poor", **counts | {"status/ok": 0, "status/truncated": 0}))
    lines = {line.candidate: line for line in board_of_evidence("t", [known, unknown], "x").lines}
    assert lines["good"].metrics[COST_PER_1000] == pytest.approx(100)
    assert lines["poor"].metrics[COST_PER_1000] is None
