"""Which model is better, and whether the difference is real: the latest evaluation of each."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steps.core.answering.journal import Journal
from steps.core.answering.limits import Budget
from steps.core.cli import QUESTIONS, positive, row_limit, step, true_or_false
from steps.core.config import Config, choose, load
from steps.core.dataset import Dataset
from steps.core.dataset import load as load_dataset
from steps.core.judges.trust import pairwise_judging, require_judges
from steps.core.verdict import TAG, Verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from steps.core.comparing.comparison import Comparison
    from steps.core.comparing.leaderboard import Board
    from steps.core.comparing.preferences import Duel
    from steps.core.predictions import Predictions

MAX_LOSS = 0.1


@dataclass(frozen=True)
class Order:
    """What is to be compared, checked before a run is made."""

    settings: Config
    dataset: Dataset
    models: str
    names: list[str]
    baseline: str
    max_loss: float
    budget: Budget | None  # of pairwise judges; None where they are not asked
    output: Path | None


def compare(
    config: str,
    data: str,
    models: str,
    limit: str,
    *,
    baseline: str,
    max_loss: str,
    output: str,
    pairwise: str = "false",
    max_cost: str = "",
) -> Verdict:
    """Print and log the leaderboard and every model against the baseline, paired by row.

    `baseline` names a candidate; empty is the best by rank_by, and nothing is decided. To pass, no
    model may be worse, and the rows must rule out that one loses more than `max_loss` by rank_by.
    With `pairwise` the config's judges say which answers they prefer, for at most `max_cost` USD.
    """
    allowed = positive("max_loss", max_loss) or MAX_LOSS
    asked = true_or_false("pairwise", pairwise)
    settings = load(Path(config))
    budget = Budget(positive("max_cost", max_cost) or settings.max_cost)
    dataset = load_dataset(data or QUESTIONS, row_limit(limit))
    names = [candidate.name for candidate in choose(settings, models)]
    if baseline:
        from steps.core.comparing.ranking import refuse_unpaired

        choose(settings, baseline)  # what is mistyped is told before a run is made
        refuse_unpaired(settings.rank_by)
    if asked:
        require_judges(settings, "pairwise")
    written = Path(output) if output else None
    if written:
        written.mkdir(parents=True, exist_ok=True)  # or it fails now, before a judge is paid
    judges = budget if asked else None
    return _run(Order(settings, dataset, models, names, baseline, allowed, judges, written))


def _run(order: Order) -> Verdict:
    from steps.core import tracking
    from steps.core.comparing import comparison_text, mlflow_views

    client = tracking.connect()
    params = {"data": order.dataset.name, "models": order.models, "baseline": order.baseline}
    with tracking.step_run("compare", params) as run:
        board, comparison, tables = _compared(client, run, order)
        links = mlflow_views.publish_comparison(
            client, run, board, comparison, tables, output=order.output
        )
        tracking.set_tags(client, run.info.run_id, {TAG: comparison.verdict})
        click.echo(comparison_text.text(comparison, board))
        for name, url in links.items():
            click.echo(f"{name}: {url}")
    return comparison.verdict


def _compared(
    client: "MlflowClient", run: "Run", order: Order
) -> "tuple[Board, Comparison, list[Predictions]]":
    """The board, what is compared on it, and every answer. Raises InputError."""
    from steps.core import predictions
    from steps.core.comparing import comparable, preferences
    from steps.core.comparing.comparison import compared
    from steps.core.comparing.leaderboard import board_of_evidence
    from steps.core.registry import require_evidence
    from steps.core.releases import proof

    rank_by, floor = order.settings.rank_by, order.settings.min_coverage
    where = (client, run.info.experiment_id, order.dataset, order.names, order.models)
    evidence = require_evidence(*where, min_coverage=floor)
    comparable.refuse_unlike(evidence)
    title = f"Leaderboard on {order.dataset.name}, best {rank_by} first"
    absent = set(order.names) - {one.candidate for one in evidence}
    changed = [one.candidate for one in evidence if proof.changed(one, order.settings)]
    board = board_of_evidence(title, evidence, rank_by)
    board = replace(board, absent=sorted(absent), changed=changed)
    tables = [predictions.read(client, one) for one in evidence]
    own = (order.dataset, board, tables, rank_by, order.baseline)
    comparison = compared(*own, max_loss=order.max_loss)
    if order.budget:
        given = (order.settings, order.dataset, comparison, tables, order.budget)
        comparison, duels = _judged(*given)
        preferences.log(client, run.info.run_id, duels, comparison.pairwise)
    return board, comparison, tables


def _judged(
    settings: Config,
    dataset: Dataset,
    comparison: "Comparison",
    tables: "Sequence[Predictions]",
    budget: Budget,
) -> "tuple[Comparison, list[Duel]]":
    """The comparison with what pairwise judges prefer, and their every word."""
    from steps.core.comparing.comparison import with_pairwise

    with closing(Journal(settings.journal)) as journal:
        judging = pairwise_judging(settings, journal, budget)
        return with_pairwise(comparison, dataset, tables, judging)


@step
@click.option("--baseline", default="", help="What all are compared with; default: the best.")
@click.option(
    "--max_loss",
    default=str(MAX_LOSS),
    show_default=True,
    help="How much may be lost against a named baseline, in units of rank_by.",
)
@click.option("--pairwise", default="false", help="true: a judge says which answers are better.")
@click.option("--max_cost", default="", help="USD the pairwise judge may spend.")
@click.option("--output", default="", help="A folder that also gets the files.")
def main(**options: str) -> Verdict:
    """Compare the latest evaluations of the chosen candidates.

    Exits 0 where no model is worse than the named baseline, 2 where one is, and 3 where the rows
    cannot tell.
    """
    return compare(**options)


if __name__ == "__main__":
    main()
