"""What `promote` asks beside the gate's bounds, and what force, dry run and a disabled gate do."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.core.registry import Evidence
from steps.core.releases.versions import ensure_registered
from steps.evaluate import main as evaluate
from tests.servers.ollama import MODEL, OllamaServer, Reply
from tests.steps.conftest import ConfigWriter, CopyRun, baseline, invoke
from tests.steps.releases import STEPS, Desk, give_rows

HARD = {"staging": [{"metric": "recall", "min": 0.8}]}
PULLED = {"name": MODEL, "model": MODEL, "digest": "0" * 64}
NO_LOSS = {"staging": [{"metric": "recall/mean", "max_regression": 0.1}]}


def test_production_takes_what_holds_staging(copy_run: CopyRun, desk: Desk) -> None:
    copy_run("good", recall=0.9)
    desk.promoted(models="good")
    copy_run("poor", recall=0.95)  # newer and better, and never in staging
    desk.done("register")
    told = desk.done("promote", alias="production")
    assert f"good ({desk.name} version 1) for production" in told
    assert desk.holder("production") == 1


@pytest.mark.parametrize("mode", ["enabled", "disabled"])
def test_production_refuses_what_never_held_staging(
    copy_run: CopyRun, desk: Desk, mode: str
) -> None:
    copy_run("good", recall=0.9)
    desk.done("register")
    done = desk.run("promote", alias="production", mode=mode, reason="why not")
    assert done.exit_code == 2
    assert "staging: promote it to staging first" in done.output
    assert desk.holder("production") is None


def test_production_takes_by_number_what_once_held_staging(copy_run: CopyRun, desk: Desk) -> None:
    copy_run("poor", recall=0.6)
    desk.promoted()
    copy_run("good", recall=0.9)
    desk.promoted()
    assert desk.holder() == 2
    desk.done("promote", alias="production", version=1)
    assert desk.holder("production") == 1


@pytest.mark.parametrize(
    ("metrics", "gates", "verdict"),
    [({"recall": 0.6}, HARD, "fail"), ({}, None, "not enough evidence")],
)
def test_force_moves_it_and_the_ledger_keeps_verdict_and_reason(
    copy_run: CopyRun, desk: Desk, metrics: dict[str, float], gates: Any, verdict: str
) -> None:
    copy_run("good", **metrics)
    desk.done("register")
    told = desk.done("promote", gates, force="true", reason="the demo is at noon")
    assert "forced: the demo is at noon" in told
    assert "verdict: " not in told  # what decided was no gate
    (move,) = desk.ledger().moves
    assert (move.facts["verdict"], move.facts["forced"]) == (verdict, "true")
    assert move.reason == "the demo is at noon"


def test_force_goes_past_staging_but_not_without_a_reason(copy_run: CopyRun, desk: Desk) -> None:
    copy_run("good", recall=0.9)
    desk.done("register")
    refused = desk.run("promote", alias="production", force="true")
    assert refused.exit_code == 1
    assert "reason: tell why" in refused.output
    desk.done("promote", alias="production", force="true", reason="incident 7")
    assert desk.holder("production") == 1


def test_force_still_takes_one_that_passes_before_one_that_does_not(
    copy_run: CopyRun, desk: Desk
) -> None:
    gates = {"staging": [{"metric": "error_rate", "max": 0}]}
    copy_run("good", recall=0.9, error_rate=0.5)
    copy_run("poor", recall=0.6, error_rate=0)
    desk.done("register")
    told = desk.done("promote", gates, force="true", reason="just in case")
    assert told.splitlines()[-1] == "verdict: pass"
    assert desk.ledger().moves[0].facts["candidate"] == "poor"
    assert "forced" not in desk.ledger().moves[0].facts


@pytest.mark.parametrize("by", ["option", "config"])
@pytest.mark.parametrize(("recall", "code"), [(0.9, 0), (0.1, 2)])
def test_a_dry_run_tells_the_verdict_and_moves_nothing(
    copy_run: CopyRun, desk: Desk, by: str, recall: float, code: int
) -> None:
    copy_run("good", recall=recall)
    desk.done("register")
    asked: dict[str, Any] = {"mode": "dry_run"} if by == "option" else {}
    done = desk.run("promote", config={"gate_mode": "dry_run"} if by == "config" else None, **asked)
    assert done.exit_code == code
    assert ("would be version 1 (had no version); dry run" in done.output) is (code == 0)
    assert desk.holder() is None
    assert desk.ledger().moves == ()


def test_a_dry_run_of_force_tells_that_the_gate_would_be_overridden(
    copy_run: CopyRun, desk: Desk
) -> None:
    copy_run("good", recall=0.6)
    desk.done("register")
    told = desk.done("promote", HARD, mode="dry_run", force="true", reason="urgent")
    assert "would be version 1 (had no version, forced: urgent); dry run" in told
    assert desk.holder() is None


def test_a_disabled_gate_is_not_asked_and_that_is_written_down(
    copy_run: CopyRun, desk: Desk
) -> None:
    copy_run("good", recall=0.1)
    desk.done("register")
    assert desk.run("promote", mode="disabled").exit_code == 1  # without a reason
    told = desk.done("promote", config={"gate_mode": "disabled"})
    assert "verdict: " not in told
    (move,) = desk.ledger().moves
    assert (move.facts["verdict"], move.facts["mode"]) == ("not checked", "disabled")


def test_a_move_tells_who_when_why_by_which_gate_and_evidence(
    client: MlflowClient, copy_run: CopyRun, desk: Desk
) -> None:
    evidence = copy_run("good", recall=0.9)
    desk.promoted(reason="better answers")
    (move,) = desk.ledger().moves
    assert (move.action, move.before, move.after, move.reason) == (
        "promote",
        None,
        1,
        "better answers",
    )
    assert "@" in move.who
    config = (desk.folder / "config.yaml").read_bytes()
    assert move.facts["gate_sha256"] == hashlib.sha256(config).hexdigest()
    assert move.facts["evidence_run"] == evidence.info.run_id
    run = client.get_run(move.run)
    assert run.data.params["reason"] == "better answers"
    assert run.data.params["gate_sha256"] == move.facts["gate_sha256"]
    assert run.data.tags["verdict"] == "pass"
    assert {f.path for f in client.list_artifacts(move.run)} == {"promotion.json", "promotion.md"}
    told = json.loads(Path(client.download_artifacts(move.run, "promotion.json")).read_text())
    assert told[0]["moved"]["to"] == 1
    assert told[0]["tried"][0]["checks"][0]["verdict"] == "pass"


def test_the_alias_given_by_hand_gets_an_entry_when_the_gate_confirms_it(
    client: MlflowClient, copy_run: CopyRun, desk: Desk
) -> None:
    copy_run("good", recall=0.9)
    desk.done("register")
    client.set_registered_model_alias(desk.name, "staging", "1")
    desk.done("promote")
    desk.done("promote")
    (move,) = desk.ledger().moves
    assert (move.before, move.after) == (1, 1)


def test_what_was_rolled_back_comes_back_only_by_its_number(copy_run: CopyRun, desk: Desk) -> None:
    copy_run("poor", recall=0.6)
    desk.promoted()
    copy_run("good", recall=0.9)
    desk.promoted(models="good")
    desk.done("rollback", alias="staging", reason="rude answers")
    refused = desk.run("promote", models="good")
    assert (refused.exit_code, desk.holder()) == (2, 1)
    assert "(rude answers); version=2 takes it all the same" in refused.output
    desk.done("promote", version=2)
    assert desk.holder() == 2
    assert "(already)" in desk.done("promote", models="good")


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (12, 3), (40, 2)])
def test_a_regression_against_the_holder_is_paired_by_row(
    client: MlflowClient, copy_run: CopyRun, desk: Desk, lost: int, code: int
) -> None:
    give_rows(client, copy_run("poor", recall=0.6), [1.0] * 100, desk.folder)
    desk.promoted(NO_LOSS)
    give_rows(
        client, copy_run("good", recall=0.9), [0.0] * lost + [1.0] * (100 - lost), desk.folder
    )
    desk.done("register")
    done = desk.run("promote", NO_LOSS, models="good")
    assert done.exit_code == code, done.output
    assert f"{-lost / 100 or 0:+.3g} [" in done.output
    assert "loses at most 0.1 to version 1" in done.output
    assert desk.holder() == (2 if code == 0 else 1)


@pytest.mark.parametrize(
    ("tag", "unlike"),
    [("dataset_sha256", "the rows of the dataset"), ("judge_hash", "the judge")],
)
def test_a_holder_measured_otherwise_must_be_measured_as_well(
    client: MlflowClient, copy_run: CopyRun, desk: Desk, tag: str, unlike: str
) -> None:
    holder = copy_run("poor", {tag: "e" * 64, "judge_model": "none"}, recall=0.6)
    give_rows(client, holder, [1.0] * 50, desk.folder)
    held_by_hand(client, desk, holder)
    give_rows(client, copy_run("good", recall=0.9), [1.0] * 50, desk.folder)
    desk.done("register", models="good")
    refused = desk.run("promote", NO_LOSS, models="good")
    assert refused.exit_code == 3
    assert f"recall/mean: {unlike} differ: evaluate it as well" in refused.output
    assert "`mlflow run . -e evaluate -P data=capitals -P models=poor`" in refused.output
    give_rows(client, copy_run("poor", recall=0.6), [1.0] * 50, desk.folder)
    assert "+0 [" in desk.done("promote", NO_LOSS, models="good")


def held_by_hand(client: MlflowClient, desk: Desk, run: Run) -> None:
    """Version 1, made from a run whatever its dataset, with staging."""
    ensure_registered(client, Evidence(run))
    client.set_registered_model_alias(desk.name, "staging", "1")


def own_model(client: MlflowClient, run: Run) -> dict[str, str]:
    """The tag of a run whose logged model no other test needs."""
    tags = {"fingerprint": run.data.tags["fingerprint"]}
    return {"model_id": client.create_logged_model(run.info.experiment_id, tags=tags).model_id}


def lose(client: MlflowClient, run: Run, what: str) -> None:
    if what == "run":
        client.delete_run(run.info.run_id)
    else:
        client.delete_logged_model(run.data.tags["model_id"])


@pytest.mark.parametrize("lost", ["run", "model"])
def test_a_holder_whose_evidence_was_deleted_is_compared_once_it_is_evaluated_again(
    client: MlflowClient, copy_run: CopyRun, desk: Desk, lost: str
) -> None:
    holder = copy_run("poor", own_model(client, copy_run("poor")), recall=0.6)
    held_by_hand(client, desk, holder)
    lose(client, holder, lost)
    give_rows(client, copy_run("good", recall=0.9), [1.0] * 50, desk.folder)
    desk.done("register", models="good")
    refused = desk.run("promote", NO_LOSS, models="good")
    assert (refused.exit_code, "cannot be compared" in refused.output) == (3, True)
    give_rows(client, copy_run("poor", recall=0.6), [1.0] * 50, desk.folder)
    assert "+0 [" in desk.done("promote", NO_LOSS, models="good")


def test_a_holder_whose_rows_are_gone_is_no_evidence_and_force_goes_past_it(
    client: MlflowClient, copy_run: CopyRun, desk: Desk
) -> None:
    copy_run("poor", recall=0.6)  # without predictions
    desk.promoted()
    give_rows(client, copy_run("good", recall=0.9), [1.0] * 50, desk.folder)
    desk.done("register")
    refused = desk.run("promote", NO_LOSS, models="good")
    assert refused.exit_code == 3
    assert "poor: predictions.parquet of run " in refused.output
    desk.done("promote", NO_LOSS, models="good", force="true", reason="its artifacts are lost")
    assert desk.holder() == 2


@pytest.mark.parametrize("lost", ["run", "model"])
def test_what_lost_its_evidence_is_promoted_once_it_is_evaluated_and_registered_again(
    client: MlflowClient, copy_run: CopyRun, desk: Desk, lost: str
) -> None:
    run = copy_run("good", own_model(client, copy_run("good")), recall=0.9)
    desk.done("register")
    lose(client, run, lost)
    refused = desk.run("promote", version=1)
    assert (refused.exit_code, "-e register` for it first" in refused.output) == (1, True)
    copy_run("good", recall=0.9)
    assert f"registered as {desk.name} version 2" in desk.promoted()
    assert desk.holder() == 2


def test_a_holder_that_is_the_same_model_cannot_be_lost_to(copy_run: CopyRun, desk: Desk) -> None:
    copy_run("good", recall=0.9)
    desk.promoted()
    copy_run("good", {"price_hash": "another"}, recall=0.9)
    desk.done("register")
    assert "the same model" in desk.done("promote", NO_LOSS)
    assert desk.holder() == 2


@pytest.mark.parametrize("tag", ["fingerprint", "dataset_sha256", "judge_hash"])
def test_evidence_that_is_not_the_versions_own_is_refused_even_by_force(
    client: MlflowClient, copy_run: CopyRun, desk: Desk, tag: str
) -> None:
    copy_run("good", recall=0.9)
    desk.done("register")
    client.set_model_version_tag(desk.name, "1", tag, "f" * 64)
    done = desk.run("promote", version=1, force="true", reason="why not")
    assert done.exit_code == 1
    assert f"{desk.name} version 1 and its evaluation, run " in done.output
    assert f"differ in: {tag}" in done.output
    assert desk.holder() is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"version": 1, "limit": 1}, "not on capitals (1 rows"),
        ({"version": 7}, "has no version 7"),
        ({"name": "llm_nobody"}, "no chosen candidate is a 'llm_nobody'"),
        ({"name": "llm_nobody", "version": 1}, "llm_nobody has no version 1"),
    ],
)
def test_what_was_not_evaluated_so_is_refused(
    copy_run: CopyRun, desk: Desk, options: dict[str, Any], told: str
) -> None:
    copy_run("good", recall=0.9)
    desk.promoted()
    done = desk.run("promote", **options)
    assert (done.exit_code, desk.holder()) == (1, 1)
    assert told in done.output


def test_evidence_by_another_judge_is_refused(copy_run: CopyRun, desk: Desk) -> None:
    copy_run("good", {"judge_hash": "a" * 64, "judge_model": "ollama:/judge:8b"}, recall=0.9)
    desk.done("register")
    done = desk.run("promote")
    assert done.exit_code == 1
    assert "good was judged by ollama:/judge:8b" in done.output


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda client, desk, run: client.delete_run(run.info.run_id), "was deleted"),
        (
            lambda client, desk, run: client.delete_model_version_tag(desk.name, "1", "run_id"),
            "was not made by `register`",
        ),
    ],
    ids=["run deleted", "no run"],
)
def test_a_version_without_its_evidence_is_refused(
    client: MlflowClient, copy_run: CopyRun, desk: Desk, change: Any, told: str
) -> None:
    run = copy_run("good", recall=0.9)
    desk.done("register")
    change(client, desk, run)
    done = desk.run("promote", version=1)
    assert (done.exit_code, desk.holder()) == (1, None)
    assert told in done.output


@pytest.fixture
def ollama() -> Iterator[OllamaServer]:
    with OllamaServer(answer=lambda messages: "Paris, Madrid") as server:
        yield server


@pytest.fixture
def evaluated(
    ollama: OllamaServer, write_config: ConfigWriter, questions: Path, registered_name: str
) -> Path:
    """The config of an Ollama candidate that is evaluated and registered."""
    own = {"base_url": ollama.url, "registered_name": registered_name, "model": MODEL}
    config = write_config(own, gates={"staging": [{"metric": "contains_facts/mean", "min": 1}]})
    for step in (evaluate, STEPS["register"]):
        done = invoke(step, config, data=questions)
        assert done.exit_code == 0, done.output
    return config


def test_an_ollama_tag_that_still_is_the_evaluated_one_is_promoted(
    client: MlflowClient, evaluated: Path, questions: Path, registered_name: str
) -> None:
    done = invoke(STEPS["promote"], evaluated, data=questions)
    assert done.exit_code == 0, done.output
    version = client.get_model_version_by_alias(registered_name, "staging")
    assert len(version.tags["identity.digest"]) == 64


@pytest.mark.parametrize("force", ["false", "true"])
def test_an_ollama_tag_pulled_anew_is_refused_even_by_force(
    ollama: OllamaServer, evaluated: Path, questions: Path, force: str
) -> None:
    ollama.fault(*[Reply(body={"models": [PULLED]})] * 2, path="/api/tags")
    done = invoke(STEPS["promote"], evaluated, data=questions, force=force, reason="why not")
    assert done.exit_code == 1
    assert f"{MODEL} is no longer the one that was evaluated; digest was " in done.output
    assert f"is {'0' * 64}" in done.output


def test_a_tag_pulled_anew_is_refused_where_it_has_the_alias_already(
    ollama: OllamaServer, evaluated: Path, questions: Path
) -> None:
    assert invoke(STEPS["promote"], evaluated, data=questions).exit_code == 0
    ollama.fault(*[Reply(body={"models": [PULLED]})] * 2, path="/api/tags")
    again = invoke(STEPS["promote"], evaluated, data=questions)
    assert again.exit_code == 1
    assert f"{MODEL} is no longer the one that was evaluated" in again.output


@pytest.mark.parametrize("models", ["one", "available"])
def test_a_candidate_that_changed_since_its_evaluation_goes_to_staging_only_by_number(
    evaluated: Path, questions: Path, models: str
) -> None:
    told = json.loads(evaluated.read_text())
    told["candidates"][0]["system"] = "Answer like a pirate."
    evaluated.write_text(json.dumps(told))
    asked = {"data": questions, "models": models}
    stale = invoke(STEPS["promote"], evaluated, **asked)
    assert stale.exit_code == 1
    assert "one has changed since it was evaluated: its prompt, options or code" in stale.output
    assert invoke(STEPS["promote"], evaluated, version=1, **asked).exit_code == 0
    gates = {"production": [{"metric": "error_rate", "max": 0}]}
    evaluated.write_text(json.dumps(told | {"gates": gates}))
    assert invoke(STEPS["promote"], evaluated, alias="production", **asked).exit_code == 0


@pytest.mark.parametrize("models", ["one", "available"])
def test_with_ollama_away_only_force_promotes(
    ollama: OllamaServer, evaluated: Path, questions: Path, models: str
) -> None:
    asked = {"data": questions, "models": models}
    down = [Reply(status=503, body={"error": "starting"})] * 2
    ollama.fault(*down, path="/api/tags")
    away = invoke(STEPS["promote"], evaluated, **asked)
    assert away.exit_code == 3, away.output
    assert "is what was evaluated" in away.output
    assert "model: " in away.output
    ollama.fault(*down, path="/api/tags")
    forced = invoke(STEPS["promote"], evaluated, force="true", reason="it is back soon", **asked)
    assert forced.exit_code == 0, forced.output


def test_what_has_the_alias_already_need_not_be_asked(
    ollama: OllamaServer, evaluated: Path, questions: Path
) -> None:
    assert invoke(STEPS["promote"], evaluated, data=questions).exit_code == 0
    ollama.fault(*[Reply(status=503, body={})] * 2, path="/api/tags")
    again = invoke(STEPS["promote"], evaluated, data=questions)
    assert (again.exit_code, "(already)" in again.output) == (0, True)


def test_of_what_is_available_the_absent_are_left_out(
    ollama: OllamaServer,
    client: MlflowClient,
    write_config: ConfigWriter,
    questions: Path,
    registered_name: str,
    tmp_path: Path,
) -> None:
    gates = {"staging": [{"metric": "error_rate", "max": 0}]}
    away = {"base_url": ollama.url, "registered_name": f"{registered_name}_away", "model": MODEL}
    here = baseline("good", tmp_path, registered_name=registered_name)
    config = write_config(away, here, gates=gates)
    for step in (evaluate, STEPS["register"]):
        assert invoke(step, config, data=questions).exit_code == 0
    ollama.fault(Reply(status=503, body={}), path="/api/tags")
    done = invoke(STEPS["promote"], config, data=questions)
    assert done.exit_code == 0, done.output
    assert "one skipped: " in done.output
    assert client.get_registered_model(f"{registered_name}_away").aliases == {}


def test_a_rollback_to_a_model_that_changed_is_done_and_told(
    client: MlflowClient,
    ollama: OllamaServer,
    evaluated: Path,
    questions: Path,
    registered_name: str,
) -> None:
    assert invoke(STEPS["promote"], evaluated, data=questions).exit_code == 0
    client.delete_registered_model_alias(registered_name, "staging")
    ollama.fault(Reply(body={"models": [PULLED]}), path="/api/tags")
    done = invoke(STEPS["rollback"], evaluated, alias="staging", reason="deleted by mistake")
    assert done.exit_code == 0, done.output
    assert f"models:/{registered_name}@staging is version 1" in done.output
    assert f"careful: {registered_name} version 1: {MODEL} is no longer the one" in done.output
