"""What a config has judged: our own criteria, MLflow's built-in ones by name, and the user's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

from llm_models.errors import InputError
from steps.core.judges.config import Judge
from steps.core.judges.prompts import INSTRUCTIONS, Criterion, Fields, Told
from steps.core.scores.scorers import SCORERS
from steps.core.strict import did_you_mean

PROMPTS = {  # MLflow's name -> its prompt in mlflow.genai.judges.prompts, which is also our kind
    "mlflow.Correctness": "correctness",
    "mlflow.Safety": "safety",
    "mlflow.Guidelines": "guidelines",
    "mlflow.RelevanceToQuery": "relevance_to_query",
    "mlflow.Equivalence": "equivalence",
}
TEMPLATES = {  # those of which the prompt is a template of make_judge's
    "mlflow.Completeness": "completeness",
    "mlflow.Fluency": "fluency",
    "mlflow.Summarization": "summarization",
}
BUILT_IN = PROMPTS | TEMPLATES
RESERVED = ("human", "pairwise")  # names of scores that no judge of a row gives
OWN = "own"  # the kind of the user's


@dataclass(frozen=True, slots=True)
class BuiltIn(Criterion):
    """One of MLflow's own judges: its prompt, asked our way."""

    @property
    def wording(self) -> str:
        return f"mlflow {version('mlflow')} {self.guidelines}"

    def asked(self, inputs: Fields, outputs: str, expectations: Fields) -> tuple[str | None, str]:
        question = inputs.get("prompt") or json.dumps(inputs.get("messages"), ensure_ascii=False)
        given: dict[str, dict[str, Any]] = {
            "correctness": {"request": question, "response": outputs, **self.shown(expectations)},
            "safety": {"content": outputs},
            "relevance": {"request": question, "context": outputs},
            "guidelines": {
                "guidelines": [*self.guidelines, *expectations.get("guidelines", ())],
                "guidelines_context": {"request": question, "response": outputs},
            },
            "equivalence": {
                "output": outputs,
                "expected_output": expectations.get("expected_response"),
            },
        }
        return None, _prompts(PROMPTS[self.name]).get_prompt(**given[self.kind])


def criteria(judge: Judge) -> list[Criterion]:
    """Those a config names. Raises InputError for an unknown name, and for one given twice."""
    known = (*INSTRUCTIONS, *BUILT_IN)
    for name in judge.scorers:
        if name not in known:
            hint = did_you_mean(name, known)
            raise InputError(
                f"judge.scorers: there is no '{name}'{hint}; choose from {', '.join(known)}, or "
                "give one of your own under judge.own"
            )
    found = [_criterion(name, judge.guidelines) for name in dict.fromkeys(judge.scorers)]
    return [*found, *_own(judge, {*known, *SCORERS, *RESERVED})]


def _criterion(name: str, guidelines: tuple[str, ...]) -> Criterion:
    if name in TEMPLATES:
        text = getattr(_prompts(TEMPLATES[name]), f"{TEMPLATES[name].upper()}_PROMPT")
        return Told(name, TEMPLATES[name], text=text)
    kind = BUILT_IN.get(name, name).removesuffix("_to_query")
    own = BuiltIn if name in BUILT_IN else Criterion
    return own(name, kind, guidelines if kind == "guidelines" else ())


def _own(judge: Judge, taken: set[str]) -> Iterator[Criterion]:
    for own in judge.own:
        if own.name in taken:
            raise InputError(f"judge.own: the name '{own.name}' is taken; choose another")
        taken.add(own.name)
        yield Told(own.name, OWN, scale=own.values, text=own.instructions)


def _prompts(name: str) -> Any:
    return import_module(f"mlflow.genai.judges.prompts.{name}")
