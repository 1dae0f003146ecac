"""Who had an alias, when and why: the ledger that the registry holds."""

import json
from pathlib import Path

import click

from steps.core.cli import step
from steps.core.config import choose, load


def history(config: str, models: str, *, name: str, alias: str, shape: str) -> str:
    """The ledger as text or as JSON; nothing is written anywhere."""
    chosen = choose(load(Path(config)), models)

    from steps.core import tracking
    from steps.core.releases import tenures

    found = tenures.ledgers(tracking.connect(), chosen, name, alias)
    if shape == "json":
        return json.dumps([tenures.plain(one) for one in found], ensure_ascii=False, indent=1)
    return "\n\n".join(map(tenures.text, found)) or "No alias was ever moved."


@step
@click.option("--name", default="", help="A registered model; default: the candidates' own.")
@click.option("--alias", default="", help="staging or production; default: both.")
@click.option("--format", "shape", type=click.Choice(["text", "json"]), default="text")
def main(config: str, data: str, models: str, limit: str, **options: str) -> None:
    """Tell who had staging and production, from when until when, and why."""
    click.echo(history(config, models, **options))


if __name__ == "__main__":
    main()
