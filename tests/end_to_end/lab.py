"""A laboratory in a temporary folder: real `mlflow` commands and a real SQLite store."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_models.errors import SECRET_VARIABLES

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Lab:
    """One folder with a store, a journal and a config of its own."""

    folder: Path
    variables: Mapping[str, str]

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in (*SECRET_VARIABLES, "OLLAMA_HOST")}
        path = f"{BIN}{os.pathsep}{kept['PATH']}"
        return kept | QUIET | {"MLFLOW_TRACKING_URI": self.store, "PATH": path} | self.variables

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, output captured; the exit code is the caller's to check."""
        given = {"cwd": self.folder, "env": self.environment(), "timeout": 300} | options
        quiet: dict[str, Any] = {"capture_output": True, "stdin": subprocess.DEVNULL}
        return subprocess.run(command, text=True, check=False, **quiet, **given)

    def mlflow_run(self, entry_point: str, **parameters: str) -> subprocess.CompletedProcess[str]:
        """`mlflow run` of the project, with this folder's config unless another is named."""
        given = {"config": str(self.folder / "config.yaml")} | parameters
        pairs = [part for k, v in given.items() for part in ("-P", f"{k}={v}")]
        command = ["mlflow", "run", str(ROOT), "-e", entry_point, "--env-manager", "local"]
        return self.run(*command, *pairs)

    def step(self, name: str, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """A step without `mlflow run` around it: its own exit code, and seconds less."""
        config = () if "--config" in options else ("--config", str(self.folder / "config.yaml"))
        command = [sys.executable, "-m", f"steps.{name}", *config, *options]
        # Not in the project's folder: a new store keeps its artifacts where it was made.
        own = self.environment() | {"PYTHONPATH": str(ROOT)}
        return self.run(*command, **{"env": own} | settings)

    @contextmanager
    def serving(self, model: str, *options: str, **more: str) -> Iterator[str]:
        """`mlflow models serve` from an empty folder; gives the address once it answers."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        port = free_port()
        command = ["mlflow", "models", "serve", "-m", model, "-p", str(port), *options]
        address = f"http://127.0.0.1:{port}"
        with self.running(command, f"{address}/ping", cwd=elsewhere, **more):
            yield address

    @contextmanager
    def ui(self) -> Iterator[str]:
        """MLflow's own UI over this folder's store; gives its address once it answers."""
        port = free_port()
        command = ["mlflow", "ui", "--workers", "1", "-p", str(port)]
        address = f"http://127.0.0.1:{port}"
        alone = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with self.running(command, f"{address}/health", cwd=self.folder, **alone):
            yield address

    @contextmanager
    def running(self, command: list[str], health: str, cwd: Path, **more: str) -> Iterator[None]:
        """A server as a process of its own, from when `health` answers until the block ends."""
        log = self.folder / f"{command[1].strip('-')}.log"
        with log.open("a") as out:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=self.environment() | more,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
            try:
                wait_until_up(health, process, log)
                yield
            finally:
                end(process)


def end(process: "subprocess.Popen[Any]") -> None:
    """End a server and what it has started; what does not heed SIGTERM is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(30)
            return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(
    url: str, process: "subprocess.Popen[Any]", log: Path, seconds: int = 180
) -> None:
    """Poll until the server answers. Raises with its log when it ends or takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not come up:\n{log.read_text()}")


def until(reached: Callable[[], bool], seconds: int = 30) -> bool:
    """Whether it is reached in time; asked again and again, since a server answers for it."""
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            return False
    return True


def post(url: str, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    """(HTTP status, body) of a POST; the body is parsed where it is JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else text
