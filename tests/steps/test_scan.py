"""A key that got into the store is found wherever it lies, and is not told."""

import base64
import gzip
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from click.testing import Result
from mlflow import MlflowClient

from steps.core.secret_search import Secrets
from steps.scan import main as scan
from tests.steps.conftest import CopyRun, config_in, invoke

KEY = "a-secret-of-this-environment/1"
GOOGLE = "AIza" + "x" * 35
Plant = Callable[[MlflowClient, str], object]


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    config = config_in(tmp_path, {})
    return lambda **options: invoke(scan, config, **options)


def _artifact(client: MlflowClient, run_id: str) -> None:
    client.log_text(run_id, f"key={KEY}", "notes/log.txt")


def _table(client: MlflowClient, run_id: str) -> None:
    client.log_table(run_id, pd.DataFrame({"text": ["fine", f"it is {KEY}"]}), "t.parquet")


def _trace(client: MlflowClient, run_id: str) -> None:
    span = mlflow.start_span_no_context(
        "s", inputs=KEY, experiment_id=client.get_run(run_id).info.experiment_id
    )
    span.end()


def _logged_model(client: MlflowClient, run_id: str) -> None:
    place = client.get_run(run_id).info.experiment_id
    client.create_logged_model(place, params={"system": KEY})


def _version(client: MlflowClient, run_id: str) -> None:
    client.create_registered_model(f"m-{run_id}")
    client.create_model_version(f"m-{run_id}", "source", description=f"by {KEY}")


PLANTS: dict[str, Plant] = {
    "params system": lambda client, run: client.log_param(run, "system", f"say {KEY}"),
    "tags note": lambda client, run: client.set_tag(run, "note", KEY),
    "file notes/log.txt": _artifact,
    "file t.parquet": _table,
    "trace tr-": _trace,
    "logged model m-": _logged_model,
    "model version m-": _version,
}


@pytest.mark.parametrize("place", PLANTS)
def test_a_secret_is_found_where_it_lies_and_not_told(
    place: str, own_store: MlflowClient, scanned: Callable[..., Result]
) -> None:
    run_id = own_store.create_run("0").info.run_id
    PLANTS[place](own_store, run_id)
    done = scanned()
    (line,) = (one for one in done.output.splitlines() if "GEMINI_API_KEY" in one)
    assert place in line
    assert KEY not in done.output
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == "verdict: fail"


def test_an_evaluation_leaves_no_secret(copy_run: CopyRun, scanned: Callable[..., Result]) -> None:
    copy_run("good")
    done = scanned()
    assert done.exit_code == 0, done.output
    assert "Secrets found: 0." in done.output


def test_a_folder_of_ones_own_is_searched_too(
    own_store: MlflowClient, scanned: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "server.log").write_text(f"Authorization: {KEY}")
    assert "file server.log: the value of GEMINI_API_KEY" in scanned(path=tmp_path / "logs").output
    assert "there is no" in scanned(path=tmp_path / "absent").output


def test_the_journal_is_searched(
    own_store: MlflowClient, scanned: Callable[..., Result], tmp_path: Path
) -> None:
    journal = tmp_path / ".llmflowlab" / "journal.sqlite"
    journal.parent.mkdir()
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("CREATE TABLE answers (record TEXT)")
        db.execute("INSERT INTO answers VALUES (?)", ["…" * 9000 + KEY])
    assert "journal.sqlite: the value of GEMINI_API_KEY" in scanned().output


@pytest.mark.parametrize("form", [KEY, base64.b64encode(KEY.encode()).decode(), GOOGLE])
@pytest.mark.parametrize("kind", ["plain", "gzip", "zip"])
def test_files_are_searched_whatever_form_they_have(
    kind: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    path = tmp_path / "file"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.txt", f"x {form} y")
    else:
        pack = gzip.compress if kind == "gzip" else bytes
        path.write_bytes(pack(f"x {form} y".encode()))
    assert len(Secrets().within(path)) == 1


@pytest.mark.parametrize(
    "text",
    [
        GOOGLE,
        "sk-proj-abcdefghijklmnopqrstuv",
        "ghp_" + "a1" * 18,
        "Authorization: Bearer abcdefghijklmnopqrstuvwxyz",
        "postgresql://lab:hunter22@db.example:5432/mlflow",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_keys_are_known_by_their_shape(text: str) -> None:
    assert len(Secrets().within(f"before {text} after")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "A bearer token is sent in the Authorization header.",
        "https://example.com:8080/path@2",
        "task-based risk-assessment of disk-resident tables",
        "Set GEMINI_API_KEY=AIza... in the environment",
    ],
)
def test_talk_about_keys_is_no_key(text: str) -> None:
    assert Secrets().within(text) == set()
