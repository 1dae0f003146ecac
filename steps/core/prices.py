"""The table of prices, prices.yaml, and which price holds for a candidate.

`python -m steps.core.prices` refreshes the table from the catalogue that MLflow bundles.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, model_validator

from llm_models.errors import InputError
from steps.core.strict import Strict, Text, read_text
from steps.core.yaml_lines import parse

Plain = dict[str, Any]  # a price as llm_models.cost reads it

PRICES = Path(__file__).parents[2] / "prices.yaml"
HEAD = """\
# USD per million tokens; long_context holds for a whole call with more input tokens than `above`.
# Written by `python -m steps.core.prices` from the catalogue that MLflow bundles, with the day of
# its newest entry: put prices of your own into config.yaml, not here.
"""
CATALOGUE_KEYS = {
    "input": "input_per_million_tokens",
    "output": "output_per_million_tokens",
    "cached_input": "cache_read_per_million_tokens",
}
_TEXT_MODELS = {  # by catalogue and provider: no audio, search, robotics and other specialists
    "gemini": re.compile(r"gemini-(\d|flash|pro)"),
    "openai": re.compile(r"(gpt-|o)\d[\w.]*(-mini|-nano)?(-chat)?(-latest)?(-\d{4}-\d\d-\d\d)?$"),
}

Dollars = Annotated[float, Field(ge=0)]


class LongContext(Strict):
    above: int = Field(ge=1)  # input tokens
    input: Dollars
    output: Dollars
    cached_input: Dollars | None = None


class Price(Strict):
    """USD per million tokens, or `per_hour` of a machine of one's own."""

    input: Dollars | None = None
    output: Dollars | None = None
    cached_input: Dollars | None = None
    long_context: LongContext | None = None
    per_hour: Dollars | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        by_token = self.input is not None and self.output is not None
        if not by_token and self.plain().keys() != {"per_hour"}:
            raise ValueError("give both 'input' and 'output', or 'per_hour' alone")
        if by_token and self.per_hour is not None:
            raise ValueError("give 'per_hour' alone, or 'input' and 'output' without it")
        tier = self.long_context
        if tier and tier.cached_input is None and self.cached_input is not None:
            raise ValueError("'long_context' needs a 'cached_input' of its own")
        return self

    def plain(self) -> Plain:
        return self.model_dump(exclude_none=True)


class _File(Strict):
    updated: Text
    source: Text
    models: dict[str, Price]


@dataclass(frozen=True)
class Table:
    updated: str  # the day of the newest price, as YYYY-MM-DD
    models: Mapping[str, Plain]  # by "provider/model"


def load_table(path: Path = PRICES) -> Table:
    """Read prices.yaml. Raises InputError with the line of each flaw."""
    text = read_text(path, "write it with `python -m steps.core.prices`")
    file = parse(text, path).checked(_File)
    return Table(file.updated, {key: price.plain() for key, price in file.models.items()})


def key_of(provider: str, model: str) -> str:
    """What a price is found by: Gemini's own listing writes "models/" before a name."""
    return f"{provider}/{model.removeprefix('models/')}"


def price_of(
    provider: str, model: str, local: bool, own: Mapping[str, Plain], table: Table
) -> Plain | None:
    """The user's own price, else the table's; free for a local model; None where unknown."""
    key = key_of(provider, model)
    if key in own:
        return own[key]
    if key in table.models:
        return table.models[key]
    return {"free": True} if local else None


def refresh(path: Path = PRICES) -> list[str]:
    """Write the table anew from MLflow's catalogue; what changed, one line a price."""
    old = load_table(path).models if path.exists() else {}
    days, tables = zip(*map(_from_catalogue, _TEXT_MODELS), strict=True)
    new = {key: price for table in tables for key, price in table.items()}
    content = {"updated": max(days), "source": f"mlflow {version('mlflow')}", "models": new}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)
    path.write_text(HEAD + text, encoding="utf-8")
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key, 'none')} -> {new.get(key, 'none')}" for key in changed]


def _catalogue(provider: str) -> Mapping[str, Any]:
    mlflow = find_spec("mlflow")  # importing it costs a second
    if mlflow is None or not mlflow.submodule_search_locations:
        raise InputError("mlflow is not installed: run `pip install -r requirements.txt`")
    folder = Path(mlflow.submodule_search_locations[0], "utils", "model_catalog")
    path = folder / f"{provider}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["schema_version"] != "1.0":
        raise InputError(
            f"{path}: this schema of prices is not known; install the mlflow of requirements.txt"
        )
    models: Mapping[str, Any] = content["models"]
    return models


def _from_catalogue(provider: str) -> tuple[str, dict[str, Plain]]:
    """The day of the newest price, and the prices."""
    models, wanted = _catalogue(provider), _TEXT_MODELS[provider]
    newest = max(entry["last_updated_at"] for entry in models.values())
    kept = {
        name: entry
        for name, entry in models.items()
        if wanted.match(name) and _current(entry, newest)
    }
    prices = {key_of(provider, name): _price(kept[name]["pricing"]) for name in sorted(kept)}
    return max(entry["last_updated_at"] for entry in kept.values()), prices


def _current(entry: Mapping[str, Any], newest: str) -> bool:
    """A text model not yet retired when the catalogue was made, with a price we can express."""
    pricing = entry.get("pricing", {})
    return (
        entry["mode"] == "chat"
        and entry["capabilities"]["response_schema"]  # audio, image and live models have none
        and entry.get("deprecation_date", "9999") > newest
        and pricing.keys() >= {CATALOGUE_KEYS["input"], CATALOGUE_KEYS["output"]}
        and "cache_write_per_million_tokens" not in pricing  # how much is written is not told
        and len(pricing.get("long_context", [])) <= 1
    )


def _price(pricing: Mapping[str, Any]) -> Plain:
    price: Plain = {key: pricing[of] for key, of in CATALOGUE_KEYS.items() if of in pricing}
    for tier in pricing.get("long_context", []):
        dearer = {key: tier[of] for key, of in CATALOGUE_KEYS.items() if of in tier}
        price["long_context"] = {"above": tier["threshold_tokens"], **dearer}
    return Price.model_validate(price).plain()


if __name__ == "__main__":
    print("\n".join(refresh()) or "no price has changed")
