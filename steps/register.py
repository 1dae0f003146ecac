"""Put evaluated candidates into the model registry, one version for each piece of evidence."""

from pathlib import Path

import click

from steps.core.cli import QUESTIONS, row_limit, step
from steps.core.config import choose, load
from steps.core.dataset import load as load_dataset


def register(config: str, data: str, models: str, limit: str) -> list[tuple[str, int]]:
    """Register the latest evaluation of each chosen candidate; return (name, version)s."""
    dataset = load_dataset(data or QUESTIONS, row_limit(limit))
    settings = load(Path(config))
    names = [candidate.name for candidate in choose(settings, models)]

    from steps.core import tracking
    from steps.core.registry import require_evidence
    from steps.core.releases.versions import ensure_registered

    client = tracking.connect()
    made = []
    with tracking.step_run("register", {"data": dataset.name, "models": models}) as run:
        where, floor = (client, run.info.experiment_id), settings.min_coverage
        for one in require_evidence(*where, dataset, names, models, min_coverage=floor):
            version, new = ensure_registered(client, one)
            made.append((version.name, int(version.version)))
            what = "registered" if new else "already registered"
            click.echo(f"{one.candidate}: {what} as {version.name} version {version.version}")
    return made


@step
def main(config: str, data: str, models: str, limit: str) -> None:
    """Register the evaluated candidates."""
    register(config, data, models, limit)


if __name__ == "__main__":
    main()
