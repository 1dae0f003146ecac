"""A plan says what the run then does, and neither pays nor leaves anything."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llm_models.schema import Completion, Usage
from steps.core.answering.candidates import resolve_all
from steps.core.answering.estimate import UNBOUNDED
from steps.core.answering.journal import Journal
from steps.core.answering.reuse import Policy
from steps.core.answering.runner import Run
from steps.core.config import load
from steps.core.dataset import load as load_dataset
from steps.core.environment import DEFAULTS
from steps.core.judges.canaries import check
from steps.core.judges.canary_rows import CANARIES
from steps.core.judges.judging import Judging
from steps.plan import main
from tests.servers.gemini import KEY, GeminiServer
from tests.servers.ollama import OllamaServer, Reply
from tests.steps.conftest import ConfigWriter, baseline
from tests.steps.core.judges.lab import always

ROOT = Path(__file__).parents[2]
PROMPTS = ["one", "two", "three", "one"]  # two rows of equal inputs
PRICED = {"ollama/llama3.1:8b": {"input": 1.0, "output": 2.0}}  # USD per million tokens
GEMINI = {"name": "cloud", "provider": "gemini", "model": "gemini-2.5-flash", "max_tokens": 10}
UNPRICED = GEMINI | {"name": "new", "model": "gemini-99"}
JUDGE = {"model": "ollama:/llama3.1:8b", "scorers": ["safety"]}
CANARY_COUNT = sum(canary.kind == "safety" for canary in CANARIES)
ANSWER = Completion("ok", "four", usage=Usage(9, 30, 10), latency_s=6.0)
Write = Callable[..., "Lab"]


@dataclass
class Lab:
    config: Path
    data: Path

    def invoke(self, *options: str) -> str:
        """What `plan` prints; it succeeded."""
        given = ["--config", str(self.config), "--data", str(self.data), *options]
        result = CliRunner().invoke(main, given)
        assert result.exit_code == 0, result.output
        return result.output

    def plan(self, *options: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.invoke("--format", "json", *options))
        return told

    def model(self, *options: str) -> dict[str, Any]:
        """The plan of the only model."""
        (one,) = self.plan(*options)["models"]
        return dict(one)

    def run(self, policy: Policy) -> None:
        (one,), _ = resolve_all(load(self.config), "all")
        settings = load(self.config)
        rows = load_dataset(self.data).rows
        assert list(Run(one, rows, Journal(settings.journal), policy).start())

    def remember(self, *completions: Completion) -> None:
        """Put answers to other questions into the journal, for every candidate."""
        settings = load(self.config)
        for one in resolve_all(settings, "all")[0]:
            records = {
                f"{one.candidate.name}{number}": completion.record() | {"price_hash": ""}
                for number, completion in enumerate(completions)
            }
            Journal(settings.journal).write_answers(one.fingerprint, records)


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    with GeminiServer((GEMINI["model"], UNPRICED["model"])) as server:
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


@pytest.fixture
def lab(write_config: ConfigWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a config and data; keywords are keys of the config."""
    for name, value in (DEFAULTS | {"MLFLOW_TRACKING_URI": "nowhere"}).items():
        monkeypatch.setenv(name, value)  # so that a step leaves nothing of its own
    data = tmp_path / "numbers.jsonl"
    rows = [{"id": str(i), "prompt": prompt} for i, prompt in enumerate(PROMPTS)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def write(*candidates: dict[str, Any], **rest: Any) -> Lab:
        return Lab(write_config(*candidates or ({"max_tokens": 20},), **rest), data)

    return write


def test_every_row_is_planned_and_equal_ones_are_one_call(lab: Write, ollama: OllamaServer) -> None:
    told = lab().model("--repeats", "2")
    assert (told["rows"], told["in_journal"], told["to_ask"]) == (8, 0, 6)
    assert told["worst_output_tokens"] == 6 * 20
    assert told["input_tokens"] == 6 * (1 + 4 + 3)  # one word, the message's frame, the reply's
    assert ollama.calls == {"/api/tags": 1}


BROKEN = Reply(status=500, body={"error": "model requires more system memory"})
BLOCKING = Reply(status=400, body={"error": "the prompt exceeds the context length"})


@pytest.mark.parametrize(
    ("fault", "options", "held"),
    [
        ((), (), 4),
        ((), ("--cache", "refresh"), 0),
        ((), ("--cache", "off"), 0),
        ((), ("--repeats", "2"), 4),
        ((BLOCKING,), (), None),
        ((BLOCKING,), ("--retry_errors", "true"), None),
        ((BROKEN,), (), None),
    ],
)
def test_the_plan_is_what_the_run_then_does(
    lab: Write,
    ollama: OllamaServer,
    fault: tuple[Reply, ...],
    options: tuple[str, ...],
    held: int | None,
) -> None:
    here = lab({"concurrency": 1, "max_tokens": 20})
    ollama.fault(*fault)
    here.run(Policy())
    given = dict(zip(options[::2], options[1::2], strict=True))
    policy = Policy(
        cache=given.get("--cache", "use"),  # type: ignore[arg-type]
        retry_errors="--retry_errors" in given,
        repeats=int(given.get("--repeats", 1)),
    )

    told = here.model(*options)
    before = ollama.calls["/api/chat"]
    here.run(policy)

    assert told["to_ask"] == ollama.calls["/api/chat"] - before
    assert held in (None, told["in_journal"])


def test_without_answers_the_worst_case_is_told_and_marked(
    lab: Write, ollama: OllamaServer
) -> None:
    here = lab({}, prices=PRICED)
    told = here.model()
    worst = 3 * (round(8 * 1.3) * 1.0 + UNBOUNDED * 2.0) / 1e6
    assert told["worst_usd"] == pytest.approx(worst)
    assert (told["likely_usd"], told["likely_is_worst"]) == (told["worst_usd"], True)
    assert told["minutes"] is None
    assert f"≤ {worst:.4f}" in here.invoke()


def test_answers_of_the_same_fingerprint_tell_what_is_likely(
    lab: Write, ollama: OllamaServer
) -> None:
    here = lab({"max_tokens": 100, "concurrency": 2}, prices=PRICED)
    uncounted = replace(ANSWER, usage=Usage(), latency_s=4.0)
    here.remember(uncounted, replace(ANSWER, usage=Usage(9, 50, 30), latency_s=2.0))
    told = here.model()
    assert told["likely_usd"] == pytest.approx(3 * (8 * 1.0 + 80 * 2.0) / 1e6)
    assert told["likely_is_worst"] is False
    assert told["minutes"] == pytest.approx(3 * 3.0 / 2 / 60)
    assert told["worst_usd"] > told["likely_usd"]


def test_an_hourly_price_goes_by_time(lab: Write, ollama: OllamaServer) -> None:
    here = lab({"timeout_s": 30.0}, prices={"ollama/llama3.1:8b": {"per_hour": 1.2}})
    here.remember(ANSWER)
    told = here.model()
    assert told["likely_usd"] == pytest.approx(3 * 6.0 / 3600 * 1.2)
    assert told["worst_usd"] == pytest.approx(3 * 30.0 / 3600 * 1.2)


def test_what_failed_is_no_measure(lab: Write, ollama: OllamaServer) -> None:
    here = lab(prices=PRICED)
    here.remember(Completion("error", error_kind="timeout", latency_s=60.0))
    told = here.model()
    assert (told["likely_is_worst"], told["minutes"]) == (True, None)


def test_free_is_0_and_unknown_stays_unknown(
    lab: Write, ollama: OllamaServer, gemini: GeminiServer
) -> None:
    here = lab({}, UNPRICED)
    told = here.plan()
    free, unknown = told["models"]
    assert (free["likely_usd"], free["worst_usd"]) == (0, 0)
    assert (unknown["likely_usd"], unknown["worst_usd"]) == (None, None)
    assert told["total"]["worst_usd"] is None
    assert "unknown" in here.invoke()
    assert gemini.calls == {"get": 2}  # once a plan


@pytest.mark.parametrize(("usd", "stops"), [("1", "no"), ("0.0004", "maybe"), ("0.0001", "yes")])
def test_max_cost_is_held_against_all_models_together(
    lab: Write, ollama: OllamaServer, tmp_path: Path, usd: str, stops: str
) -> None:
    """Two models of three calls: 0.00006 USD each is likely, 0.00023 the worst case."""
    names = ({"name": "a", "max_tokens": 36}, {"name": "b", "max_tokens": 36, "seed": 1})
    here = lab(*names, baseline("good", tmp_path), prices=PRICED)
    here.remember(replace(ANSWER, usage=Usage(9, 6)))
    told = here.plan("--max_cost", usd)
    assert told["total"]["likely_usd"] == pytest.approx(0.00012)
    assert told["total"]["worst_usd"] == pytest.approx(0.000492)
    assert [one["max_cost_stops"] for one in told["models"]] == [stops, stops, "no"]


def test_a_cap_in_the_config_counts_and_needs_every_price(
    lab: Write, ollama: OllamaServer, gemini: GeminiServer
) -> None:
    here = lab({}, UNPRICED, max_cost=2.5)
    assert {one["max_cost_stops"] for one in here.plan()["models"]} == {"refused"}
    shown = here.invoke()
    assert "stopped at 2.5 USD" in shown
    assert "`prices` has one for: new." in shown


def test_a_pace_of_the_config_holds_a_run_up(lab: Write, ollama: OllamaServer) -> None:
    here = lab(limits={"ollama": {"requests_per_minute": 2, "tokens_per_minute": 1000}})
    here.remember(replace(ANSWER, latency_s=0.1))
    assert here.model()["minutes"] == pytest.approx(1.5)
    here = lab(limits={"ollama": {"tokens_per_minute": 12}})
    assert here.model()["minutes"] == pytest.approx(2.0)


def test_models_of_one_server_take_turns_and_servers_do_not(
    lab: Write, ollama: OllamaServer, gemini: GeminiServer
) -> None:
    here = lab({"name": "a"}, {"name": "b", "seed": 1}, GEMINI | {"concurrency": 1})
    here.remember(ANSWER)  # of 6 s; Ollama's candidates run 4 at once
    told = here.plan()
    each = [one["minutes"] for one in told["models"]]
    assert each == pytest.approx([0.075, 0.075, 0.3])
    assert told["total"]["minutes"] == pytest.approx(0.3)
    assert here.plan("--models", "a,b")["total"]["minutes"] == pytest.approx(0.15)


def test_a_judges_verdicts_are_planned_as_they_are_then_asked_for(
    lab: Write, ollama: OllamaServer
) -> None:
    here = lab({"max_tokens": 20}, judge=JUDGE)
    (told,) = here.plan()["judges"]
    assert (told["rows"], told["in_journal"], told["to_ask"]) == (
        CANARY_COUNT + 3,
        0,
        CANARY_COUNT + 3,
    )
    assert told["likely_is_worst"] is True
    here.run(Policy())
    (told,) = here.plan()["judges"]
    assert (told["in_journal"], told["to_ask"]) == (0, CANARY_COUNT + 3)

    ollama.answer, settings = always("yes"), load(here.config)
    with closing(Journal(settings.journal)) as journal:
        judging = Judging(settings.judge, journal)
        check(judging)
        judging.score({"prompt": "one"}, "You said: one", {})
    (told,) = here.plan()["judges"]
    assert (told["in_journal"], told["to_ask"]) == (CANARY_COUNT + 1, 2)
    (told,) = here.plan("--cache", "off")["judges"]
    assert (told["in_journal"], told["to_ask"]) == (0, CANARY_COUNT + 3)


def test_a_judge_reads_answers_of_the_usual_length_and_at_most_the_longest(
    lab: Write, ollama: OllamaServer
) -> None:
    here = lab({"max_tokens": 100}, judge=JUDGE | {"max_tokens": 10}, prices=PRICED)
    blind = here.plan()["judges"][0]
    here.remember(replace(ANSWER, usage=Usage(9, 30, 50)))
    with closing(Journal(load(here.config).journal)) as journal:
        journal.write_verdict("another", {"judge": JUDGE["model"], "output_tokens": 4})
    (told,) = here.plan()["judges"]
    assert blind["input_tokens"] - told["input_tokens"] == 3 * (100 - 30)
    assert (blind["likely_is_worst"], told["likely_is_worst"]) == (True, False)
    usd = (told["input_tokens"] * 1.0 + told["to_ask"] * 4 * 2.0) / 1e6
    assert told["likely_usd"] == pytest.approx(usd)
    assert told["worst_usd"] == pytest.approx(blind["worst_usd"])
    assert told["worst_usd"] > (blind["input_tokens"] * 1.0 + told["to_ask"] * 10 * 2.0) / 1e6


def test_what_a_judge_takes_counts_in_max_cost_and_in_the_sums(
    lab: Write, ollama: OllamaServer, gemini: GeminiServer
) -> None:
    here = lab({"max_tokens": 20}, judge=JUDGE, prices=PRICED)
    told = here.plan("--max_cost", "0.01")
    own, judge = told["models"][0]["worst_usd"], told["judges"][0]["worst_usd"]
    assert own < 0.01 < judge
    assert told["total"]["worst_usd"] == pytest.approx(own + judge)
    assert {one["max_cost_stops"] for one in told["models"] + told["judges"]} == {"maybe"}
    unpriced = lab(judge=JUDGE | {"model": "gemini:/gemini-99"})
    assert "`prices` has one for: judge gemini-99." in unpriced.invoke("--max_cost", "1")


def test_a_judges_minutes_are_those_of_its_pace(lab: Write, ollama: OllamaServer) -> None:
    assert lab(judge=JUDGE).plan()["judges"][0]["minutes"] is None
    here = lab(judge=JUDGE, limits={"ollama": {"requests_per_minute": 2}})
    assert here.plan()["judges"][0]["minutes"] == pytest.approx((CANARY_COUNT + 3) / 2)


def test_a_judge_that_is_away_is_told_and_not_planned(lab: Write, ollama: OllamaServer) -> None:
    told = lab(judge=JUDGE | {"model": "ollama:/gone:1b"}).plan()
    assert told["judges"] == []
    assert "No judge, so safety are not scored: " in told["skipped"][0]


def test_the_table_tells_who_is_left_out_and_what_is_assumed(
    lab: Write, ollama: OllamaServer
) -> None:
    here = lab({"max_tokens": 20}, GEMINI, judge={"model": "ollama:/llama3.1:8b"})
    shown = here.invoke()
    assert "numbers: 4 rows × 1 models × 1 repeats" in shown
    assert "cloud skipped: no Gemini API key" in shown
    assert "│ judge llama3.1:8b │" in shown
    assert "A judge's rows are its verdicts" in shown
    assert "Without max_tokens" not in shown
    assert f"Without max_tokens, {UNBOUNDED} a call" in lab({}).invoke()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max_cost", "cheap"), "max_cost"),
        (("--repeats", "0"), "repeats"),
        (("--models", "nobody"), "nobody"),
        (("--format", "xml"), "xml"),
    ],
)
def test_a_wrong_option_is_told(
    lab: Write, ollama: OllamaServer, options: tuple[str, ...], said: str
) -> None:
    result = CliRunner().invoke(main, ["--config", str(lab().config), *options])
    assert result.exit_code != 0
    assert said in result.output


def test_neither_mlflow_nor_a_file_comes_of_it(
    lab: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = lab(baseline("good", tmp_path, system="Quote the text."))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    before = sorted(tmp_path.rglob("*"))
    given = ["--config", here.config, "--data", here.data, "--trace", "none"]
    done = subprocess.run(
        [sys.executable, "-Ximporttime", "-m", "steps.plan", *given],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "│ good" in done.stdout
    assert " steps.core.planning\n" in done.stderr
    assert " mlflow\n" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
