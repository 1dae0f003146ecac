"""A model version for each piece of evidence, and what its page tells of it."""

import json

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llm_models.errors import InputError
from steps.core.comparing.leaderboard import board_of_evidence
from steps.core.registry import EVIDENCE, Evidence
from steps.core.releases.claims import turn
from steps.core.releases.proof import GONE, find_version
from steps.core.tabular import markdown_table

VERSIONS_TAG = "mlflow.modelVersions"
ALSO = ("candidate", "dataset", "judge_model", "model_id", "supplier")  # tags of the run
PROMPT = ("prompt_name", "prompt_version")
COMMIT = "mlflow.source.git.commit"
IDENTITY = "identity."  # params of the run: Ollama's digest, Gemini's version, …
HASHES = {
    "fingerprint": "model, prompts, options and code",
    "dataset_sha256": "dataset",
    "judge_hash": "judge",
    "price_hash": "price",
}


def ensure_registered(client: MlflowClient, evidence: Evidence) -> tuple[ModelVersion, bool]:
    """The version made from this evidence, and whether it was made just now.

    Raises BusyError where others keep registering the same for half a minute, and InputError where
    the logged model was deleted.
    """
    name = evidence.tags["registered_name"]
    held = find_version(client, name, evidence)
    if held is not None:
        return held, False
    _ensure_name(client, name)
    with turn(client, name, f"register.{evidence.key}"):
        held = find_version(client, name, evidence)  # another process may have been faster
        return (held, False) if held is not None else (_create(client, name, evidence), True)


def _ensure_name(client: MlflowClient, name: str) -> None:
    if client.search_registered_models(f"name = '{name}'"):
        return
    try:
        client.create_registered_model(name, description="Candidates of LLMFlowLab; see its tags.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # made since we looked
            raise


def _create(client: MlflowClient, name: str, evidence: Evidence) -> ModelVersion:
    model_id = evidence.tags["model_id"]
    _refuse_gone(client, evidence)
    made = client.create_model_version(
        name,
        source=f"models:/{model_id}",
        run_id=evidence.run.info.run_id,
        tags=tags_of(evidence),
        description=describe(evidence),
        model_id=model_id,
    )
    _link(client, model_id, made)
    return made


def _refuse_gone(client: MlflowClient, evidence: Evidence) -> None:
    try:
        client.get_logged_model(evidence.tags["model_id"])
    except MlflowException as error:
        if error.error_code != GONE:
            raise
        told = f"{evidence.candidate}: the model that was evaluated is gone ({error.message})"
        raise InputError(f"{told}. Run `mlflow run . -e evaluate` for it first.") from error


def _link(client: MlflowClient, model_id: str, version: ModelVersion) -> None:
    """Let the logged model's page lead to its versions; on SQLite MLflow leaves that out."""
    held = json.loads(client.get_logged_model(model_id).tags.get(VERSIONS_TAG, "[]"))
    link = {"name": version.name, "version": version.version}
    if link not in held:
        client.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps([*held, link])})


def tags_of(evidence: Evidence) -> dict[str, str]:
    """Evidence, identity of the model, git commit, and each headline with its 95 % interval."""
    tags = {name: evidence.tags.get(name, "none") for name in EVIDENCE}
    tags |= {name: evidence.tags[name] for name in (*ALSO, *PROMPT) if name in evidence.tags}
    tags |= {"evidence": evidence.key, "run_id": evidence.run.info.run_id}
    tags |= {"model_name": evidence.run.data.params["model_name"]} | _identity(evidence)
    if COMMIT in evidence.tags:
        tags["git_commit"] = evidence.tags[COMMIT]
    return tags | {metric: told for metric, _, told in _headlines(evidence)}


def describe(evidence: Evidence) -> str:
    """What a person reads on the version's page, in Markdown."""
    tags, metrics, run_id = evidence.tags, evidence.metrics, evidence.run.info.run_id
    model = f"**{evidence.run.data.params['model_name']}** by {tags['supplier']}"
    judge = tags.get("judge_model", "none")
    judged = "no judge" if judge == "none" else f"the judge `{judge}`"
    hashes = {what: tags.get(name, "none") for name, what in HASHES.items()}
    facts = _identity(evidence) | {"git commit": tags.get(COMMIT, "unknown")} | hashes
    return "\n".join(
        [
            f"{model} as candidate `{evidence.candidate}`, evaluated on `{tags['dataset']}` "
            f"({metrics['rows']:.0f} rows) with {judged} in run `{run_id}`"
            f"{_prompt_link(evidence)}.",
            "",
            markdown_table(
                ["measured", "mean [95 % interval]"],
                [[heading, told] for _, heading, told in _headlines(evidence)],
            ),
            "",
            *(f"- {what}: `{value}`" for what, value in facts.items()),
        ]
    )


def _prompt_link(evidence: Evidence) -> str:
    """A link in the UI: MLflow itself shows the prompt on run and logged model alone."""
    name, version = (evidence.tags.get(key) for key in PROMPT)
    page = f"#/experiments/{evidence.run.info.experiment_id}/prompts/{name}"
    link = f"[{name} version {version}]({page}?promptVersion={version})"
    return f", with the system prompt {link}" if name else ""


def _identity(evidence: Evidence) -> dict[str, str]:
    params = evidence.run.data.params
    return {name: value for name, value in params.items() if name.startswith(IDENTITY)}


def _headlines(evidence: Evidence) -> list[tuple[str, str, str]]:
    """(metric, heading, value), as the leaderboard has them."""
    board = board_of_evidence("", [evidence], "rows")
    cells = board.rows()[0][-len(board.columns()) :]
    return [
        (m, heading, cell) for (m, heading, _), cell in zip(board.columns(), cells, strict=True)
    ]
