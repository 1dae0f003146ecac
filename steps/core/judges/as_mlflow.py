"""The judges as MLflow's own objects, for mlflow.genai.evaluate and MLflow's UI."""

import os
from collections.abc import Iterable, Sequence
from functools import wraps
from statistics import median
from typing import Any, Literal

from steps.core.judges.config import Judge
from steps.core.judges.criteria import BUILT_IN
from steps.core.judges.model import judge_provider
from steps.core.judges.prompts import Criterion

MAX_RETRIES = 1


def mlflow_judges(judges: Sequence[Judge], criteria: Iterable[Criterion]) -> list[Any]:
    """make_judge judges of our instructions, and MLflow's built-in ones as they are.

    They cannot abstain: a row without its expectations is judged all the same. The built-in ones
    know no base URL, temperature or seed. A panel is an ensemble, which fails with any of its
    judges and knows no tie.
    """
    _retry_less()
    _share_key()
    if len(judges) == 1:
        return [_judge(judges[0], criterion, criterion.name) for criterion in criteria]
    return [_panel(judges, criterion) for criterion in criteria]


def _panel(judges: Sequence[Judge], criterion: Criterion) -> Any:
    from mlflow.genai.scorers import make_scorer_ensemble

    seats = [_judge(one, criterion, f"{criterion.name}_{i}") for i, one in enumerate(judges, 1)]
    way = median if criterion.scale.numeric else "majority_vote"
    return make_scorer_ensemble(name=criterion.name, scorers=seats, ensemble_fn=way)


def _judge(judge: Judge, criterion: Criterion, name: str) -> Any:
    built_in = criterion.name in BUILT_IN
    return _built_in(judge, criterion, name) if built_in else _made(judge, criterion, name)


def _made(judge: Judge, criterion: Criterion, name: str) -> Any:
    from mlflow.genai.judges import make_judge

    options = {"temperature": judge.temperature, "seed": judge.seed}
    scale = criterion.scale
    made = make_judge(
        name=name,
        instructions=criterion.instructions,
        model=judge.model,
        feedback_value_type=float if scale.numeric else Literal[*scale.labels],
        generate_rationale_first=True,
        inference_params={name: value for name, value in options.items() if value is not None},
        base_url=judge_provider(judge, {}).mlflow_judge_url(),
    )
    made.aggregations = ["mean"]  # which MLflow leaves out for "yes" and "no"
    return made


def _built_in(judge: Judge, criterion: Criterion, name: str) -> Any:
    from mlflow.genai import scorers

    own = {"guidelines": list(criterion.guidelines)} if criterion.guidelines else {}
    kind = criterion.name.removeprefix("mlflow.")
    if kind == "Guidelines" and not own:
        kind = "ExpectationsGuidelines"
    return getattr(scorers, kind)(name=name, model=judge.model, **own)


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
