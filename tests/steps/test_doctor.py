"""The doctor finds what would stop a run, names the remedy, and leaves nothing behind."""

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from steps.core import language, surroundings
from steps.core.answering.candidates import resolve_all
from steps.core.answering.journal import Journal
from steps.core.config import load
from steps.core.dataset import load as load_dataset
from steps.core.diagnosis import age_of_prices, quick_check
from steps.core.environment import DEFAULTS
from steps.core.surroundings import packages, sqlite_file
from steps.doctor import main
from tests.servers import openai
from tests.servers.gemini import KEY, GeminiServer
from tests.servers.ollama import OllamaServer, Reply
from tests.servers.openai import OpenAIServer
from tests.servers.scripted import ScriptedServer, Seen
from tests.steps.conftest import ConfigWriter, baseline

ROOT = Path(__file__).parents[2]
GEMINI = {"name": "cloud", "provider": "gemini", "model": "gemini-2.5-flash", "max_tokens": 10}
PRICED = {"ollama/llama3.1:8b": {"input": 1.0, "output": 2.0}}
Findings = dict[str, dict[str, Any]]  # by subject
Write = Callable[..., "Lab"]


@dataclass
class Lab:
    config: Path
    data: Path

    def invoke(self, *options: str) -> tuple[int, str]:
        given = ["--config", str(self.config), "--data", str(self.data), *options]
        result = CliRunner().invoke(main, given)
        return result.exit_code, result.output

    def findings(self, *options: str) -> Findings:
        """What the doctor finds; its exit code fits."""
        code, output = self.invoke("--format", "json", *options)
        found = {each["subject"]: each for each in json.loads(output)}
        assert code == int("problem" in {each["status"] for each in found.values()})
        assert all(each["remedy"] for each in found.values() if each["status"] != "ok")
        return found

    def quick(self, max_cost: float | None = None) -> list[str]:
        settings = load(self.config)
        ready, _ = resolve_all(settings, "available")
        return quick_check(ready, load_dataset(self.data), settings.journal, max_cost)


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    with GeminiServer((GEMINI["model"], "gemini-99")) as server:
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the tracking store would be; there is none yet."""
    file = tmp_path / "mlflow.db"
    for name, value in (DEFAULTS | {surroundings.URI: f"sqlite:///{file}"}).items():
        monkeypatch.setenv(name, value)
    return file


@pytest.fixture
def lab(write_config: ConfigWriter, tmp_path: Path, stored: Path) -> Write:
    """Writes a config, and data with one prompt of so many words; keywords are config keys."""

    def write(*candidates: dict[str, Any], words: int = 3, **rest: Any) -> Lab:
        data = tmp_path / "questions.jsonl"
        rows = [{"id": "short", "prompt": "hi"}, {"id": "long", "prompt": " word" * words}]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return Lab(write_config(*candidates or ({},), **rest), data)

    return write


def status(found: Findings, subject: str) -> tuple[str, str]:
    return found[subject]["status"], f"{found[subject]['finding']} → {found[subject]['remedy']}"


def test_a_sound_installation_has_no_finding_and_keeps_no_trace_of_it(
    lab: Write, ollama: OllamaServer, gemini: GeminiServer, tmp_path: Path
) -> None:
    judge = {"model": "ollama:/llama3.1:8b"}
    here = lab({}, GEMINI, baseline("good", tmp_path), judge=judge)
    before = sorted(tmp_path.rglob("*"))

    found = here.findings()

    assert {each["status"] for each in found.values()} == {"ok"}
    assert "digest" in found["one"]["finding"]
    assert "free" in found["one: price"]["finding"]
    assert "0.3 USD" in found["cloud: price"]["finding"]
    assert "1,048,576" in found["cloud: context"]["finding"]
    assert sorted(tmp_path.rglob("*")) == before
    assert gemini.calls.keys() == {"get"}
    assert not ollama.calls.keys() & {"/api/chat", "/api/generate"}


def test_the_text_has_a_mark_and_the_remedy_below(lab: Write, ollama: OllamaServer) -> None:
    code, text = lab({}, {"name": "away", "model": "away:7b"}).invoke()
    assert code == 0
    lines = text.splitlines()
    told = [line.split()[:2] for line in lines]
    assert ["✓", "one"] in told
    assert lines[told.index(["!", "away"]) + 1].strip().startswith("→ ")
    assert lines[-1] == "problems: 0, warnings: 1"


OPENAI = {"name": "cloud", "provider": "openai", "model": openai.MODEL}
UNUSABLE = {
    "no key": (GEMINI, "GEMINI_API_KEY"),
    "no key for OpenAI": (OPENAI, "OPENAI_API_KEY"),
    "no gateway": (OPENAI | {"base_url": "http://127.0.0.1:9/v1"}, "correct base_url"),
    "no server": ({"name": "cloud", "base_url": "http://127.0.0.1:9"}, "ollama serve"),
    "not pulled": ({"name": "cloud", "model": "away:7b"}, "ollama pull away:7b"),
}


@pytest.mark.parametrize(("candidate", "remedy"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_candidate_that_cannot_be_asked_is_a_problem_only_where_it_is_needed(
    lab: Write, ollama: OllamaServer, candidate: dict[str, Any], remedy: str
) -> None:
    here = lab({}, candidate)
    for models, expected in (("available", "warning"), ("all", "problem"), ("cloud", "problem")):
        told = status(here.findings("--models", models), "cloud")
        assert told[0] == expected
        assert remedy in told[1]
    assert status(lab(candidate).findings(), "cloud")[0] == "problem"  # no other is left


def test_a_candidate_that_is_configured_wrong_is_always_a_problem(
    lab: Write, ollama: OllamaServer, tmp_path: Path
) -> None:
    here = lab({}, baseline("good", tmp_path))
    (tmp_path / "good.md").unlink()
    assert status(here.findings(), "good")[0] == "problem"


def test_no_secret_is_told(
    lab: Write, gemini: GeminiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("another-key-than-the-servers", "hunter2-hunter2")
    monkeypatch.setenv("GEMINI_API_KEY", secrets[0])
    monkeypatch.setenv(surroundings.URI, f"http://me:{secrets[1]}@127.0.0.1:9")
    here = lab(GEMINI, judge={"model": "gemini:/gemini-2.5-flash"})
    for form in ("text", "json"):
        code, output = here.invoke("--format", form)
        assert code == 1
        assert "API key" in output
        assert "127.0.0.1:9" in output
        assert not [secret for secret in secrets if secret in output]


def test_a_wrong_config_is_told_beside_the_rest(lab: Write) -> None:
    here = lab({"modle": "llama3.1:8b"})
    found = here.findings()
    assert "did you mean 'model'?" in found["config and data"]["finding"]
    assert found["tracking store"]["status"] == "ok"
    assert "nowhere.csv" in lab().findings("--data", "nowhere.csv")["config and data"]["finding"]


NARROW = {
    "fits": ({"options": {"num_ctx": 1450}, "max_tokens": 100}, 1000, "ok", "None"),
    "may not fit": ({"options": {"num_ctx": 1200}, "max_tokens": 100}, 1000, "warning", "num_ctx"),
    "does not fit": ({"options": {"num_ctx": 512}}, 1000, "problem", "num_ctx"),
    "the answer leaves no room": (
        {"options": {"num_ctx": 1500}, "max_tokens": 1000},
        1000,
        "problem",
        "num_ctx",
    ),
    "nobody has set it": ({}, 5000, "warning", "num_ctx"),
    "the model has less": ({"options": {"num_ctx": 9**9}}, 140_000, "problem", "choose a model"),
}


@pytest.mark.parametrize(("candidate", "words", "expected", "remedy"), NARROW.values(), ids=NARROW)
def test_the_longest_prompt_is_held_against_the_context(
    lab: Write,
    ollama: OllamaServer,
    candidate: dict[str, Any],
    words: int,
    expected: str,
    remedy: str,
) -> None:
    told = status(lab(candidate, words=words).findings(), "one: context")
    assert told[0] == expected
    assert remedy in told[1]


def test_a_server_of_openais_format_tells_its_context_and_no_price(
    lab: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", openai.KEY)
    with OpenAIServer(("qwen",), listed={"root": "Qwen/Qwen3-8B", "max_model_len": 512}) as server:
        vllm = OPENAI | {"model": "qwen", "base_url": server.url, "max_tokens": 10}
        found = lab(vllm, words=1000).findings()
    assert "serves Qwen/Qwen3-8B" in found["cloud"]["finding"]
    assert "and 502 are there for it" in found["cloud: context"]["finding"]
    assert found["cloud: price"]["status"] == "warning"
    assert found["cloud: price"]["finding"] == "the price of openai/qwen is unknown"


def test_the_remedy_for_a_narrow_context_is_enough(lab: Write, ollama: OllamaServer) -> None:
    narrow = lab({"options": {"num_ctx": 512}, "max_tokens": 100}, words=1000)
    remedy = narrow.findings()["one: context"]["remedy"]
    enough = int(re.search(r"num_ctx to (\d+)", remedy)[1])
    mended = lab({"options": {"num_ctx": enough}, "max_tokens": 100}, words=1000)
    assert mended.findings()["one: context"]["status"] == "ok"


def described(**limits: int) -> Reply:
    return Reply(body={"name": "models/gemini-2.5-flash", "version": "001"} | limits)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"inputTokenLimit": 100, "outputTokenLimit": 100}, "100 are there"),
        ({"inputTokenLimit": 9999, "outputTokenLimit": 5}, "lower max_tokens to 5"),
    ],
)
def test_limits_that_the_server_tells_count(
    lab: Write, gemini: GeminiServer, limits: dict[str, int], said: str
) -> None:
    gemini.fault(*[described(**limits)] * 2, path="get")
    told = status(lab(GEMINI, words=1000).findings(), "cloud: context")
    assert told[0] == "problem"
    assert said in told[1]


def test_an_unknown_price_is_a_problem_only_under_a_cap(lab: Write, gemini: GeminiServer) -> None:
    new = GEMINI | {"model": "gemini-99"}
    assert status(lab(new).findings(), "cloud: price")[0] == "warning"
    told = status(lab(new, max_cost=1.0).findings(), "cloud: price")
    assert told[0] == "problem"
    assert "`prices`" in told[1]


@pytest.mark.parametrize(
    ("updated", "expected"),
    [("2026-01-01", "ok"), ("2025-12-31", "warning"), ("lately", "warning")],
)
def test_old_prices_are_told(updated: str, expected: str) -> None:
    assert age_of_prices(updated, date(2026, 6, 30)).status == expected


def test_a_judge_that_is_away_is_a_warning(lab: Write, ollama: OllamaServer) -> None:
    told = status(lab(judge={"model": "ollama:/away:7b"}).findings(), "judge")
    assert told[0] == "warning"
    assert "ollama pull away:7b" in told[1]


def foreign(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE theirs (key TEXT)")


def garbage(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"Dear diary, " * 1000)


def other_version(file: Path) -> None:
    with closing(sqlite3.connect(file)) as old, old:
        old.execute("CREATE TABLE alembic_version (version_num TEXT)")
        old.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")


@pytest.mark.parametrize("spoil", [foreign, garbage, Path.mkdir])
def test_a_journal_that_cannot_be_used_is_a_problem(
    lab: Write, ollama: OllamaServer, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    here = lab(journal="journal.sqlite")
    spoil(tmp_path / "journal.sqlite")
    told = status(here.findings(), "journal")
    assert told[0] == "problem"
    assert "`journal`" in told[1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (foreign, "alembic_version"),
        (garbage, "not a database"),
        (other_version, "mlflow db upgrade"),
        (Path.mkdir, "cannot be written"),
    ],
)
def test_a_store_that_cannot_be_used_is_a_problem(
    lab: Write, ollama: OllamaServer, stored: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(stored)
    told = status(lab().findings(), "tracking store")
    assert told[0] == "problem"
    assert said in told[1]


def test_a_real_store_is_left_as_it_is(
    lab: Write, ollama: OllamaServer, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = lab()
    monkeypatch.setenv(surroundings.URI, store)
    file = sqlite_file()
    assert file
    before = file.read_bytes()
    told = status(here.findings(), "tracking store")
    assert told[0] == "ok"
    assert "read and written" in told[1]
    assert file.read_bytes() == before


def test_a_store_that_another_writes_to_is_a_warning(
    lab: Write, ollama: OllamaServer, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "PATIENCE_S", 0.0)
    other_version(stored)
    with closing(sqlite3.connect(stored)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert status(lab().findings(), "tracking store")[0] == "warning"


class TrackingServer(ScriptedServer):
    def reply(self, seen: Seen) -> Reply:
        if seen.path == "/health":
            return Reply(body="OK")
        if seen.path.endswith("/experiments/search"):
            return Reply(body={"experiments": []})
        return Reply(404, {})


@pytest.mark.parametrize(
    ("path", "fault", "expected"),
    [
        ("/health", None, "ok"),
        ("/health", Reply(502, "down"), "problem"),
        (
            "/api/2.0/mlflow/experiments/search",
            Reply(403, {"error_code": "PERMISSION_DENIED", "message": "not you"}),
            "problem",
        ),
    ],
)
def test_a_tracking_server_is_asked(
    lab: Write,
    ollama: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    fault: Reply | None,
    expected: str,
) -> None:
    with TrackingServer() as server:
        monkeypatch.setenv(surroundings.URI, server.url)
        server.fault(*([fault] if fault else []), path=path)
        assert status(lab().findings(), "tracking store")[0] == expected
        assert server.calls["/health"] == 1


@pytest.mark.parametrize(
    ("pins", "expected", "said"),
    [
        ("click\npytest>=1 ; python_version < '3'\n", "ok", "1, all"),
        ("click\npytest==1.0\n", "warning", "is not ==1.0"),
        ("click\nno-such-package==1.0\npytest==1.0\n", "problem", "no-such-package is missing"),
        ("no-such-package==1.0 ; sys_platform == 'win32'\n", "ok", "0, all"),
    ],
)
def test_packages_are_held_against_the_pins(
    tmp_path: Path, pins: str, expected: str, said: str
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(pins, "utf-8")
    found = packages(lock)
    assert found.status == expected
    assert said in found.finding


def test_a_damaged_resource_is_a_problem(
    lab: Write, ollama: OllamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "lid.176.ftz"
    damaged.write_bytes(b"half a model")
    monkeypatch.setattr(language, "SHIPPED", damaged)
    monkeypatch.setenv(language.VARIABLE, str(tmp_path / "none.bin"))
    found = lab().findings()
    assert "git checkout" in status(found, "language model")[1]
    assert status(found, language.VARIABLE)[0] == "problem"


@pytest.mark.parametrize(
    ("little", "too_little", "expected"),
    [(2**60, 0, "warning"), (2**60, 2**60, "problem"), (0, 0, "ok")],
)
def test_room_on_the_disk_is_told(
    lab: Write,
    ollama: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    little: int,
    too_little: int,
    expected: str,
) -> None:
    monkeypatch.setattr(surroundings, "LITTLE", little)
    monkeypatch.setattr(surroundings, "TOO_LITTLE", too_little)
    found = lab().findings()
    assert status(found, "disk of the journal")[0] == expected
    assert status(found, "disk of the store")[0] == expected


def test_the_process_exits_with_1_and_needs_no_mlflow_for_sqlite(lab: Write) -> None:
    done = subprocess.run(
        [sys.executable, "-Ximporttime", "-m", "steps.doctor", "--config", lab(GEMINI).config],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "✗ cloud" in done.stdout
    assert "GEMINI_API_KEY" in done.stdout
    assert " steps.core.diagnosis\n" in done.stderr
    assert " mlflow\n" not in done.stderr


@pytest.mark.parametrize(
    ("uri", "expected", "said"),
    [
        ("", "warning", "unset MLFLOW_TRACKING_URI"),
        ("nowhere://store", "problem", "unsupported URI"),
        ("mysql+no_such_driver://me:pw@host/db", "problem", "mysql+no_such_driver://host/db"),
        ("http://127.0.0.1:9?token=pw", "problem", "http://127.0.0.1:9 cannot be used"),
    ],
)
def test_an_address_that_is_no_store_is_told_without_its_password(
    lab: Write,
    ollama: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    expected: str,
    said: str,
) -> None:
    monkeypatch.setenv(surroundings.URI, uri)
    told = status(lab().findings(), "tracking store")
    assert told[0] == expected
    assert said in told[1]
    assert "pw" not in told[1]


def test_the_quick_check_is_silent_where_all_is_well(lab: Write, ollama: OllamaServer) -> None:
    here = lab({"options": {"num_ctx": 8192}, "max_tokens": 100}, prices=PRICED)
    Journal(load(here.config).journal).close()
    assert here.quick(max_cost=1.0) == []
    assert ollama.calls == {"/api/tags": 1}  # by resolving the candidate


def test_rows_that_ask_the_same_are_told(lab: Write, ollama: OllamaServer) -> None:
    here = lab({"max_tokens": 100})
    rows = [{"id": name, "prompt": "Why?"} for name in "abc"] + [{"id": "d", "prompt": "How?"}]
    here.data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (warning,) = here.quick()
    assert warning.startswith("data: 4 rows of ")
    assert "ask only 2 different questions" in warning
    assert here.findings()["data"]["status"] == "warning"


def test_the_quick_check_warns_of_what_it_can_see_at_once(
    lab: Write, ollama: OllamaServer, gemini: GeminiServer, stored: Path, tmp_path: Path
) -> None:
    narrow = {"options": {"num_ctx": 512}}
    here = lab(narrow, GEMINI | {"model": "gemini-99"}, words=1000, journal="taken")
    stored.mkdir()
    (tmp_path / "taken").mkdir()
    context, price, store, journal = here.quick(max_cost=1.0)
    assert context.startswith("one: context: the longest prompt")
    assert price.startswith("cloud: price: ")
    assert store.startswith("tracking store: ")
    assert journal.startswith("journal: ")
    assert len(here.quick()) == 3  # without a cap, no price is needed
