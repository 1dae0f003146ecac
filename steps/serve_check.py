"""Whether a served endpoint answers as the evaluation of its version says."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from llm_models.errors import InputError
from steps.core.cli import QUESTIONS, row_limit, step
from steps.core.config import load
from steps.core.dataset import Dataset, Row
from steps.core.dataset import load as load_dataset
from steps.core.serve_check.serve_asking import Endpoint
from steps.core.verdict import TAG, Verdict

if TYPE_CHECKING:
    from steps.core.predictions import Prediction, Predictions
    from steps.core.serve_check.serve_comparison import ServeComparison
    from steps.core.serve_check.serve_version import ServedVersion

ROWS = 5
Exact = Literal["auto", "yes", "no"]


def serve_check(
    config: str, data: str, models: str, limit: str, *, url: str, model: str, exact: Exact
) -> Verdict:
    """Ask `limit` rows that were evaluated, print each beside what it was, and judge.

    `model` names the version that ought to be served; empty is the one that the server tells.
    """
    number, settings = row_limit(limit) or ROWS, load(Path(config))
    dataset = load_dataset(data or QUESTIONS)

    from steps.core import predictions, tracking
    from steps.core.scores import scorers
    from steps.core.serve_check.serve_version import find

    client = tracking.connect()
    with Endpoint(url) as endpoint:
        version = find(client, model or _told(endpoint))
        known = predictions.read(client, version.evidence)
        chosen = _known_rows(dataset, known, version, number)
        params = {"data": dataset.name, "url": endpoint.url, "version": version.label}
        with tracking.step_run("serve_check", params) as run:
            names = scorers.chosen(settings.scorers)
            found = _ask(endpoint, version, chosen, exact, names)
            tracking.set_tags(client, run.info.run_id, {TAG: found.verdict})
    click.echo(f"{endpoint.url} against the evaluation of {version.label}")
    click.echo(found.text())
    return found.verdict


def _told(endpoint: Endpoint) -> str:
    if endpoint.version is None:
        raise InputError("model: this server does not tell its version; give models:/NAME/VERSION")
    return f"models:/{endpoint.version}"


def _known_rows(
    dataset: Dataset, known: "Predictions", version: "ServedVersion", number: int
) -> "list[tuple[Row, Prediction]]":
    """The first rows whose very prompt was evaluated, and answered. Raises InputError."""
    pairs = [(row, known.rows.get((row.id, 0))) for row in dataset.rows]
    found = [(row, past) for row, past in pairs if past and past.answered and past.asks(row.inputs)]
    if not found:
        raise InputError(
            f"data: no row of {dataset.name} was answered in the evaluation of {version.label},"
            f" which was on {version.evidence.tags['dataset']}"
        )
    return found[:number]


def _ask(
    endpoint: Endpoint,
    version: "ServedVersion",
    chosen: "list[tuple[Row, Prediction]]",
    exact: Exact,
    names: tuple[str, ...],
) -> "ServeComparison":
    from steps.core.serve_check.serve_comparison import Compared, ServeComparison

    rows = [Compared(row, past, endpoint.ask(row)) for row, past in chosen]
    outputs = [one.now.output for one in rows]
    strict = version.is_exact if exact == "auto" else exact == "yes"
    identity = version.unlike(endpoint.fingerprint, endpoint.same_identity(), outputs)
    return ServeComparison(rows, identity, strict, names)


@step
@click.option("--url", default="http://127.0.0.1:5001", show_default=True)
@click.option("--model", default="", help="models:/NAME@ALIAS or models:/NAME/3; default: as told.")
@click.option(
    "--exact",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Whether texts must be equal; auto: where temperature 0 or a seed fixes them.",
)
def main(**options: str) -> Verdict:
    """Compare what a server answers with the evaluation of its version; exits 0, 2 or 3."""
    return serve_check(**options)  # type: ignore[arg-type]  # click has checked `exact`


if __name__ == "__main__":
    main()
