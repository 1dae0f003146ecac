"""Give an alias back to the version that had it before, and write down who and why."""

import json
from pathlib import Path

import click

from llm_models.errors import InputError
from steps.core.cli import step, whole_number
from steps.core.config import choose, load
from steps.core.releases.order import one_line


def rollback(
    config: str, models: str, *, alias: str, name: str = "", version: str = "", reason: str = ""
) -> None:
    """One step back at a time, never forward; or back to `version`. Raises InputError."""
    chosen = choose(load(Path(config)), models)
    number, told = whole_number("version", version), one_line("reason", reason)
    if not told:
        raise InputError("reason: tell why, for the ledger")
    if not alias:
        raise InputError("alias: tell which, staging or production")

    from steps.core import tracking
    from steps.core.releases import tenures, way_back

    client = tracking.connect()
    found = tenures.ledgers(client, chosen, name, alias)
    if not found:
        whose = f"'{name}' never" if name else "no model of these candidates ever"
        raise InputError(f"name: {whose} had {alias}")
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise InputError(f"name: {names} have {alias}; name the one to roll back")
    (seen,) = found
    target = way_back.target(client, seen, number)
    params = {"alias": alias, "name": seen.name, "version": target.version, "reason": told}
    with tracking.step_run("rollback", params) as run:
        done = way_back.give_back(client, run, seen, target, told)
        entry = json.dumps(done.moves[-1].plain(), ensure_ascii=False, indent=1)
        client.log_text(run.info.run_id, entry, "rollback.json")
    was = f"was version {seen.holder}" if seen.holder else "had no version"
    click.echo(f"models:/{seen.name}@{alias} is version {target.version} ({was}): {told}")
    if doubt := way_back.doubts(target):
        click.echo(f"careful: {doubt}")


@step
@click.option("--alias", default="production", show_default=True, help="staging or production.")
@click.option("--name", default="", help="A registered model; default: the candidates' own.")
@click.option("--version", default="", help="Back to this one; default: the one before.")
@click.option("--reason", default="", help="Why, for the ledger.")
def main(config: str, data: str, models: str, limit: str, **options: str) -> None:
    """Give an alias back to the version that had it before."""
    rollback(config, models, **options)


if __name__ == "__main__":
    main()
