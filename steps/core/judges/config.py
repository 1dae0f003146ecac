"""`judge` in config.yaml: one model that scores answers, or a list of them, a panel."""

import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)

from steps.core.config_fields import Name, Seconds, Url, fitting
from steps.core.judges.scale import YES_NO, Scale, Value, scale_of
from steps.core.providers import provider_class
from steps.core.strict import Strict, Text, Texts

FORMS = ("format", "response_schema")  # options by which providers take a JSON schema
NAMES = ("inputs", "outputs", "expectations")
_NAMED = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def _model(text: str) -> str:
    provider, _, model = text.partition(":/")
    if not model or " " in text:
        raise ValueError("expected provider:/model, such as ollama:/llama3.1:8b")
    if not set(FORMS) & provider_class(provider).Options.model_fields.keys():
        raise ValueError(f"{provider} cannot be held to a JSON schema, as a judge must be")
    return text


def _scale(given: Any) -> Any:
    shaped = isinstance(given, dict | list) and all(
        isinstance(v, int | float) for v in (given.values() if isinstance(given, dict) else given)
    )
    if not shaped:
        raise ValueError("expected a list of numbers, or labels with a number each")
    return scale_of(given)


def named(instructions: str) -> set[str]:
    """What instructions are about: of inputs, outputs and expectations."""
    return set(_NAMED.findall(instructions))


class OwnCanary(Strict):
    """An answer whose verdict is known; with `verdict` a list, each of these is right."""

    answer: Text
    prompt: Text = "Please answer."
    expectations: dict[str, Any] = Field(default_factory=dict)
    verdict: Any


class OwnJudge(Strict):
    """A judge of the user's own: what to decide, in words, and the verdicts there are."""

    name: Name
    instructions: Text
    values: Annotated[Scale, BeforeValidator(_scale)] = YES_NO
    canaries: Annotated[tuple[OwnCanary, ...], Field(strict=False)] = ()

    @field_validator("instructions")
    @classmethod
    def _about_the_answer(cls, instructions: str) -> str:
        found = named(instructions)
        if "outputs" not in found:
            raise ValueError("must name {{ outputs }}, the answer that is judged")
        if strange := found - set(NAMES):
            raise ValueError(f"there is no {{{{ {min(strange)} }}}}; there are {', '.join(NAMES)}")
        return instructions

    @model_validator(mode="after")
    def _canaries_on_the_scale(self) -> Self:
        for canary in self.canaries:
            self.right(canary)
        return self

    def right(self, canary: OwnCanary) -> tuple[Value, ...]:
        """The scores that are right for a canary. Raises ValueError."""
        told = canary.verdict if isinstance(canary.verdict, list) else [canary.verdict]
        labels = [self.values.label(one) for one in told]
        if not labels or None in labels:
            known = ", ".join(self.values.labels)
            raise ValueError(f"canaries: verdict {canary.verdict!r} is none of {known}")
        return tuple(self.values.score(label) for label in labels if label is not None)


class Judge(Strict):
    """A model that scores answers."""

    model: Annotated[str, AfterValidator(_model)]
    base_url: Url | None = None
    temperature: float | None = Field(default=0.0, ge=0, le=2)  # None: the model's own
    seed: int | None = 7
    max_tokens: int = Field(default=4096, ge=1)  # of a reply, thinking included
    timeout_s: Seconds = 60.0
    options: dict[str, Any] = Field(default_factory=dict)
    guidelines: Texts = ()
    scorers: Texts = ("correctness", "safety", "guidelines")
    own: Annotated[tuple[OwnJudge, ...], Field(strict=False)] = ()

    @property
    def provider(self) -> str:
        return self.model.partition(":/")[0]

    @field_validator("options")
    @classmethod
    def _fits_provider(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if taken := options.keys() & set(FORMS):
            raise ValueError(f"{min(taken)} is set by the judge itself; leave it out")
        if "model" not in info.data:  # already an error of its own
            return options
        return fitting(options, info.data["model"].partition(":/")[0], info)


ASKED = ("guidelines", "scorers", "own")  # what a judge decides, the same for a whole panel


def _panel(given: Any, checked: Any, info: ValidationInfo) -> Any:
    """One judge stands without a list; those behind the first decide what the first does."""
    if given is None or given == []:
        return ()
    if not isinstance(given, list | tuple):
        alone = isinstance(given, Judge)
        return (given if alone else Judge.model_validate(given, context=info.context),)
    first, *others = checked(given)
    seats = [first]
    for place, other in enumerate(others, 1):
        seat = _seated(first, other, place)
        if seat in seats:
            raise ValueError(f"judge[{place}] is a judge of the panel already; it has one vote")
        seats.append(seat)
    return tuple(seats)


def _seated(first: Judge, other: Judge, place: int) -> Judge:
    told = {name: getattr(first, name) for name in ASKED}
    for name in ASKED:
        if name in other.model_fields_set and getattr(other, name) != told[name]:
            raise ValueError(f"judge[{place}].{name}: say it with the first judge, for the panel")
    return other.model_copy(update=told)


Judges = Annotated[tuple[Judge, ...], Field(strict=False), WrapValidator(_panel)]
