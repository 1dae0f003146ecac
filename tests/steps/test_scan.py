"""A key that got into the store is found wherever it lies, and is not told."""

import base64
import gzip
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from click.testing import Result
from mlflow import MlflowClient

from steps.core.secret_search import Secrets
from steps.evaluate import main as evaluate
from steps.scan import main as scan
from tests.steps.conftest import baseline, config_in, invoke

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


def _span(client: MlflowClient, run_id: str) -> None:
    place = client.get_run(run_id).info.experiment_id
    mlflow.start_span_no_context("s", attributes={"header": KEY}, experiment_id=place).end()


def _feedback(client: MlflowClient, run_id: str) -> None:
    place = client.get_run(run_id).info.experiment_id
    span = mlflow.start_span_no_context("s", experiment_id=place)
    span.end()
    mlflow.flush_trace_async_logging()
    mlflow.log_feedback(trace_id=span.trace_id, name="f", value=1, rationale=f"as {KEY} says")


def _dataset_input(client: MlflowClient, run_id: str) -> None:
    source = f"https://host/rows.csv?key={KEY}"
    dataset = mlflow.data.from_pandas(pd.DataFrame({"a": ["b"]}), source=source)  # type: ignore[attr-defined]
    with mlflow.start_run(run_id=run_id):
        mlflow.log_input(dataset)


def _dataset(client: MlflowClient, run_id: str) -> None:
    place = client.get_run(run_id).info.experiment_id
    dataset = client.create_dataset(f"d-{run_id}", experiment_id=[place])
    dataset.merge_records([{"inputs": {"prompt": KEY}}])


def _model_file(client: MlflowClient, run_id: str) -> None:
    place = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(place)
    folder = Path(model.artifact_location.removeprefix("file://"))
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "code.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.py", f"key = {KEY!r}")


def _logged_model(client: MlflowClient, run_id: str) -> None:
    place = client.get_run(run_id).info.experiment_id
    client.create_logged_model(place, params={"system": KEY})


def _version(client: MlflowClient, run_id: str) -> None:
    client.create_registered_model(f"m-{run_id}")
    client.create_model_version(f"m-{run_id}", "source", description=f"by {KEY}")


def _registered(client: MlflowClient, run_id: str) -> None:
    client.create_registered_model(f"m-{run_id}", tags={"note": KEY})


def _described(client: MlflowClient, run_id: str) -> None:
    client.create_registered_model(f"m-{run_id}", description=f"by {KEY}")


def _prompt(client: MlflowClient, run_id: str) -> None:
    client.register_prompt(f"p-{run_id}", f"Say {KEY}.")


PLANTS: list[tuple[str, Plant]] = [
    ("params system", lambda client, run: client.log_param(run, "system", f"say {KEY}")),
    ("tags note", lambda client, run: client.set_tag(run, "note", KEY)),
    ("tags [secret]", lambda client, run: client.set_tag(run, KEY, "a name")),
    ("inputs", _dataset_input),
    ("file notes/log.txt", _artifact),
    ("file [secret].txt", lambda client, run: client.log_text(run, "a name", f"{GOOGLE}.txt")),
    ("file t.parquet", _table),
    ("trace tr-", _trace),
    ("trace tr-", _span),
    ("trace tr-", _feedback),
    ("dataset d-", _dataset),
    ("logged model m-", _logged_model),
    ("file code.zip", _model_file),
    ("registered model m-", _registered),
    ("registered model m-", _described),
    ("model version m-", _version),
    ("prompt version p-", _prompt),
]


@pytest.mark.parametrize(("place", "plant"), PLANTS)
def test_a_secret_is_found_where_it_lies_and_not_told(
    place: str, plant: Plant, own_store: MlflowClient, scanned: Callable[..., Result]
) -> None:
    plant(own_store, own_store.create_run("0").info.run_id)
    done = scanned()
    (line, *_) = done.output.splitlines()
    assert place in line
    assert line.endswith(("the value of GEMINI_API_KEY", "a Google API key"))
    assert "Secrets found: 1." in done.output
    assert not (KEY in done.output or GOOGLE in done.output)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == "verdict: fail"


def test_an_evaluation_leaves_no_secret(
    own_store: MlflowClient,
    scanned: Callable[..., Result],
    questions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = own_store.create_experiment("e", (tmp_path / "artifacts").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", place)
    evaluated = invoke(evaluate, config_in(tmp_path, baseline("good", tmp_path)), data=questions)
    assert evaluated.exit_code == 0, evaluated.output
    done = scanned()
    assert "2 of traces" in done.output
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


def _zipped(content: bytes) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inside", content)
    return archive.getvalue()


@pytest.mark.parametrize("form", [KEY, base64.b64encode(KEY.encode()).decode(), GOOGLE])
@pytest.mark.parametrize("kind", ["plain", "gzip", "zip", "zip in zip"])
def test_files_are_searched_whatever_form_they_have(
    kind: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    path = tmp_path / "file"
    if kind.startswith("zip"):
        path.write_bytes(_zipped(f"x {form} y".encode()))
    if kind == "zip in zip":
        path.write_bytes(_zipped(path.read_bytes()))
    elif kind != "zip":
        pack = gzip.compress if kind == "gzip" else bytes
        path.write_bytes(pack(f"x {form} y".encode()))
    assert len(Secrets().within(path)) == 1


@pytest.mark.parametrize("start", [b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"SQLite format 3\0"])
def test_a_file_that_is_not_what_it_begins_as_is_searched_as_it_is(
    start: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(start + b" cut off " + GOOGLE.encode())
    assert Secrets().within(tmp_path / "file") == {"a Google API key"}


@pytest.mark.parametrize(
    "text",
    [
        GOOGLE,
        "AQ.Ab8RN6" + "x-" * 20,
        "sk-proj-abcdefghijklm0123456789",
        "ghp_" + "a1" * 18,
        "Authorization: Bearer abcdefghijklmnopqrstuvwxyz0",
        "postgresql://lab:hunter22@db.example:5432/mlflow",
        "https://lab:my-passphrase-1@mlflow.example",
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
        "postgresql://user:password@localhost:5432/mlflow, or http://you:<password>@host",
        "postgresql://mlflow:${DB_PASSWORD}@db/mlflow",
        "Bearer authentication/authorization with sk-learn-compatible-estimators",
        "task-based risk-assessment of disk-resident tables",
        "Set GEMINI_API_KEY=AIza... in the environment",
    ],
)
def test_talk_about_keys_is_no_key(text: str) -> None:
    assert Secrets().within(text) == set()
