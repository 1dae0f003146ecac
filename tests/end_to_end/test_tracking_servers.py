"""The main job against tracking servers of a team: PostgreSQL below, user and password before."""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from werkzeug.security import generate_password_hash

from tests.end_to_end.conftest import lab_in, ollama_that_knows
from tests.end_to_end.lab import Lab, free_port
from tests.servers.gemini import GeminiServer
from tests.servers.ollama import OllamaServer
from tests.servers.postgresql import postgresql, programs

PASSWORD = secrets.token_urlsafe(12)
ACCOUNT = {"MLFLOW_TRACKING_USERNAME": "lab", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
NEEDS_POSTGRESQL = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaServer]:
    with ollama_that_knows() as server:
        yield server


@contextmanager
def tracking_server(folder: Path, store: str, *options: str) -> Iterator[str]:
    """`mlflow server` in a folder of its own; gives its address."""
    port = free_port()
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = lab\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    variables = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": PASSWORD,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = ["mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with Lab(folder, variables).running([*command, *options], f"{address}/health", folder):
        yield address


def passes_the_whole_job(lab: Lab, models: str, limit: str) -> None:
    given = {"models": models, "limit": limit}
    done = lab.mlflow_run("main", **given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "models:/llm_ollama_chat@staging is version" in done.stdout
    again = lab.step("register", *(part for k, v in given.items() for part in (f"--{k}", v)))
    assert again.stdout.count("already registered") == len(models.split(","))
    scanned = lab.step("scan")
    assert scanned.stdout.splitlines()[-1] == "verdict: pass", scanned.stdout


def hash_quickly(users: Path) -> None:
    """As MLflow hashes it, the password takes a tenth of a second at each of many requests."""
    quick = generate_password_hash(PASSWORD, "pbkdf2:sha256:1")
    with closing(sqlite3.connect(users)) as opened, opened:
        assert opened.execute("UPDATE users SET password_hash = ?", [quick]).rowcount == 1


def test_a_password_is_asked_for_and_whoever_has_it_passes_the_whole_job(
    tmp_path: Path, ollama: OllamaServer, gemini: GeminiServer
) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    with tracking_server(tmp_path, store, "--app-name", "basic-auth") as address:
        stranger = lab_in(tmp_path, ollama, gemini, MLFLOW_TRACKING_URI=address)
        refused = stranger.step("evaluate", "--limit", "1", "--models", "baseline")
        assert refused.returncode == 1
        assert "401" in refused.stderr or "authenticated" in refused.stderr
        known = lab_in(tmp_path, ollama, gemini, MLFLOW_TRACKING_URI=address, **ACCOUNT)
        hash_quickly(tmp_path / "auth.db")
        passes_the_whole_job(known, "llama-good", "2")


@NEEDS_POSTGRESQL
def test_the_whole_job_passes_on_postgresql(
    tmp_path: Path, ollama: OllamaServer, gemini: GeminiServer
) -> None:
    with postgresql(free_port()) as store, tracking_server(tmp_path, store) as address:
        lab = lab_in(tmp_path, ollama, gemini, MLFLOW_TRACKING_URI=address)
        passes_the_whole_job(lab, "gemini,llama-good,llama-poor,baseline", "6")
