"""Everything a tracking store and its registry hold, as texts and files with their places."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType

PAGE = 100


class Piece(NamedTuple):
    """One text, or one file that lies there until the next piece is asked for."""

    kind: str  # "run", "trace", "file", …
    place: str  # such as "run 12ab… params system"
    content: str | Path


def everything(client: MlflowClient) -> Iterator[Piece]:
    """All that is stored, of every experiment, deleted ones included."""
    experiments = list(_pages(client.search_experiments, view_type=ViewType.ALL))
    ids = [experiment.experiment_id for experiment in experiments]
    for experiment in experiments:
        yield from _texts("experiment", experiment.name, tags=experiment.tags)
    for run in _pages(client.search_runs, experiment_ids=ids, run_view_type=ViewType.ALL):
        yield from _run(client, run)
    for model in _pages(client.search_logged_models, experiment_ids=ids):
        name = model.model_id
        yield from _texts("logged model", name, params=model.params, tags=model.tags)
        yield from _artifacts(f"logged model {name}", f"models:/{name}")
    for trace in _pages(client.search_traces, locations=ids):
        yield from _texts("trace", trace.info.trace_id, content=trace.to_json())
    for dataset in _pages(client.search_datasets, experiment_ids=ids):
        yield from _texts("dataset", dataset.name, content=dataset.to_dict())
    yield from _registry(client)


def files(root: Path, owner: str = "") -> Iterator[Piece]:
    """A file, or all files below a folder."""
    for path in sorted(p for p in (root.rglob("*") if root.is_dir() else [root]) if p.is_file()):
        name = path.relative_to(root) if path != root else path
        yield Piece("file", f"{owner} file {name}".lstrip(), path)


def _run(client: MlflowClient, run: Any) -> Iterator[Piece]:
    run_id, data = run.info.run_id, run.data
    inputs = [given.to_dictionary() for given in run.inputs.dataset_inputs]
    yield from _texts("run", run_id, params=data.params, tags=data.tags, inputs=inputs)
    if client.list_artifacts(run_id):
        yield from _artifacts(f"run {run_id}", f"runs:/{run_id}/")


def _registry(client: MlflowClient) -> Iterator[Piece]:
    for model in _pages(client.search_registered_models):
        told = {"tags": model.tags, "description": model.description, "aliases": model.aliases}
        yield from _texts("registered model", model.name, **told)
    for version in _pages(client.search_model_versions):
        told = {"tags": version.tags, "description": version.description, "source": version.source}
        yield from _texts("model version", f"{version.name} {version.version}", **told)
    for prompt in _pages(client.search_prompts):
        yield from _texts("prompt", prompt.name, tags=prompt.tags, description=prompt.description)
        for version in _pages(client.search_prompt_versions, name=prompt.name):
            told = {"template": version.template, "tags": version.tags}
            yield from _texts("prompt version", f"{prompt.name} {version.version}", **told)


def _texts(kind: str, name: str, **fields: Any) -> Iterator[Piece]:
    """Each entry of each field by itself, so that a place names it."""
    for field, value in fields.items():
        for key, entry in (value or {}).items() if isinstance(value, dict) else [("", value)]:
            text = entry if isinstance(entry, str) else json.dumps(entry, default=str)
            yield Piece(kind, f"{kind} {name}, {field} {key}".rstrip(), f"{key} {text}")


def _artifacts(owner: str, uri: str) -> Iterator[Piece]:
    with tempfile.TemporaryDirectory() as folder:
        root = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
        yield from files(Path(root), owner)


def _pages(search: Callable[..., Any], **wanted: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token, **wanted)
        yield from page
        token = page.token
        if not token:
            return
