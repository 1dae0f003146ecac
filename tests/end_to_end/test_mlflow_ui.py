"""What MLflow's own UI shows of our runs, looked at in real Chromium."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.end_to_end.browser import CHROMIUM, Page, chromium
from tests.end_to_end.lab import Lab

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

ROWS = 30
FACT = "Item {i} weighs {i} grams."
ATTACK = "<script>document.title='taken'</script>"
KNOWLEDGE = {"knows": ATTACK + "{fact}", "guesses": "Item {i} weighs something."}
NO_ASSISTANT = """
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A store with the evaluations of two candidates."""
    folder = tmp_path_factory.mktemp("ui")
    candidates = []
    for name, line in KNOWLEDGE.items():
        texts = [line.format(i=i, fact=FACT.format(i=i)) for i in range(ROWS)]
        (folder / f"{name}.md").write_text("\n\n".join(texts))
        own = {"name": name, "provider": "baseline", "model": "bm25", "registered_name": "llm_ui"}
        candidates.append(own | {"options": {"knowledge": f"{name}.md"}})
    config = {"candidates": candidates, "rank_by": "contains_facts/mean"}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    rows = [
        {"prompt": f"How many grams does item {i} weigh?", "expected_facts": [f"{i} grams"]}
        for i in range(ROWS)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lab = Lab(folder, {})
    done = lab.step("evaluate", "--data", str(folder / "items.jsonl"))
    assert done.returncode == 0, done.stdout + done.stderr
    return lab


@pytest.fixture(scope="module")
def compared(lab: Lab) -> str:
    """What `mlflow run . -e compare` printed; one candidate is worse than the baseline."""
    done = lab.mlflow_run("compare", data=str(lab.folder / "items.jsonl"), baseline="knows")
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ui(lab: Lab, compared: str) -> Iterator[str]:
    with lab.ui() as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        page.call("Page.addScriptToEvaluateOnNewDocument", source=NO_ASSISTANT)
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """An empty one: MLflow's pages are all one address to the browser, and load only once."""
    browser.open("about:blank")
    return browser


@pytest.fixture
def run(lab: Lab, compared: str) -> Run:
    """The run of the comparison."""
    (found,) = MlflowClient(lab.store).search_runs(["0"], "tags.step = 'compare'")
    return found


def artifact(run: Run, ui: str, name: str) -> str:
    return f"{ui}/#/experiments/0/runs/{run.info.run_id}/artifacts/{name}"


def test_under_mlflow_run_the_verdict_is_the_last_line_and_a_tag(compared: str, run: Run) -> None:
    """It turns every exit code but 0 into 1 and a failed run, so that only these tell which."""
    assert compared.splitlines()[-1] == "verdict: fail"
    assert (run.data.tags["verdict"], run.info.status) == ("fail", "FAILED")


def test_the_artifact_viewer_shows_the_report_which_sorts_and_filters(
    run: Run, ui: str, page: Page
) -> None:
    page.open(artifact(run, ui, "comparison.html"))
    page.until("document.querySelector('iframe[sandbox]') !== null")
    with page.frame() as report:
        count = "document.getElementById('count')?.textContent"
        assert report.until(count) == f"{2 * ROWS} of {2 * ROWS} answers."
        names = "[...document.querySelectorAll('#board tbody th')].map((h) => h.textContent)"
        assert report.run(names) == ["knows", "guesses"]
        report.run("document.querySelector('#board thead button').click()")
        assert report.run(names) == ["guesses", "knows"]
        report.run("document.querySelector('[data-flips]').click()")
        assert report.run(count) == f"{ROWS} of {2 * ROWS} answers."
        answers = "[...document.querySelectorAll('.sides .text')].map((t) => t.textContent)"
        assert ATTACK + FACT.format(i=7) in report.run(answers)
        assert report.run("document.title") == "Models compared on items"
        assert report.complaints() == []


def test_the_artifact_viewer_shows_the_images(run: Run, ui: str, page: Page) -> None:
    page.open(artifact(run, ui, "differences.png"))
    width = "[...document.images].map((i) => i.naturalWidth).find((width) => width > 1000)"
    assert page.until(width) == 1430


def test_the_evaluation_view_puts_the_answers_side_by_side(
    compared: str, ui: str, page: Page
) -> None:
    (line,) = [line for line in compared.splitlines() if line.startswith("Answers of the two best")]
    page.open(f"{ui}/#{urlsplit(line.partition(': ')[2]).fragment}")
    rows = f"document.body.innerText.includes('{ROWS} of {ROWS}')"
    both = " && ".join(f"document.body.innerText.includes('{name}')" for name in KNOWLEDGE)
    shown = page.until(f"{rows} && {both} && document.body.innerText").partition("Comparing")[2]
    assert "How many grams does item" in shown
    assert ATTACK in shown
    assert "weighs something." in shown
    assert page.run("document.title") != "taken"
