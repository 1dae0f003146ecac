"""What the registry and its runs hold of a registered model, as plain data."""

import json
import re
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from llm_models.errors import scrub, shorten
from steps.core.config import ALIASES, CHOICES, Config, choose
from steps.core.registry import Evidence
from steps.core.releases import ledger
from steps.core.tables import JSON

SHOWN_FIRST = ("production", "staging")  # whose version is told in full, else the newest
LAST = 20  # prompts and answers
# Beside those below U+0020: what a terminal obeys, what turns text round, and halves of pairs.
HIDDEN = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
Info = dict[str, Any]


def chosen_names(client: MlflowClient, config: Config, spec: str) -> list[str]:
    """The registered names meant by "available" (the config's), "all" (and the registry's other
    ones), or candidates and names of the registry with commas between.

    Raises InputError for a name that neither config nor registry knows.
    """
    if spec.strip() in CHOICES:
        names = [one.registered_name for one in config.candidates]
        if spec.strip() == "all":
            names += [model.name for model in mlflow.search_registered_models()]
        return list(dict.fromkeys(names))
    own = {one.name: one.registered_name for one in config.candidates}
    own |= {name: name for name in own.values()}
    asked = [name.strip() for name in spec.split(",") if name.strip()]
    unknown = [name for name in asked if name not in own and not registered(client, name)]
    if unknown or not asked:
        choose(config, ",".join(unknown))  # says what is known
    return list(dict.fromkeys(own.get(name, name) for name in asked))


def registered(client: MlflowClient, name: str) -> RegisteredModel | None:
    """The registered model, if there is one of that name."""
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def about(client: MlflowClient, model: RegisteredModel, min_coverage: float) -> Info:
    """Aliases, moves, every version (newest first), and one version's last answers.

    A mean of less coverage than `min_coverage`, or than its run asked for, is left out.
    """
    aliases = {alias: int(version) for alias, version in sorted(model.aliases.items())}
    found = client.search_model_versions(f"name = '{model.name}'")
    newest_first = sorted(found, key=lambda version: -int(version.version))
    versions = [_version(client, one, aliases, min_coverage) for one in newest_first]
    numbers = [aliases[alias] for alias in SHOWN_FIRST if alias in aliases]
    numbers += [one["version"] for one in versions[:1]]
    shown = next((v for n in numbers for v in versions if v["version"] == n), None)
    return {
        "name": model.name,
        "description": model.description,
        "aliases": aliases,
        "history": _moves(client, model.name),
        "shown_version": shown and shown["version"],
        "last_prompts_and_answers": _last_answers(client, shown["run_id"]) if shown else None,
        "versions": versions,
    }


def write(info: Info, folder: Path) -> Path:
    """One JSON file for the model; what a terminal would obey or hide is written as an escape."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(info, indent=2, ensure_ascii=False, allow_nan=False)
    path = folder / f"{info['name']}.json"
    seen = re.sub(f"[{HIDDEN}]", lambda found: f"\\u{ord(found[0]):04x}", text)
    path.write_text(seen + "\n", "utf-8")
    return path


def _version(
    client: MlflowClient, version: ModelVersion, aliases: Mapping[str, int], min_coverage: float
) -> Info:
    run, number = _run(client, version.run_id), int(version.version)
    evidence = Evidence(run, min_coverage) if run else None
    metrics = sorted(evidence.metrics.items()) if evidence else []
    return {
        "version": number,
        "aliases": [alias for alias, held in aliases.items() if held == number],
        "registered_at": _iso(version.creation_timestamp),
        "evaluated_at": _iso(run.info.start_time) if run else None,
        "description": version.description,
        "source": version.source,
        "run_id": version.run_id or None,
        "tags": dict(sorted(version.tags.items())),
        "parameters": dict(sorted(run.data.params.items())) if run else {},
        "metrics": {name: value if isfinite(value) else None for name, value in metrics},
        "min_coverage": evidence.floor if evidence else None,
    }


def _run(client: MlflowClient, run_id: str | None) -> Run | None:
    """The evaluation of a version, unless it has none or was deleted for good."""
    try:
        return client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _moves(client: MlflowClient, name: str) -> list[Info]:
    """Who had an alias when and why, oldest first. Raises LedgerError for what is no entry."""
    ledgers = [ledger.read(client, name, alias) for alias in ALIASES]
    told = [{"alias": one.alias, **move.plain()} for one in ledgers for move in one.moves]
    return sorted(told, key=lambda move: str(move["when"]))


def _last_answers(client: MlflowClient, run_id: str | None) -> Info:
    """The latest rows of a run, newest first; `error` says why there are none."""
    if run_id is None:
        return {"rows": [], "error": "the version names no run"}
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = client.download_artifacts(run_id, JSON, folder)
            rows = json.loads(Path(path).read_text("utf-8"))
        except (MlflowException, OSError, ValueError) as error:
            told = f"{JSON} of run {run_id} cannot be read: {shorten(scrub(str(error)))}"
            return {"rows": [], "error": told}
    latest = sorted(rows, key=lambda row: row["date"], reverse=True)
    return {"rows": latest[:LAST], "error": None}


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
