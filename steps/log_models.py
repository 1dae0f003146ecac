"""Log every chosen candidate as an MLflow model, once for each fingerprint."""

from pathlib import Path

import click

from steps.core.cli import row_limit, step
from steps.core.config import load
from steps.core.dataset import load as load_dataset
from steps.core.pipeline import tell_skipped


def log_models(config: str, data: str, models: str, limit: str) -> dict[str, str]:
    """Log the candidates; return their logged models' ids by candidate name."""
    rows = row_limit(limit)
    if data:
        load_dataset(data, rows)  # not needed here, but a wrong name is told here
    ready = tell_skipped(load(Path(config)), models)

    from steps.core import tracking
    from steps.core.logged_models import ensure_logged

    client = tracking.connect()
    logged: dict[str, str] = {}
    with tracking.step_run("log_models", {"models": models}) as run:
        for one in ready:
            model_id, new = ensure_logged(client, one, run.info.experiment_id)
            logged[one.candidate.name] = model_id
            what = "logged" if new else "already logged"
            click.echo(f"{one.candidate.name}: {what} as models:/{model_id}")
    return logged


@step
def main(config: str, data: str, models: str, limit: str) -> None:
    """Log the chosen candidates as MLflow models."""
    log_models(config, data, models, limit)


if __name__ == "__main__":
    main()
