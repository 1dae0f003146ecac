"""Move an alias to the best version that holds the gate in config.yaml."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_models.errors import InputError
from steps.core.cli import QUESTIONS, row_limit, step
from steps.core.config import Config, Gate, choose, load
from steps.core.dataset import load as load_dataset
from steps.core.tabular import plain_table

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from steps.core.registry import Evidence

GATE_FAILED = 2  # the exit code


def promote(config: str, data: str, models: str, limit: str, alias: str = "staging") -> bool:
    """Move `alias` for every registered name of the chosen candidates.

    Returns whether every name has a version that holds the gate; each verdict is printed.
    """
    settings = load(Path(config))
    dataset = load_dataset(data or QUESTIONS, row_limit(limit))
    gate = _gate(settings, alias)
    names = [candidate.name for candidate in choose(settings, models)]

    from steps.core import tracking
    from steps.core.registry import require_evidence

    client = tracking.connect()
    params = {"data": dataset.name, "models": models, "alias": alias}
    with tracking.step_run("promote", params) as run:
        where, floor = (client, run.info.experiment_id), settings.min_coverage
        evidence = require_evidence(*where, dataset, names, models, min_coverage=floor)
        by_name: dict[str, list[Evidence]] = {}
        for one in evidence:
            by_name.setdefault(one.tags["registered_name"], []).append(one)
        verdicts = {
            name: _promote_best(client, settings.rank_by, gate, group, alias)
            for name, group in by_name.items()
        }
        tracking.set_tags(client, run.info.run_id, {f"verdict.{k}": v for k, v in verdicts.items()})
    return all(verdict == "pass" for verdict in verdicts.values())


def _gate(settings: Config, alias: str) -> tuple[Gate, ...]:
    """The gate of an alias. Raises InputError: without a gate nothing may be promoted."""
    gate = {str(name): gates for name, gates in settings.gates.items()}.get(alias)
    if not gate:
        known = ", ".join(settings.gates) or "none"
        raise InputError(f"alias: the config has no gates for '{alias}' (it has: {known})")
    return gate


def _promote_best(
    client: "MlflowClient",
    rank_by: str,
    gate: tuple[Gate, ...],
    group: "list[Evidence]",
    alias: str,
) -> str:
    """Give the alias to the best of the group that holds the gate, best by `rank_by`."""
    from steps.core import gates, registry

    name = group[0].tags["registered_name"]
    group.sort(key=lambda one: -one.metrics.get(rank_by, float("-inf")))
    for one in group:
        version = registry.find_version(client, name, one)
        if version is None:
            click.echo(f"{one.candidate}: not registered; run `mlflow run . -e register` first")
            continue
        checks = gates.check(gate, one.metrics)
        passed = all(check.passed for check in checks)
        click.echo(f"\n{one.candidate} ({name} version {version.version}) for {alias}:")
        click.echo(plain_table(["gate", "value", "bounds", ""], [c.cells() for c in checks]))
        if passed:
            holder = registry.holder(client, name, alias)
            was = f"was version {holder.version}" if holder else "had no version"
            if holder is not None and holder.version == version.version:
                was = "already"
            else:
                registry.move_alias(client, version, alias)
            click.echo(f"models:/{name}@{alias} is version {version.version} ({was})")
            return "pass"
    click.echo(f"{name}: no version holds the gate for {alias}; nothing was moved")
    return "fail"


@step
@click.option("--alias", default="staging", show_default=True, help="staging or production.")
def main(config: str, data: str, models: str, limit: str, alias: str) -> int:
    """Move an alias where the gate in the config holds; exits 2 where it does not."""
    return 0 if promote(config, data, models, limit, alias) else GATE_FAILED


if __name__ == "__main__":
    main()
