"""One measured run of `python -m steps.evaluate` in a folder of its own, and what it must leave."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_models.errors import SECRET_VARIABLES

ROOT = Path(__file__).parents[1]
CONCURRENCY = 16
SCORERS = ("contains_facts", "exact_match", "token_f1", "rouge_l", "language_match")
CONFIG = f"""
defaults:
  system: Answer in the language of the question, in as few words as the answer needs.
  temperature: 0.2
  max_tokens: 512
  seed: 7
  concurrency: {CONCURRENCY}
candidates:
  - {{name: bench, provider: ollama, model: bench, registered_name: llm_ollama_chat}}
scorers: [{", ".join(SCORERS)}]
"""
CREATE_STORE = "from mlflow import MlflowClient; MlflowClient().search_experiments()"
COUNTS = {  # MLflow's own tables: this process must stay smaller than the one it measures
    "traces": "SELECT count(*) FROM trace_info",
    "traces with spans": "SELECT count(DISTINCT trace_id) FROM spans",
    "feedback": "SELECT count(*) FROM assessments WHERE assessment_type = 'feedback'",
}
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # every process would compile every module it imports
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in one unit of ru_maxrss


@dataclass(frozen=True)
class Server:
    """A running benchmarks.ollama_server."""

    url: str

    def calls(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/calls", timeout=10) as reply:
            return dict(json.loads(reply.read()))


@dataclass(frozen=True)
class Measured:
    """One process from start to exit."""

    wall_s: float
    cpu_s: float  # user and system
    peak_mib: float  # resident memory
    first_call_s: float | None  # from its start to the first call the server saw; None: no call
    server_ms: float | None  # CPU of the server for one call


@dataclass(frozen=True)
class Lab:
    """A folder with a config, a dataset and, once used, a store and a journal."""

    folder: Path
    rows: int

    def environment(self, **more: str) -> dict[str, str]:
        """The caller's own, without what would change the run: its store, servers and keys."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OLLAMA_"))}
        kept = {k: v for k, v in kept.items() if k not in (*SECRET_VARIABLES, NO_BYTECODE)}
        return kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)} | more

    def create_store(self) -> None:
        """An empty store of the installed MLflow, at the place where a step looks for it."""
        self.run_code(CREATE_STORE)

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def run_code(self, code: str, **more: str) -> float:
        """Run Python code in this folder; return the CPU seconds it took."""
        variables = self.environment(MLFLOW_TRACKING_URI=self.store, **more)
        usage = self._run([sys.executable, "-c", code], variables)
        return float(usage.ru_utime + usage.ru_stime)

    def evaluate(self, server: Server, options: list[str], traced: int, asked: int) -> Measured:
        """Run the step, then check that rows, calls, tables and traces are all there.

        `traced` and `asked` are the traces and calls there must be.
        """
        before, held, tables = server.calls(), self._counts(), self._tables()
        files = ["--config", "config.yaml", "--data", "questions.jsonl"]
        command = [sys.executable, "-m", "steps.evaluate", *files, *options]
        started_at, start = time.time(), time.perf_counter()
        usage = self._run(command, self.environment(OLLAMA_HOST=server.url))
        wall_s = time.perf_counter() - start
        after = server.calls()
        found = {name: n - held[name] for name, n in self._counts().items()}
        found |= {"calls": after["chats"] - before["chats"]}
        found |= {"rows answered right": _right_answers(*(self._tables() - tables))}
        wanted = {"traces": traced, "traces with spans": traced, "feedback": traced * len(SCORERS)}
        wanted |= {"calls": asked, "rows answered right": self.rows}
        if found != wanted:
            raise click.ClickException(f"found {found}, expected {wanted}")
        return Measured(
            wall_s,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * RSS_UNIT / 2**20,
            after["first_chat_at"] - started_at if asked else None,
            (after["cpu_s"] - before["cpu_s"]) / asked * 1000 if asked else None,
        )

    def _run(self, command: list[str], variables: dict[str, str]) -> Any:
        """The resources a command used. Raises ClickException with its output when it failed."""
        log = self.folder / "output.txt"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=variables, stdout=output, stderr=output
            )
        with _killed_on_error(process):
            _, status, usage = os.wait4(process.pid, 0)  # subprocess itself tells no usage
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise click.ClickException(f"{' '.join(command)} failed:\n{log.read_text()}")
        return usage

    def _counts(self) -> dict[str, int]:
        store = self.folder / "mlflow.db"
        if not store.exists():
            return dict.fromkeys(COUNTS, 0)
        with closing(sqlite3.connect(store)) as db:
            return {name: db.execute(query).fetchone()[0] for name, query in COUNTS.items()}

    def _tables(self) -> set[Path]:
        return set((self.folder / "mlruns").rglob("predictions.parquet"))


@contextmanager
def lab(rows: int) -> Iterator[Lab]:
    """A new folder with a config and `rows` questions."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name).resolve()
        (folder / "config.yaml").write_text(CONFIG, "utf-8")
        lines = (json.dumps(_row(number)) for number in range(rows))
        (folder / "questions.jsonl").write_text("\n".join(lines), "utf-8")
        yield Lab(folder, rows)


@contextmanager
def serving(latency_s: float, faults: float = 0.0) -> Iterator[Server]:
    """A server of its own process, ready to be asked."""
    options = ["--latency-s", str(latency_s), "--faults", str(faults)]
    command = [sys.executable, "-m", "benchmarks.ollama_server", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout
            yield Server(process.stdout.readline().strip())  # printed once it listens
        finally:
            process.terminate()


@contextmanager
def _killed_on_error(process: "subprocess.Popen[Any]") -> Iterator[None]:
    try:
        yield
    except BaseException:
        process.kill()
        process.wait()
        raise


def _row(number: int) -> dict[str, Any]:
    prompt = f"Row {number}: which town stands by the river, and in which year was it founded?"
    expected = f"The town of row {number} was founded in the year after the great flood."
    facts = [f"row {number}", "great flood"]
    return {
        "id": f"row-{number:05d}",
        "inputs": {"prompt": prompt},
        "expectations": {
            "expected_response": expected,
            "expected_facts": facts,
            "expected_language": "en",
        },
    }


def _right_answers(table: Path) -> int:
    """Rows that hold the answer to their own question."""
    columns = pq.read_table(table, columns=["status", "contains_facts"])
    ok = pc.equal(columns["status"], "ok")
    return int(pc.sum(pc.and_(ok, pc.equal(columns["contains_facts"], 1.0))).as_py() or 0)
