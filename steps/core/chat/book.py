"""What the MLflow run of one model holds of a session: kept complete with every reply."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput, Run

from steps.core import tracking
from steps.core.answering.runner import Answer
from steps.core.chat.recording import Status
from steps.core.chat.speakers import Speaker
from steps.core.chat.turn import Reply
from steps.core.dataset import Row
from steps.core.evaluation import describe, output_row
from steps.core.summary import Summary
from steps.core.tables import PARQUET, PredictionTables
from steps.core.tracing.trace_writer import TraceWriter


class Book:
    """Params, metrics, tables and traces, as run_prompts has them."""

    def __init__(self, client: MlflowClient, session: Run, run_id: str, speaker: Speaker) -> None:
        self._client, self._run_id, self._config = client, run_id, speaker.config
        self._name = speaker.name
        self._summary, self._answers = Summary(), list[Answer]()
        self._first_s, self._stopped = list[float](), 0
        self._told: set[str] = set()  # metrics that have had a value
        model_id = speaker.model_id(client, session.info.experiment_id)
        told = {"kind": "chat", "session": session.info.run_id, **speaker.origin}
        _describe(client, run_id, model_id, told)
        self._traces = TraceWriter(
            experiment_id=session.info.experiment_id,
            run_id=run_id,
            model_id=model_id,
            supplier=speaker.config.provider,
            model_name=speaker.config.model,
            price=speaker.config.price,
            session=session.info.run_id,
        )

    def add(self, reply: Reply) -> None:
        """Write one reply, so that no later end of the process can lose it."""
        answer = _answer(reply)
        self._traces.add(replace(answer, row=_as_sent(answer.row, reply)), {})
        self._traces.close()
        self._answers.append(answer)
        self._log_tables()
        self._log_metrics(reply)

    def close(self, status: Status) -> Status:
        """End the run; a session in which nothing was answered has failed, as in run_prompts."""
        if status == "FINISHED" and not self._summary.answered:
            status = "FAILED"
        self._client.set_terminated(self._run_id, status)
        return status

    def _log_metrics(self, reply: Reply) -> None:
        answer = self._answers[-1]
        self._summary.add(answer, {}, language=describe(answer, self._name)["language"])
        self._stopped += reply.stopped
        self._first_s += [] if reply.first_s is None else [reply.first_s]
        metrics = self._summary.metrics() | {
            "stopped": self._stopped,
            "avg_time_to_first_token": fmean(self._first_s) if self._first_s else None,
        }
        known = {name: value for name, value in metrics.items() if value is not None}
        # A sum that one reply makes unknown must not stay as it was: MLflow keeps the last value.
        gone = dict.fromkeys(self._told - known.keys(), math.nan)
        self._told |= known.keys()
        tracking.log_metrics(self._client, self._run_id, known | gone, step=len(self._answers))

    def _log_tables(self) -> None:
        """Anew each time: a Parquet file cannot grow, and a chat is short."""
        with tempfile.TemporaryDirectory() as name:
            with PredictionTables(Path(name), ()) as tables:
                for answer in self._answers:
                    extra = describe(answer, self._name)
                    tables.add(answer, output_row(answer, self._config), extra, {})
            tracking.log_tables(self._client, self._run_id, Path(name), [PARQUET])


def _describe(client: MlflowClient, run_id: str, model_id: str, told: Mapping[str, str]) -> None:
    """The params and tags of the logged model, and the links to it and to its prompt."""
    logged = client.get_logged_model(model_id)
    own = {k: v for k, v in logged.tags.items() if not k.startswith("mlflow.")}
    tracking.log_params(client, run_id, logged.params)
    tracking.set_tags(client, run_id, own | {"model_id": model_id} | dict(told))
    client.log_inputs(run_id, models=[LoggedModelInput(model_id)])
    if "prompt_name" in own:
        prompt = f"prompts:/{own['prompt_name']}/{own['prompt_version']}"
        client.link_prompt_version_to_run(run_id, prompt)


def _answer(reply: Reply) -> Answer:
    question = reply.question
    inputs = {"prompt": question.prompt, "system": question.system_prompt}
    row = Row(str(question.number), inputs, {}, {})
    return Answer(row, reply.completion, reply.asked_at, reused=False)


def _as_sent(row: Row, reply: Reply) -> Row:
    """With the whole conversation, as the model got it and as MLflow's views can show it."""
    system = row.inputs["system"]
    first = [{"role": "system", "content": system}] if system else []
    return replace(row, inputs={"messages": [*first, *reply.question.messages]})
