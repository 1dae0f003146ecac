"""What run_prompts and evaluate share: ask every chosen candidate, record every answer.

Calls are under way before MLflow is imported (that takes seconds), which is why the imports of
the recording half stand inside functions.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from steps.core.candidates import Ready, resolve_all
from steps.core.cli import row_limit, tell_once
from steps.core.config import Config
from steps.core.config import load as load_config
from steps.core.dataset import Dataset
from steps.core.dataset import load as load_dataset
from steps.core.journal import Journal
from steps.core.progress import Track, progress
from steps.core.runner import Cache, Run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

    from steps.core.evaluation import Result, Scoring


@dataclass(frozen=True)
class Job:
    """Everything checked before the first call: config, rows, and who can answer."""

    config: Config
    dataset: Dataset
    journal: Journal
    groups: list[list[Run]]  # the runs of one group share a server, so they take turns

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group]


def prepare_job(config: str, data: str, models: str, limit: str, cache: Cache = "use") -> Job:
    """Check all input and start the first calls. Raises InputError before any call is made."""
    rows_wanted = row_limit(limit)
    settings = load_config(Path(config))
    dataset = load_dataset(data, rows_wanted)
    ready = tell_skipped(settings, models)
    journal = Journal(settings.journal)
    runs = [Run(one, dataset.rows, journal, cache=cache) for one in ready]
    groups = [list(g) for _, g in groupby(runs, key=lambda run: run.ready.config.provider)]
    for group in groups:
        group[0].start()
    return Job(settings, dataset, journal, groups)


def tell_skipped(config: Config, models: str) -> list[Ready]:
    """The candidates that can be asked; one line each says why the others cannot."""
    ready, skipped = resolve_all(config, models)
    for skip in skipped:
        tell_once(skip.line())
    return ready


def run_job(
    job: Job,
    client: "MlflowClient",
    parent: "MlflowRun",
    scoring_for: Callable[[Ready], "Scoring"],
) -> "list[Result]":
    """Record every run of the job; models that do not share a server run side by side."""
    from steps.core.evaluation import record
    from steps.core.logged_models import ensure_logged

    models = {
        run.ready.candidate.name: ensure_logged(client, run.ready, parent.info.experiment_id)[0]
        for run in job.runs
    }
    with progress() as track, ThreadPoolExecutor(len(job.groups)) as pool:

        def record_group(group: list[Run]) -> "list[Result]":
            return [_record(run, track) for run in group]

        def _record(run: Run, track: Track) -> "Result":
            name = run.ready.candidate.name
            return record(
                client,
                parent,
                run.start(),
                model_id=models[name],
                dataset=job.dataset,
                scoring=scoring_for(run.ready),
                progress=track(name, len(run.rows)),
            )

        return [result for group in pool.map(record_group, job.groups) for result in group]
