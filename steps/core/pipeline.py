"""What run_prompts and evaluate share: ask every chosen candidate, record every answer.

Calls are under way before MLflow is imported (that takes seconds), which is why the imports of
the recording half stand inside functions.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from steps.core.answering.candidates import Ready, resolve_all
from steps.core.answering.estimate import worst_usd
from steps.core.answering.journal import Journal
from steps.core.answering.limits import Budget, Pace, paces_of
from steps.core.answering.progress import Track, progress
from steps.core.answering.reuse import Policy
from steps.core.answering.runner import Run
from steps.core.cli import Asking, row_limit, tell_once
from steps.core.config import Config
from steps.core.config import load as load_config
from steps.core.dataset import Dataset
from steps.core.dataset import load as load_dataset
from steps.core.diagnosis import quick_check
from steps.core.judges.criteria import criteria
from steps.core.judges.judging import Judging
from steps.core.judges.trust import trusted_judging
from steps.core.scores import scorers

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
    asking: Asking
    groups: list[list[Run]]  # the runs of one group share a server, so they take turns
    judging: Judging | None = None

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group]

    def stop(self) -> None:
        """End every run within seconds, keeping what is answered."""
        for run in self.runs:
            run.stop("interrupted", killed=True)
        if self.judging:
            self.judging.stop()


@contextmanager
def asking_job(
    config: str, data: str, models: str, limit: str, asking: Asking, *, judged: bool = False
) -> Iterator[Job]:
    """Check all input, and the judges if `judged`; then start the first calls.

    Raises InputError before any call is made, and JudgeError before any row is asked.
    """
    rows_wanted = row_limit(limit)
    settings = load_config(Path(config))
    dataset = load_dataset(data, rows_wanted)
    _check_scorers(settings)
    ready = tell_skipped(settings, models)
    budget = Budget(asking.max_cost or settings.max_cost)
    _check_prices(ready, dataset, budget)
    for warning in quick_check(ready, dataset, settings.journal, budget.most):
        tell_once(warning)
    policy = Policy(asking.cache, asking.retry_errors, asking.repeats, settings.max_error_rate)
    with _journal(settings, asking) as journal:
        asked = [one.config.model for one in ready]
        paces = paces_of(settings.limits)
        judging = trusted_judging(settings, journal, asked, budget, paces) if judged else None
        groups: dict[tuple[str, str | None], list[Run]] = {}
        for one in ready:
            pace = paces.setdefault(one.config.provider, Pace())
            run = Run(one, dataset.rows, journal, policy, budget, pace)
            groups.setdefault((one.config.provider, one.config.base_url), []).append(run)
        for group in groups.values():
            group[0].start()
        job = Job(settings, dataset, journal, asking, list(groups.values()), judging)
        try:
            yield job
        except BaseException:
            job.stop()  # what is in flight is paid for: let it reach the journal
            for run in job.runs:
                run.wait()
            raise


def _check_scorers(config: Config) -> None:
    scorers.chosen(config.scorers)
    for judge in config.judge:
        criteria(judge)


def _check_prices(ready: list[Ready], dataset: Dataset, budget: Budget) -> None:
    if budget.most is not None:
        for one in ready:
            worst_usd(one.config, dataset.rows[0])


@contextmanager
def _journal(config: Config, asking: Asking) -> Iterator[Journal]:
    """The configured journal; with cache "off" one that is gone afterwards."""
    if asking.cache != "off":
        yield Journal(config.journal)
        return
    with TemporaryDirectory() as folder:
        yield Journal(Path(folder) / "journal.sqlite")


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
                trace=job.asking.trace,
                progress=track(name, run.total),
            )

        recorded = [pool.submit(record_group, group) for group in job.groups]
        try:
            return [result for future in recorded for result in future.result()]
        except KeyboardInterrupt:
            job.stop()  # leaving the pool waits for the runs to be closed
            raise
