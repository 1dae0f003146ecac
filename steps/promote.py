"""Move an alias to a version that holds the gate in config.yaml, and write down who and why."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_models.errors import InputError
from steps.core.cli import QUESTIONS, row_limit, step
from steps.core.config import Candidate, Config, choose, load
from steps.core.dataset import load as load_dataset
from steps.core.pipeline import tell_skipped
from steps.core.releases.order import Order
from steps.core.verdict import TAG, Verdict, worst

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from steps.core.releases.decision import Decision


def promote(
    config: str, data: str, models: str, limit: str, alias: str = "staging", **asked: str
) -> Verdict | None:
    """Move `alias` for every registered name of the chosen candidates; say why, or why not.

    `asked` are the other texts of `Order.parse`. Returns the verdict over all; None where force
    or a disabled gate decided. Raises InputError.
    """
    settings = load(Path(config))
    dataset = load_dataset(data or QUESTIONS, row_limit(limit))
    order = Order.parse(settings, alias=alias, **asked)
    chosen = _present(settings, models, order)

    from steps.core import tracking
    from steps.core.releases import promotion
    from steps.core.releases.decision import decide

    client = tracking.connect()
    terms = promotion.terms(Path(config), settings, dataset, order)
    with tracking.step_run("promote", terms.params() | {"models": models}) as run:
        experiment = run.info.experiment_id
        decisions = []
        for name, trials in promotion.proposed(client, experiment, terms, chosen, models).items():
            decisions.append(decide(client, terms, run, name, trials))
            click.echo(f"\n{decisions[-1].text()}")
        verdict = _record(client, run, decisions)
        refused = [one.refusal for one in decisions if one.refusal is not None]
        if refused:
            raise InputError("\n".join(refused))
    return verdict


def _present(settings: Config, models: str, order: Order) -> list[Candidate]:
    """The chosen candidates; of those "available", the ones that answer now, if any does."""
    chosen = choose(settings, models)
    if models.strip() != "available" or order.force or order.version is not None:
        return chosen
    try:
        return [one.candidate for one in tell_skipped(settings, models)]
    except InputError:  # none answers: the verdict on each tells it
        return chosen


def _record(client: "MlflowClient", run: "Run", decisions: "list[Decision]") -> Verdict | None:
    """Keep all that was said as artifacts and tags of the run; return the verdict over all."""
    from steps.core import tracking

    run_id = run.info.run_id
    verdicts = [one.verdict for one in decisions if one.verdict is not None]
    verdict = worst(verdicts) if verdicts else None
    tags = {f"{TAG}.{one.seen.name}": one.verdict or "not decided by the gate" for one in decisions}
    tracking.set_tags(client, run_id, {TAG: verdict} | tags)
    told = json.dumps([one.plain() for one in decisions], ensure_ascii=False, indent=1)
    client.log_text(run_id, told, "promotion.json")
    client.log_text(run_id, "\n\n".join(one.markdown() for one in decisions), "promotion.md")
    return verdict


@step
@click.option("--alias", default="staging", show_default=True, help="staging or production.")
@click.option("--name", default="", help="A registered model; default: the candidates' own.")
@click.option("--version", default="", help="This version of it, instead of the best.")
@click.option("--mode", default="", help="enabled, dry_run or disabled, instead of gate_mode.")
@click.option("--force", default="false", help="true: move it whatever the gate says.")
@click.option("--reason", default="", help="Why, for the ledger; force needs one.")
def main(config: str, data: str, models: str, limit: str, **options: str) -> Verdict | None:
    """Move an alias where the gate in the config holds.

    Exits 2 where it does not and 3 where that cannot be told yet.
    """
    return promote(config, data, models, limit, **options)


if __name__ == "__main__":
    main()
