"""`info` after a real evaluation: what it shows fits the terminal and harms neither it nor JSON."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.core.config import load
from steps.core.model_info import chosen_names
from steps.core.model_info_text import printable
from steps.core.releases import ledger
from steps.core.releases.ledger import Move
from steps.core.releases.moves import move
from steps.evaluate import main as evaluate
from steps.info import main as info
from steps.register import main as register
from tests.servers.ollama import OllamaServer, Reply
from tests.steps.conftest import ConfigWriter, CopyRun, invoke

HOSTILE = "\x1b[31mred\x1b]0;mine\x07 \x9b2J [bold]x[/bold] [/nope] :smile: \u202egnp.exe café \0"
REASON = "the gate holds"
ANSWERS = {
    "Which city is the capital of France?": "Paris",
    "Which city is the capital of Spain?": HOSTILE,
}
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def ollama(experiment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer(answer=ANSWERS) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def config(write_config: ConfigWriter, registered_name: str) -> Path:
    own = {"registered_name": registered_name, "options": {"num_ctx": 4096}}
    return write_config(own | {"name": "first"}, own | {"name": "second", "system": "Be brief."})


@pytest.fixture
def registered(ollama: OllamaServer, config: Path, questions: Path) -> Path:
    """The config, once both of its candidates are evaluated and registered."""
    for step in (evaluate, register):
        done = invoke(step, config, data=questions)
        assert done.exit_code == 0, done.output
    return config


@pytest.fixture
def versions(client: MlflowClient, registered_name: str, originals: Mapping[str, Run]) -> None:
    """Two versions, which were evaluated before this test."""
    client.create_registered_model(registered_name)
    for run in originals.values():
        source = f"models:/{run.data.tags['model_id']}"
        client.create_model_version(registered_name, source, run.info.run_id)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "told"


def told(config: Path, output: Path, **options: Any) -> str:
    """What `info` prints; it succeeded."""
    done = shown(config, output, **options)
    assert done.exit_code == 0, done.output
    return done.output


def shown(config: Path, output: Path, **options: Any) -> Result:
    return invoke(info, config, output=output, **options)


@pytest.mark.parametrize("width", [80, 120])
def test_everything_is_shown_within_the_width_of_the_terminal(
    client: MlflowClient,
    registered: Path,
    registered_name: str,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
) -> None:
    for alias in ("staging", "production"):
        client.set_registered_model_alias(registered_name, alias, "1")
    monkeypatch.setenv("COLUMNS", str(width))
    text = told(registered, output)
    lines = text.replace(str(output), "told").splitlines()
    assert max(map(len, lines)) <= width
    cells = [re.split(r"  +", line.strip()) for line in lines]
    rows = {row[0]: row[1:] for row in cells}
    for number, name in {"2": "second", "1": "first"}.items():
        assert rows[number][:4] == [name, "llama3.1:8b", "0.50 [0.09, 0.91]", "0.0%"]
    assert "production: version 1 · staging: version 1" in lines
    assert "Version 1 (production, staging), evaluated on capitals" in text
    assert rows["option.num_ctx"] == ["4096"]
    assert rows["contains_facts"] == ["0.50 [0.09, 0.91]", "2", "0", "0"]
    assert rows["total_tokens"] == [str(_metrics(output)["total_tokens"]).removesuffix(".0")]
    assert "Paris" in text
    assert "No move of an alias is recorded." in text


def test_a_move_that_was_forced_is_told_as_such(
    client: MlflowClient,
    registered: Path,
    registered_name: str,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    seen = ledger.read(client, registered_name, "staging")
    facts = {"verdict": "fail", "forced": "true"}
    move(client, seen, Move("promote", None, 1, ledger.now(), "me", "urgent", None, facts))
    text = told(registered, output)
    assert re.search(r"staging +– +1 +promote, forced +fail +me +urgent", text)


def _metrics(output: Path) -> dict[str, Any]:
    (file,) = output.iterdir()
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))["versions"][-1]["metrics"]
    return found


def test_the_file_holds_every_version_and_the_last_answers_as_they_were(
    client: MlflowClient, experiment: str, registered: Path, registered_name: str, output: Path
) -> None:
    told(registered, output)
    file = output / f"{registered_name}.json"
    found = json.loads(file.read_text("utf-8"))
    runs = client.search_runs([experiment], "tags.kind = 'evaluation'")
    kept = {run.info.run_id: run.data for run in runs}

    assert (found["name"], found["aliases"], found["history"]) == (registered_name, {}, [])
    assert [one["version"] for one in found["versions"]] == [2, 1]
    for version in found["versions"]:
        data = kept[version["run_id"]]
        assert (version["parameters"], version["metrics"]) == (data.params, data.metrics)
        assert version["tags"]["fingerprint"] == data.tags["fingerprint"]
    assert found["shown_version"] == 2
    rows = found["last_prompts_and_answers"]["rows"]
    assert {row["prompt"]: row["answer"] for row in rows} == ANSWERS
    dates = [row["date"] for row in rows]
    assert dates == sorted(dates, reverse=True)


def test_hostile_text_is_harmless_on_the_terminal_and_in_the_file(
    client: MlflowClient, registered: Path, registered_name: str, output: Path
) -> None:
    client.set_registered_model_tag(registered_name, "promotion.staging.000001", _move(HOSTILE))
    text = told(registered, output)
    written = (output / f"{registered_name}.json").read_text("utf-8")
    assert OBEYED.findall(text) == OBEYED.findall(written) == []
    for part in ("[bold]x[/bold]", "[/nope]", ":smile:", "café"):
        assert part in text
    assert "café" in written


def _move(reason: str, at: str = "2026-01-02T03:04:05+00:00") -> str:
    return Move("promote", None, 1, at, "ana", reason, None, {"verdict": "pass"}).text()


@pytest.mark.usefixtures("versions")
def test_moves_of_aliases_are_told_in_their_order(
    client: MlflowClient, config: Path, registered_name: str, output: Path
) -> None:
    moves = {
        "production.000001": _move("third", at="2026-01-04T00:00:00+00:00"),
        "staging.000001": _move("first", at="2026-01-02T00:00:00+00:00"),
        "staging.000002": _move("second", at="2026-01-03T00:00:00+00:00"),
    }
    for key, text in moves.items():
        client.set_registered_model_tag(registered_name, f"promotion.{key}", text)
    text = told(config, output)
    found = re.findall(r"(2026-01-0\d) 00:00  (\w+) +– +1 +promote  pass +ana  (\w+)", text)
    assert found == [
        ("2026-01-02", "staging", "first"),
        ("2026-01-03", "staging", "second"),
        ("2026-01-04", "production", "third"),
    ]


@pytest.mark.usefixtures("versions")
def test_a_table_too_wide_for_the_terminal_loses_nothing(
    client: MlflowClient,
    config: Path,
    registered_name: str,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = "promotion.production.000001"
    client.set_registered_model_tag(registered_name, key, _move(REASON))
    monkeypatch.setenv("COLUMNS", "77")
    text = told(config, output)
    assert re.search("verdict +who +reason *\n", text)
    row = next(line for line in text.splitlines() if "production" in line)
    assert row.split()[1:] == ["production", "–", "1", "promote", "pass", "ana", *REASON.split()]


@pytest.mark.usefixtures("versions")
def test_a_tag_that_tells_of_no_move_is_named(
    client: MlflowClient, config: Path, registered_name: str, output: Path
) -> None:
    client.set_registered_model_tag(registered_name, "promotion.staging.000001", "by hand")
    done = shown(config, output)
    assert done.exit_code == 1
    assert "the tag promotion.staging.000001 is no entry of the ledger" in done.output


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(
    ("aliases", "version"),
    [({}, 2), ({"staging": "1"}, 1), ({"staging": "2", "production": "1"}, 1), ({"own": "1"}, 2)],
)
def test_who_serves_is_told_in_full_and_else_the_newest(
    client: MlflowClient,
    config: Path,
    registered_name: str,
    output: Path,
    aliases: dict[str, str],
    version: int,
) -> None:
    for alias, number in aliases.items():
        client.set_registered_model_alias(registered_name, alias, number)
    assert f"\nVersion {version} (" in told(config, output)


@pytest.mark.usefixtures("versions")
def test_models_may_name_candidates_and_registered_models_that_no_config_knows(
    client: MlflowClient, config: Path, registered_name: str, output: Path
) -> None:
    client.create_registered_model(f"{registered_name}.theirs")
    text = told(config, output, models=f"first,{registered_name},{registered_name}.theirs")
    assert text.count("all of it: ") == 2
    files = {f"{registered_name}.json", f"{registered_name}.theirs.json"}
    assert {file.name for file in output.iterdir()} == files


def test_all_are_those_of_the_config_and_then_those_of_the_registry(
    client: MlflowClient, config: Path, registered_name: str
) -> None:
    client.create_registered_model(f"{registered_name}.others")
    own, *others = chosen_names(client, load(config), "all")
    assert own == registered_name
    assert f"{registered_name}.others" in others
    assert chosen_names(client, load(config), "available") == [registered_name]


def test_what_is_not_registered_yet_is_told(
    client: MlflowClient, write_config: ConfigWriter, registered_name: str, output: Path
) -> None:
    config = write_config({}, {"name": "two", "registered_name": registered_name})
    nothing = shown(config, output, models="two")
    assert nothing.exit_code == 1
    assert f"{registered_name}: not registered yet" in nothing.output
    assert "`mlflow run . -e register`" in nothing.output
    assert not output.exists()


@pytest.mark.parametrize("share", [0.5, 0.0])
@pytest.mark.usefixtures("versions")
def test_a_mean_over_too_few_rows_is_told_nowhere(
    client: MlflowClient,
    copy_run: CopyRun,
    registered_name: str,
    config: Path,
    output: Path,
    share: float,
) -> None:
    run_id = copy_run("good", **{"contains_facts/coverage": share}).info.run_id
    client.create_model_version(registered_name, output.as_uri(), run_id)
    assert told(config, output).count(f"coverage {share:.2f} < 0.8") == 2
    (file,) = output.iterdir()
    newest = json.loads(file.read_text("utf-8"))["versions"][0]
    assert (newest["run_id"], newest["min_coverage"]) == (run_id, 0.8)
    assert newest["metrics"]["contains_facts/coverage"] == share
    assert not {"contains_facts/mean", "contains_facts/ci_low"} & newest["metrics"].keys()


@pytest.mark.usefixtures("versions")
def test_a_version_whose_files_or_run_are_gone_says_so(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, config: Path, output: Path
) -> None:
    run_id = copy_run("good").info.run_id  # without the files of the one it copies
    for known in (run_id, None):
        client.create_model_version(registered_name, output.as_uri(), known)
    assert "No prompts and answers: the version names no run" in told(config, output)
    client.set_registered_model_alias(registered_name, "staging", "3")
    text = " ".join(told(config, output).split())
    assert f"prompts_and_answers.json of run {run_id} cannot be read" in text


def test_a_row_without_an_answer_tells_its_status(
    ollama: OllamaServer,
    write_config: ConfigWriter,
    registered_name: str,
    questions: Path,
    output: Path,
) -> None:
    config = write_config({"registered_name": registered_name}, max_error_rate=1.0)
    ollama.fault(Reply(400, {"error": "no such thing"}))
    for step in (evaluate, register):
        invoke(step, config, data=questions)
    text = told(config, output)
    assert "(error: " in text
    assert "no such thing" in text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (None, "–"),
        ("a\r\nb\tc", "a b c"),
        ("\x1b[2J", "␛[2J"),
        ("\x9b2J", "\ufffd2J"),
        ("\ud83d", "\ufffd"),
        ("x" * 999, "x" * 199 + "…"),
    ],
)
def test_a_printable_text_is_one_line_that_no_terminal_obeys(text: str | None, seen: str) -> None:
    assert printable(text) == seen
