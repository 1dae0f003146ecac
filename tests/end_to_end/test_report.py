"""The report in real Chromium: sorted, filtered, read; nothing runs that a model wrote."""

from collections.abc import Iterator

import pytest

from steps.core.comparing.report import html
from tests.end_to_end.browser import CHROMIUM, Page, chromium
from tests.steps.core.compared_models import board_of, compare, model, row, tagged

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

ATTACK = (
    "<script>document.title='taken'</script><img src=http://x.test/a onerror=alert(1)></script>"
)
ARABIC = "عاصمة فرنسا هي باريس"
HUGE = "long " * 10_000 + ATTACK
TEXTS = {0: ATTACK, 1: HUGE, 2: ARABIC, 3: "nul\0byte \u202e turned"}
ROWS = 150


def answers(scores: list[int | None], seconds: float) -> list[dict[str, object]]:
    languages = ["en", "nl", "ar"]
    return [
        row(
            score,
            text=None if score is None else TEXTS.get(i, f"plain {i}"),
            error="timeout" if score is None else None,
            prompt=f"Question {i}?",
            tags=tagged(language=languages[i % 3], source=f"{i % 2} {'long' * 80}"),
            latency_s=seconds + (i * 7 % ROWS) / 100,
        )
        for i, score in enumerate(scores)
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page: b loses rows 0 to 9 and 148, wins row 149; rows 10 to 14 failed."""
    base = model("a", answers([1] * (ROWS - 1) + [0], 1))
    lost = [0] * 10 + [None] * 5 + [1] * (ROWS - 17) + [0, 1]
    models = [base, model("b", answers(lost, 3))]
    path = tmp_path_factory.mktemp("report") / "comparison.html"
    cost = {"cost_per_1000_answers": 0.5, "avg_inference_time": 1.0}
    board = board_of(models, a=cost, b=cost)
    path.write_text(
        html(compare(models, board=board), board, models, {"Traces": "http://x.test/"}), "utf-8"
    )
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page, report: str) -> Iterator[Page]:
    """The report, freshly opened; after each test it has neither complained nor called anyone."""
    browser.open(report)
    yield browser
    assert browser.complaints() == []
    assert browser.requests() == [report]
    assert browser.run("document.title") == "Models compared on questions"


def column(page: Page, number: int, table: str = "rows") -> list[str]:
    """The texts of one column of the rows that are shown."""
    rows = f"[...document.querySelectorAll('#{table} tbody tr:not(.detail)')]"
    found: list[str] = page.run(f"{rows}.map((r) => r.cells[{number}].textContent)")
    return found


def choose(page: Page, name: str, value: str) -> None:
    page.run(
        f"(() => {{ const e = document.getElementById('{name}'); e.value = '{value}';"
        " e.dispatchEvent(new Event(e.type === 'search' ? 'input' : 'change')); })()"
    )


def click(page: Page, selector: str) -> None:
    page.run(f"document.querySelector({selector!r}).click()")


def count(page: Page) -> str:
    return str(page.run("document.getElementById('count').textContent"))


def test_answers_come_in_pages_of_a_hundred(page: Page) -> None:
    assert count(page) == f"{2 * ROWS} of {2 * ROWS} answers."
    assert len(column(page, 0)) == 100
    click(page, "#next")
    assert column(page, 0)[0] == "row-0050"
    assert page.run("document.getElementById('page').textContent") == "Page 2 of 3"
    click(page, "#previous")
    assert column(page, 0)[0] == "row-0000"


@pytest.mark.parametrize(
    ("clicks", "order", "first"), [(1, "ascending", 1.0), (2, "descending", 4.49)]
)
def test_a_heading_sorts_all_answers_and_says_so(
    page: Page, clicks: int, order: str, first: float
) -> None:
    for _ in range(clicks):
        click(page, "#rows thead th:nth-child(6) button")
    seconds = [float(text) for text in column(page, 5)]
    assert seconds == sorted(seconds, reverse=order == "descending")
    assert seconds[0] == first
    sorts = page.run("[...document.querySelectorAll('#rows th')].map((h) => h.ariaSort)")
    assert [sort for sort in sorts if sort] == [order]


def test_a_table_of_numbers_sorts_by_number(page: Page) -> None:
    click(page, "#board thead th:nth-child(4) button")
    assert column(page, 0, "board") == ["b", "a"]
    click(page, "#board thead th:nth-child(4) button")
    assert column(page, 0, "board") == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("model", "b", ROWS),
        ("status", "error", 5),
        ("tag", "language: nl", 100),
        ("text", "question 14?", 2),
        ("text", "باريس", 2),
    ],
)
def test_a_filter_leaves_what_it_names(page: Page, name: str, value: str, found: int) -> None:
    choose(page, name, value)
    assert count(page) == f"{found} of {2 * ROWS} answers."
    click(page, "#clear")
    assert count(page).startswith(f"{2 * ROWS} of")


def test_flips_are_shown_side_by_side_what_was_lost_first(page: Page) -> None:
    click(page, "[data-flips]")
    assert count(page).startswith("12 of")
    assert column(page, 4) == ["right → wrong"] * 11 + ["wrong → right"]
    sides = page.run(
        "[...document.querySelectorAll('#rows tr.detail')].map((d) =>"
        " [...d.querySelectorAll('.sides h3')].map((h) => h.textContent))"
    )
    assert sides[:11] == [["a (baseline) right", "b wrong"]] * 11


def test_a_row_opens_and_closes_by_its_button(page: Page) -> None:
    button = "#rows tbody button"
    click(page, button)
    assert page.run(f"document.querySelector('{button}').ariaExpanded") == "true"
    assert page.run("document.querySelectorAll('tr.detail').length") == 1
    click(page, button)
    assert page.run("document.querySelectorAll('tr.detail').length") == 0


def test_hostile_answers_are_text(page: Page) -> None:
    click(page, "[data-flips]")
    shown = page.run("[...document.querySelectorAll('.sides .text')].map((t) => t.textContent)")
    assert shown[0] == shown[1] == ATTACK
    assert ARABIC in shown
    assert "nul\N{REPLACEMENT CHARACTER}byte \u202e turned" in shown
    assert page.run("document.querySelectorAll('#rows img, #rows script').length") == 0
    directions = page.run("[...document.querySelectorAll('.text')].map((t) => t.dir)")
    assert set(directions) == {"auto"}
    drawn = page.run(
        f"getComputedStyle([...document.querySelectorAll('.text')].find("
        f"(t) => t.textContent === '{ARABIC}')).direction"
    )
    assert drawn == "rtl"


def test_a_huge_answer_is_cut_until_all_of_it_is_wanted(page: Page) -> None:
    choose(page, "text", "long long")
    click(page, "#rows tbody button")
    length = "document.querySelector('.sides .text').textContent.length"
    assert page.run(length) == 2000
    click(page, ".sides .text + button")
    assert page.run(length) == len(HUGE)
    assert page.run("document.querySelectorAll('#rows img, #rows script').length") == 0


def test_even_a_script_that_got_in_would_not_run(page: Page) -> None:
    """The page's policy: its own script by hash, and no request at all."""
    policy = page.run("document.querySelector('meta[http-equiv]').content")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_a_link_never_takes_the_place_of_the_report(page: Page) -> None:
    """In the sandboxed frame of MLflow's viewer it would leave an empty one."""
    leading_out = "[...document.links].filter((a) => !a.href.includes('#rows-title'))"
    assert page.run(f"{leading_out}.map((a) => a.target)") == ["_blank"]
    assert page.run(f"{leading_out}.every((a) => a.textContent === a.href)")


def test_the_page_is_no_wider_than_its_window_however_long_a_tag(page: Page) -> None:
    assert page.run("document.documentElement.scrollWidth <= window.innerWidth")


def test_every_control_has_a_name_and_every_heading_a_scope(page: Page) -> None:
    assert page.run("[...document.querySelectorAll('th')].every((h) => h.scope)")
    controls = page.run(
        "[...document.querySelectorAll('select, input')].every((c) => c.labels.length === 1)"
    )
    assert controls
    assert page.run("[...document.querySelectorAll('button')].every((b) => b.textContent.trim())")
    clickable = page.run("document.querySelectorAll('[onclick], div[role=button]').length")
    assert clickable == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_both_themes(browser: Page, report: str, theme: str) -> None:
    """WCAG AA: 4.5 to 1 for every colour a text has, on what lies under it."""
    browser.open(report, theme)
    click(browser, "[data-flips]")
    ratio = browser.run(CONTRAST)
    assert ratio >= 4.5
    assert browser.complaints() == []


CONTRAST = """
(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => parse(c).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const under = (e) => {
    while (e && (parse(getComputedStyle(e).backgroundColor)[3] ?? 1) === 0) e = e.parentElement;
    return e ? getComputedStyle(e).backgroundColor : "rgb(255, 255, 255)";
  };
  const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  const shown = [...document.body.querySelectorAll("*")].filter(
    (e) => own(e) && e.checkVisibility() && !e.closest("svg, script, select, :disabled"));
  return Math.min(...shown.map((e) => {
    const pair = [light(getComputedStyle(e).color), light(under(e))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  }));
})()
"""
