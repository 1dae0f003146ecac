"""Evaluations with rows of a test's choosing, and the commands that release them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from click.testing import Result
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.core import registry
from steps.core.releases import ledger
from steps.core.releases.ledger import Ledger
from steps.history import main as history
from steps.promote import main as promote
from steps.register import main as register
from steps.rollback import main as rollback
from tests.steps.conftest import KNOWLEDGE, ConfigWriter, baseline, invoke

RECALL = {alias: [{"metric": "recall", "min": 0.5}] for alias in ("staging", "production")}
STEPS = {"register": register, "promote": promote, "rollback": rollback, "history": history}


@dataclass(frozen=True)
class Desk:
    """One release engineer: a config, a dataset, and the steps by name."""

    client: MlflowClient
    name: str  # the registered model
    write_config: ConfigWriter
    questions: Path
    folder: Path

    def run(
        self, step: str, gates: Any = None, config: dict[str, Any] | None = None, **options: Any
    ) -> Result:
        """What a command line gives; without `gates`, those of RECALL."""
        named = {"registered_name": self.name}
        candidates = [baseline(name, self.folder, **named) for name in KNOWLEDGE]
        gates = gates or RECALL
        path = self.write_config(*candidates, gates=gates, rank_by="recall", **(config or {}))
        return invoke(STEPS[step], path, **{"data": self.questions} | options)

    def done(self, step: str, *args: Any, **options: Any) -> str:
        """The output of a step that succeeds."""
        result = self.run(step, *args, **options)
        assert result.exit_code == 0, result.output
        return result.output

    def promoted(self, *args: Any, **options: Any) -> str:
        """The output of register and promote, which succeed."""
        return self.done("register") + self.done("promote", *args, **options)

    def holder(self, alias: str = "staging") -> int | None:
        found = registry.holder(self.client, self.name, alias)
        return int(found.version) if found else None

    def ledger(self, alias: str = "staging") -> Ledger:
        return ledger.read(self.client, self.name, alias)


def give_rows(client: MlflowClient, run: Run, scores: Sequence[float | None], folder: Path) -> None:
    """A run's predictions: one row for each score of the scorer `recall`; None is an error."""
    rows = [
        {
            "id": f"r{place:03d}",
            "repeat": 0,
            "status": "error" if score is None else "ok",
            "text": None if score is None else "text",
            "prompt": "Why?",
            "tags": "{}",
            "error": None,
            "latency_s": 0.5,
            "cost_usd": 0.0,
            "recall": score,
            "recall/rationale": None,
            "recall/error": None,
        }
        for place, score in enumerate(scores)
    ]
    path = folder / "predictions.parquet"
    pd.DataFrame(rows).to_parquet(path)
    client.log_artifact(run.info.run_id, str(path))
    client.log_metric(run.info.run_id, "recall/mean", 1.0)
