"""config.yaml: candidates, prices of one's own, judge and gates; a typo in it is an error."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from llm_models.errors import InputError
from llm_models.schema import Sampling
from steps.core.config_fields import CHOICES, Name, PriceKey, ProviderName, Seconds, Url, fitting
from steps.core.judges.config import Judges
from steps.core.prices import Plain, Price, key_of
from steps.core.prompts import checked
from steps.core.strict import Problem, Strict, Text, Texts, did_you_mean, read_text
from steps.core.yaml_lines import Document, parse

MEAN = "/mean"  # the end of a scorer's metric
PER_ROW = ("error_rate", "avg_inference_time")  # other metrics that have a value for each row
REMEDY = "copy the project's config.yaml there, or name the one to use"


System = Annotated[Text, AfterValidator(checked)]  # the text, or prompts:/name@alias


class Defaults(Strict):
    """What a candidate may leave out; None leaves the choice to the provider."""

    system: System | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: Texts | None = None
    seed: int | None = None
    timeout_s: Seconds = 60.0  # of one call
    deadline_s: Seconds = 180.0  # of one row, retries included
    concurrency: int = Field(default=4, ge=1, le=256)


class Candidate(Defaults):
    """One model with its settings: what is logged, evaluated and promoted as one thing."""

    name: Name
    provider: ProviderName
    model: Text
    registered_name: Name
    task: Text = "chat"  # a label of the user's own
    base_url: Url | None = None  # None: the provider's environment variable or default
    options: dict[str, Any] = Field(default_factory=dict, validate_default=True)

    @property
    def sampling(self) -> Sampling:
        return Sampling(
            self.temperature, self.top_p, self.top_k, self.max_tokens, self.stop, self.seed
        )

    @field_validator("options")
    @classmethod
    def _fits_provider(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "provider" not in info.data:  # already an error of its own
            return options
        return fitting(options, info.data["provider"], info)


class Gate(Strict):
    """What one metric of an evaluation must keep; see gates.py."""

    metric: Text
    min: float | None = None
    max: float | None = None
    confident: bool = False  # min and max must hold for the whole 95 % interval, not the mean alone
    max_regression: float | None = Field(None, ge=0)  # largest loss to the version with the alias
    min_rows: int | None = Field(None, ge=1)  # rows that the metric must rest on

    @property
    def lower_is_better(self) -> bool:
        return self.metric in PER_ROW or (self.max is not None and self.min is None)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        bounds = (self.min, self.max)
        if bounds == (None, None) and self.max_regression is None and self.min_rows is None:
            raise ValueError("needs 'min', 'max', 'max_regression' or 'min_rows'")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing can pass")
        if self.confident and (bounds == (None, None) or not self.metric.endswith(MEAN)):
            raise ValueError(
                f"'confident' is for the 'min' or 'max' of a metric that ends in {MEAN}"
            )
        if self.max_regression is not None and not self._known_by_row:
            known = ", ".join(PER_ROW)
            raise ValueError(f"'max_regression' is for metrics known row by row: …{MEAN}, {known}")
        return self

    @property
    def _known_by_row(self) -> bool:
        return self.metric in PER_ROW or self.metric.endswith(MEAN)


def _not_empty(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    if not candidates:
        raise ValueError("the list is empty; give at least one")
    return candidates


Alias = Literal["staging", "production"]
ALIASES: tuple[Alias, ...] = get_args(Alias)
GateMode = Literal["enabled", "dry_run", "disabled"]
Gates = Annotated[tuple[Gate, ...], Field(strict=False)]
Candidates = Annotated[tuple[Candidate, ...], Field(strict=False), AfterValidator(_not_empty)]


class Allowance(Strict):
    """What a provider lets through in a minute, for all its candidates and judges together."""

    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)


class Config(Strict):
    candidates: Candidates
    defaults: Defaults = Defaults()
    prices: dict[PriceKey, Price] = Field(default_factory=dict)
    limits: dict[ProviderName, Allowance] = Field(default_factory=dict)
    max_error_rate: float = Field(0.2, ge=0, le=1)  # more failed rows than this share end a run
    max_cost: float | None = Field(None, gt=0)  # USD of one command over all its models
    scorers: Texts | None = None  # None: all there are
    judge: Judges = ()  # more than one: a panel
    gates: dict[Alias, Gates] = Field(default_factory=dict)
    gate_mode: GateMode = "enabled"
    min_coverage: float = Field(0.8, ge=0, le=1)  # of a scorer, below which it has no mean
    rank_by: Text = "contains_facts/mean"
    journal: Path = Field(
        default=Path(".llmflowlab/journal.sqlite"), strict=False, validate_default=True
    )

    @field_validator("journal")
    @classmethod
    def _beside_config(cls, journal: Path, info: ValidationInfo) -> Path:
        return Path((info.context or {}).get("folder", "")) / journal

    def own_prices(self) -> Mapping[str, Plain]:
        """The user's own prices as llm_models.cost reads them, by "provider/model"."""
        return {
            key_of(*key.split("/", maxsplit=1)): price.plain() for key, price in self.prices.items()
        }


def load(path: Path | str = "config.yaml") -> Config:
    """Read and check a config; paths in it are relative to its folder.

    Raises one InputError with a line for every problem, naming file, line and key.
    """
    path = Path(path)
    document = parse(read_text(path, REMEDY), path)
    context = {"folder": path.parent.resolve()}
    config = document.checked(Config, context, _same_names(document))
    merged = tuple(_with_defaults(candidate, config.defaults) for candidate in config.candidates)
    return config.model_copy(update={"candidates": merged})


def choose(config: Config, spec: str) -> list[Candidate]:
    """The candidates of "all", "available" (both: every one) or a comma list of names.

    Raises InputError for unknown names, naming the known ones.
    """
    if spec.strip() in CHOICES:
        return list(config.candidates)
    known = {candidate.name: candidate for candidate in config.candidates}
    names = list(dict.fromkeys(name.strip() for name in spec.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        asked = ", ".join(f"'{n}'{did_you_mean(n, known)}" for n in unknown) or "an empty list"
        raise InputError(f"unknown candidates: {asked}; config.yaml has {', '.join(known)}")
    return [known[name] for name in names]


def _with_defaults(candidate: Candidate, defaults: Defaults) -> Candidate:
    missing = defaults.model_fields_set - candidate.model_fields_set
    return candidate.model_copy(update={key: getattr(defaults, key) for key in missing})


def _same_names(document: Document) -> Iterator[Problem]:
    """Looked for in the plain data, so that other problems do not hide it."""
    listed = document.data.get("candidates") if isinstance(document.data, dict) else None
    first: dict[str, int] = {}
    for position, entry in enumerate(listed if isinstance(listed, list) else []):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            continue
        line = document.line(("candidates", position, "name"))
        if name in first:
            yield line, f"candidates[{position}].name: '{name}' is taken, on line {first[name]}"
        first.setdefault(name, line)
