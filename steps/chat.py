"""Talk with candidates or registered models; the session is a run in MLflow."""

from pathlib import Path

import click

from llm_models.errors import InputError
from steps.core.chat import terminal
from steps.core.chat.cast import Cast
from steps.core.chat.dialogue import choose, converse
from steps.core.chat.recording import Recorder, Status
from steps.core.chat.session import Session
from steps.core.cli import row_limit, step
from steps.core.config import load
from steps.core.dataset import load as load_dataset

EXPERIMENT = "LLMS_Text_Generation"


def chat(config: str, data: str, models: str, limit: str, experiment: str = EXPERIMENT) -> bool:
    """Ask the prompts of `data`, if given, then what is typed or piped in.

    Returns whether all was recorded and, unless a person was there to see it, answered.
    """
    settings = load(Path(config))
    first = _prompts(data, limit)
    terminal.tolerate_any_text()
    with terminal.foreground(), Cast(settings) as cast:
        try:
            session = Session(cast, choose(cast, models), Recorder(experiment))
        except EOFError:
            return True
        status: Status = "KILLED"
        try:
            with terminal.ended_by_signals():
                converse(session, first)
            status = "FINISHED"
        finally:
            session.close(status)
    return session.recorded and (session.all_answered or terminal.is_interactive())


def _prompts(data: str, limit: str) -> list[str]:
    """Those of a file, if one is named. Raises InputError for a row that holds more."""
    most = row_limit(limit)
    rows = load_dataset(data, most).rows if data else []
    for row in rows:
        if row.inputs.keys() != {"prompt"}:
            given = " and ".join(row.inputs)
            raise InputError(f"{data}: row '{row.id}' has {given}; chat asks a prompt alone")
    return [row.inputs["prompt"] for row in rows]


@step
@click.option("--experiment", default=EXPERIMENT, show_default=True, help="Where the run belongs.")
def main(config: str, data: str, models: str, limit: str, experiment: str) -> int:
    """Talk with candidates, or with models:/NAME@ALIAS; /help lists the commands."""
    return 0 if chat(config, data, models, limit, experiment) else 1


if __name__ == "__main__":
    main()
