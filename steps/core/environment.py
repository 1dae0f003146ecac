"""Variables of the environment: MLflow's, set before it is imported (a user's win), and our own."""

import gc
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

SERVE_TOKEN = "LLMFLOWLAB_SERVE_TOKEN"  # noqa: S105, the name of the variable that holds it
DEFAULTS = {
    "MLFLOW_MODEL_CATALOG_URI": "",  # no look-up of prices on the network
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # half a minute for a server; 7 are four, in silence
    "MLFLOW_GENAI_EVAL_MAX_WORKERS": "10",  # more deadlock on SQLite and lose rows
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "100",
    "MLFLOW_GENAI_EVAL_PREDICT_RATE_LIMIT": "0",
    "MLFLOW_GATEWAY_ROUTE_TIMEOUT_SECONDS": "60",  # of one judge call, in seconds
    "MLFLOW_GENAI_EVAL_MAX_RETRIES": "1",  # a dead judge costs seconds, not minutes
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",  # its queue drops traces
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}


def prepare(root: Path | None = None) -> None:
    """Set the defaults; without a tracking URI, use `mlflow.db` in `root` (default: here)."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    # Importing MLflow makes a million objects that all stay; looking for garbage among them costs
    # half a second. `tracking.connect` turns the search on again.
    gc.disable()
    database = (root or Path.cwd()).resolve() / "mlflow.db"
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    _take_the_account_out()


def _take_the_account_out() -> None:
    """MLflow prints the address of its server: user and password move to variables of their own."""
    parts = urlsplit(os.environ["MLFLOW_TRACKING_URI"])
    account, at, host = parts.netloc.rpartition("@")
    if at and parts.scheme in ("http", "https"):
        user, _, password = account.partition(":")
        os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(user))
        os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(password))
        os.environ["MLFLOW_TRACKING_URI"] = parts._replace(netloc=host).geturl()
