"""What a run would ask, spend and take, before anything is paid; MLflow is not needed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from steps.core.answering.candidates import resolve_all
from steps.core.answering.reuse import Policy
from steps.core.cli import QUESTIONS, Asking, asking_step, row_limit
from steps.core.config import load
from steps.core.dataset import load as load_dataset
from steps.core.judge_planning import plan_judges
from steps.core.judges.trust import unscored
from steps.core.planning import capped, caveats, journal_to_read, plan_models, totals
from steps.core.tabular import plain_table

FIGURES = {  # of ModelPlan: (heading, format)
    "rows": ("rows", "{:,.0f}"),
    "in_journal": ("in journal", "{:,.0f}"),
    "to_ask": ("to ask", "{:,.0f}"),
    "input_tokens": ("input tokens", "{:,.0f}"),
    "worst_output_tokens": ("output tokens", "≤ {:,.0f}"),
    "likely_usd": ("USD, likely", "{:.4f}"),
    "worst_usd": ("USD, at most", "{:.4f}"),
    "minutes": ("minutes", "{:.1f}"),
}


def plan(config: str, data: str, models: str, limit: str, asking: Asking) -> dict[str, Any]:
    """The plan as plain data: a line for each of `models` and `judges`, and their sums, `total`."""
    settings = load(Path(config))
    dataset = load_dataset(data or QUESTIONS, row_limit(limit))
    ready, skipped = resolve_all(settings, models)
    policy = Policy(asking.cache, asking.retry_errors, asking.repeats)
    cap = asking.max_cost or settings.max_cost
    away = unscored(settings)
    with journal_to_read(settings.journal) as journal:
        given = (settings, dataset.rows, ready, policy, journal)
        planned, judges = plan_models(*given), [] if away else plan_judges(*given)
    if cap is not None:
        both = capped([*planned, *judges], cap)
        planned, judges = both[: len(planned)], both[len(planned) :]
    return {
        "data": dataset.name,
        "sha256": dataset.sha256,
        "rows": len(dataset.rows),
        "repeats": asking.repeats,
        "max_cost": cap,
        "models": [asdict(one) for one in planned],
        "judges": [asdict(one) for one in judges],
        "total": totals([*planned, *judges]),
        "skipped": [*(skip.line() for skip in skipped), *away],
        "caveats": caveats(planned, ready, judges),
    }


def as_text(planned: dict[str, Any]) -> str:
    """A table for a terminal, and below it what stands behind the figures."""
    models, cap = planned["models"], planned["max_cost"]
    size = f"{planned['rows']} rows × {len(models)} models × {planned['repeats']} repeats"
    models = [*models, *planned["judges"]]
    headers = ["candidate", *(heading for heading, _ in FIGURES.values())]
    rows = [[one["candidate"], *_figures(one)] for one in models]
    rows.append(["all", *_figures(planned["total"])])
    if cap is not None:
        headers.append(f"stopped at {cap:g} USD")
        stopped = [one["max_cost_stops"] for one in models]
        rows = [[*row, told] for row, told in zip(rows, [*stopped, ""], strict=True)]
    table = plain_table(headers, rows)
    behind = [*planned["skipped"], *planned["caveats"]]
    return "\n".join([f"{planned['data']}: {size}", table, *behind])


def _figures(one: dict[str, Any]) -> list[str]:
    cells = {name: _cell(one[name], shape) for name, (_, shape) in FIGURES.items()}
    if one["likely_is_worst"] and one["likely_usd"]:
        cells["likely_usd"] = f"≤ {cells['likely_usd']}"
    return list(cells.values())


def _cell(value: float | None, shape: str) -> str:
    return "unknown" if value is None else shape.format(value)


@asking_step
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def main(config: str, data: str, models: str, limit: str, *, asking: Asking, format: str) -> None:
    """Tell rows, calls, tokens, USD and minutes of a run, without any paid call."""
    planned = plan(config, data, models, limit, asking)
    click.echo(json.dumps(planned, indent=2) if format == "json" else as_text(planned))


if __name__ == "__main__":
    main()
