"""A packed model behind OpenAI's chat format, beside MLflow's own /invocations."""

import os
import sys
from ipaddress import ip_address
from pathlib import Path

import click

from llm_models.errors import InputError
from steps.core.cli import row_limit, step, whole_number
from steps.core.config import choose, load
from steps.core.dataset import load as load_dataset
from steps.core.environment import SERVE_TOKEN

WORKER = Path(__file__).parent / "core" / "serving" / "worker.py"
SHORTEST_TOKEN = 16  # characters
ADDRESSES = ("models:/", "runs:/")
LAST_PORT = 65535


def serve(model: str, host: str, port: str, workers: str) -> None:
    """Become the server, which ends at a SIGTERM or a Ctrl-C. Raises InputError."""
    number = whole_number("port", port)
    if number is None or number > LAST_PORT:
        raise InputError(f"port: '{port}' is none; give one from 1 to {LAST_PORT}")
    _check_token(host)
    where = ["--host", host, "--port", str(number)]
    several = ["--workers", str(whole_number("workers", workers) or 1)]
    # -P: beside the script no package is found, so `llm_models` is the packed one.
    os.execv(sys.executable, [sys.executable, "-P", str(WORKER), model, *where, *several])  # noqa: S606


def _check_token(host: str) -> None:
    token = os.environ.get(SERVE_TOKEN, "").strip()
    if token and (len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable())):
        raise InputError(f"{SERVE_TOKEN} must have {SHORTEST_TOKEN} printable characters or more")
    if not token and not _is_loopback(host):
        click.echo(
            f"Careful: whoever reaches {host} may ask, and you pay. Set {SERVE_TOKEN}.", err=True
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(model: str, config: str, models: str) -> str:
    """The address. Raises InputError that names those there could be."""
    if model.startswith(ADDRESSES):
        return model
    names = {candidate.registered_name for candidate in choose(load(Path(config)), models)}
    known = ", ".join(f"models:/{name}@staging" for name in sorted(names))
    raise InputError(f"model: give what to serve, such as {known}; models:/ or runs:/ come first")


@step
@click.option("--model", default="", help="models:/NAME@ALIAS, models:/NAME/3, runs:/… ")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default="5001", show_default=True)
@click.option("--workers", default="1", show_default=True, help="How many processes serve.")
def main(
    *,
    config: str,
    data: str,
    models: str,
    limit: str,
    model: str,
    host: str,
    port: str,
    workers: str,
) -> None:
    """Serve a model: /v1/chat/completions, /v1/models, /invocations, /ready, /metrics."""
    rows = row_limit(limit)
    if data:
        load_dataset(data, rows)  # not needed here, but a wrong name is told here
    serve(_checked(model, config, models), host, port, workers)


if __name__ == "__main__":
    main()
