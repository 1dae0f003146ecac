"""The judges as MLflow's own objects, for mlflow.genai.evaluate and MLflow's UI."""

import os
from collections.abc import Iterable
from functools import wraps
from typing import Any, Literal

from steps.core.config import Judge
from steps.core.judge_model import judge_provider
from steps.core.judge_prompts import BuiltIn, Criterion

MAX_RETRIES = 1


def mlflow_judges(judge: Judge, criteria: Iterable[Criterion]) -> list[Any]:
    """make_judge judges of our instructions, and MLflow's built-in ones as they are.

    They cannot abstain: a row without its expectations is judged all the same. The built-in ones
    know no base URL, temperature or seed.
    """
    _retry_less()
    _share_key()
    return [_built_in(judge, c) if isinstance(c, BuiltIn) else _made(judge, c) for c in criteria]


def _made(judge: Judge, criterion: Criterion) -> Any:
    from mlflow.genai.judges import make_judge

    options = {"temperature": judge.temperature, "seed": judge.seed}
    made = make_judge(
        name=criterion.name,
        instructions=criterion.instructions,
        model=judge.model,
        feedback_value_type=Literal["yes", "no"],
        generate_rationale_first=True,
        inference_params={name: value for name, value in options.items() if value is not None},
        base_url=judge_provider(judge, {}).mlflow_judge_url(),
    )
    made.aggregations = ["mean"]  # which MLflow leaves out for "yes" and "no"
    return made


def _built_in(judge: Judge, criterion: Criterion) -> Any:
    from mlflow.genai import scorers

    own = {"guidelines": list(criterion.guidelines)} if criterion.guidelines else {}
    name = criterion.name.removeprefix("mlflow.")
    if name == "Guidelines" and not own:
        name = "ExpectationsGuidelines"
    return getattr(scorers, name)(name=criterion.name, model=judge.model, **own)


def _share_key() -> None:
    """MLflow reads GEMINI_API_KEY alone."""
    if not os.environ.get("GEMINI_API_KEY") and os.environ.get("GOOGLE_API_KEY"):
        os.environ["GEMINI_API_KEY"] = os.environ["GOOGLE_API_KEY"]


def _retry_less() -> None:
    """MLflow 3.17 retries ten times (181 s with the server down) and has no setting for it."""
    from mlflow.genai.judges.adapters import gateway_adapter

    send = getattr(gateway_adapter, "send_chat_request", None)
    if send is None or hasattr(send, "__wrapped__"):
        return

    @wraps(send)
    def send_less(*args: Any, num_retries: int = MAX_RETRIES, **rest: Any) -> Any:
        return send(*args, num_retries=min(num_retries, MAX_RETRIES), **rest)

    gateway_adapter.send_chat_request = send_less
