"""Measure `mlflow models serve`, or our `serve`, under load, as a Markdown table: see README.md.

python -m benchmarks.serve [--clients 1,64] [--seconds 10] [--front serve] [--workers 2]
python -m benchmarks.serve --soak 10     # minutes, with faults and clients that hang up
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from benchmarks.lab import ROOT, Lab, lab, serving

LATENCY_S = 0.2
ALIAS = "models:/llm_ollama_chat@staging"
LOG = f"""
from pathlib import Path
import mlflow
from mlflow import MlflowClient
from steps.core.answering.candidates import resolve_all
from steps.core.config import load
from steps.core.logged_models import ensure_logged
(ready,), _ = resolve_all(load(Path("config.yaml")), "all")
client = MlflowClient()
model, _ = ensure_logged(client, ready, "0")
made = mlflow.register_model(f"models:/{{model}}", "{ALIAS[8:-8]}")
client.set_registered_model_alias(made.name, "staging", made.version)
"""
OTHERS = """
| others, 64 clients | answers/s | of the ideal 320 |
|---|---|---|
| MLflow's own server | 29 | 9 % |
| MLflow's own server, two workers | 54 | 17 % |
| LiteLLM proxy | 53–111 | 17–35 % |
| a bare asynchronous pass-through | 296 | 92 % |
"""
CHAT = {"model": ALIAS[8:-8], "messages": [{"role": "user", "content": "PROMPT"}]}
PATHS = {  # what each front is asked: its options for load_client
    "stock": (),
    "serve": ("--path", "/v1/chat/completions", "--body", json.dumps(CHAT)),
}
SOAK_CLIENTS, FAULTS, HANG_UP = 16, 0.1, 0.02


@click.command()
@click.option("--clients", default="1,8,16,64,128", show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of each line.")
@click.option("--front", type=click.Choice(list(PATHS)), default="stock", show_default=True)
@click.option("--workers", default=1, show_default=True, help="Processes; of --front serve.")
@click.option("--soak", default=0, metavar="MINUTES", help="Faults and hang-ups instead.")
def main(clients: str, seconds: float, front: str, workers: int, soak: int) -> None:
    """Measure a served model against a loopback Ollama that answers after 200 ms."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # leave nothing behind
    load = os.getloadavg()[0]
    click.echo(
        f"Python {platform.python_version()}, MLflow {version('mlflow')}, {os.cpu_count()} CPUs,"
        f" load average {load:.2f}; Ollama answers after {LATENCY_S * 1000:.0f} ms.\n"
    )
    with served(FAULTS if soak else 0, front, workers) as (port, process):
        if soak:
            measure_soak(port, process, soak, PATHS[front])
        else:
            asked = [int(number) for number in clients.split(",")]
            measure_load(port, asked, seconds, PATHS[front])


@contextmanager
def served(faults: float, front: str, workers: int) -> Iterator[tuple[int, int]]:
    """The port and the process of a model that is being served, by MLflow's command or by ours."""
    with serving(LATENCY_S, faults) as ollama, lab(1) as place:
        place.run_code(LOG, OLLAMA_HOST=ollama.url)
        variables = place.environment(MLFLOW_TRACKING_URI=place.store, OLLAMA_HOST=ollama.url)
        variables |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"}
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        if front == "serve":
            command = [sys.executable, "-m", "steps.serve", "--model", ALIAS, "--port", str(port)]
            command += ["--workers", str(workers)]
        else:
            command = ["mlflow", "models", "serve", "-m", ALIAS, "--env-manager", "local"]
            command += ["-p", str(port)]
            del variables["PYTHONPATH"]  # what is served is what was packed
        with _started(place, variables, command, port) as process:
            own = front == "serve"
            yield port, process if own else _child(process)


def _child(process: int) -> int:
    told = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, check=True)
    return int(told.stdout)


@contextmanager
def _started(place: Lab, variables: dict[str, str], command: list[str], port: int) -> Iterator[int]:
    with (place.folder / "serve.txt").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=place.folder,
            env=variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_up(port, process, place.folder / "serve.txt")
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_until_up(port: int, process: "subprocess.Popen[Any]", log: Path) -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise click.ClickException(f"the server has ended:\n{log.read_text()}")


def measure_load(port: int, clients: list[int], seconds: float, options: tuple[str, ...]) -> None:
    """One line for each number of clients. Raises ClickException for any answer that is not one."""
    click.echo("| clients | answers/s | of the ideal | median overhead (ms) | p99 overhead (ms) |")
    click.echo("|---|---|---|---|---|")
    for number in clients:
        found = ask(port, number, seconds, *options)
        if found["outcomes"].keys() != {"200"}:
            raise click.ClickException(f"not every request was answered: {found['outcomes']}")
        over = [f"{found[name] - LATENCY_S * 1000:.1f}" for name in ("median_ms", "p99_ms")]
        share = found["per_second"] * LATENCY_S / number
        click.echo(f"| {number} | {found['per_second']:.0f} | {share:.0%} | {' | '.join(over)} |")
    click.echo(OTHERS)


def measure_soak(port: int, process: int, minutes: int, options: tuple[str, ...]) -> None:
    """One line for each minute. Raises ClickException when an answer is lost or another's."""
    click.echo(f"{SOAK_CLIENTS} clients; {FAULTS:.0%} faults; {HANG_UP:.0%} hang up.\n")
    click.echo("| minute | asked | answered | told a fault | hung up | lost | memory (MiB) |")
    click.echo("|---|---|---|---|---|---|---|")
    click.echo(f"| 0 | | | | | | {_memory(process):.1f} |")
    for minute in range(1, minutes + 1):
        found = ask(port, SOAK_CLIENTS, 60, "--hang-up", str(HANG_UP), *options)
        outcomes = found["outcomes"]
        known = [outcomes.pop("200"), outcomes.pop("hung up", 0)]
        told = sum(outcomes[status] for status in list(outcomes) if status.isdigit())
        lost = found["asked"] - sum(known) - told
        click.echo(
            f"| {minute} | {found['asked']} | {known[0]} | {told} | {known[1]} | {lost} |"
            f" {_memory(process):.1f} |"
        )
        if lost:
            raise click.ClickException(f"lost or wrong: {outcomes}")


def _memory(process: int) -> float:
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, check=True)
    return int(told.stdout) / 1024


def ask(port: int, clients: int, seconds: float, *options: str) -> dict[str, Any]:
    """What benchmarks.load_client found, in a process of its own."""
    given = {"--port": port, "--clients": clients, "--seconds": seconds}
    pairs = [str(part) for pair in given.items() for part in pair]
    command = [sys.executable, "-m", "benchmarks.load_client", *pairs, *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
