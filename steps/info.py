"""What is known of each registered model: versions, evidence, moves, and its last answers."""

from pathlib import Path

import click

from llm_models.errors import InputError
from steps.core.cli import row_limit, step
from steps.core.config import load
from steps.core.dataset import load as load_dataset


def info(config: str, data: str, models: str, limit: str, output: str) -> list[Path]:
    """Print and write `<output>/<model>.json` of each registered model; return the files.

    `models` may name candidates and registered models.
    """
    rows = row_limit(limit)
    if data:
        load_dataset(data, rows)  # not needed here, but a wrong name is told here
    settings = load(Path(config))

    from steps.core import tracking
    from steps.core.model_info import about, chosen_names, registered, write
    from steps.core.model_info_text import show

    client = tracking.connect()
    written = []
    for name in chosen_names(client, settings, models):
        model = registered(client, name)
        if model is None:
            click.echo(f"{name}: not registered yet")
            continue
        known = about(client, model, settings.min_coverage)
        show(known, settings.rank_by)
        written.append(write(known, Path(output)))
        click.echo(f"all of it: {written[-1]}\n")
    if not written:
        raise InputError("nothing is registered: run `mlflow run . -e register` first")
    return written


@step
@click.option("--output", default="info_by_model", show_default=True, help="The folder to write.")
def main(config: str, data: str, models: str, limit: str, output: str) -> None:
    """Show what is known of each registered model, and write it as JSON."""
    info(config, data, models, limit, output)


if __name__ == "__main__":
    main()
