"""`promote` as a command: the alias goes to the best version that holds the gate, or nowhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from mlflow import MlflowClient

from steps.core import registry
from steps.promote import main as promote
from steps.register import main as register
from tests.steps.conftest import KNOWLEDGE, ConfigWriter, CopyRun, baseline, invoke, versions_of

RECALL = [{"metric": "recall", "min": 0.5}]
GATES = {"staging": RECALL, "production": [*RECALL, {"metric": "error_rate", "max": 0}]}
Promote = Callable[..., Result]


@pytest.fixture
def run_promote(
    client: MlflowClient, write_config: ConfigWriter, questions: Path, tmp_path: Path
) -> Promote:
    """Registers what was evaluated, unless told, then promotes; keywords are options."""

    def run(gates: object = GATES, registers: bool = True, **options: object) -> Result:
        candidates = [baseline(name, tmp_path) for name in KNOWLEDGE]
        config = write_config(*candidates, gates=gates, rank_by="recall")
        if registers:
            registered = invoke(register, config, data=questions)
            assert registered.exit_code == 0, registered.output
        return invoke(promote, config, data=questions, **options)

    return run


def held(client: MlflowClient, name: str, alias: str = "staging") -> str | None:
    """The candidate that has an alias."""
    holder = registry.holder(client, name, alias)
    return holder.tags["candidate"] if holder else None


def test_the_best_that_holds_the_gate_wins(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, run_promote: Promote
) -> None:
    copy_run("good", recall=0.7)
    copy_run("poor", recall=0.6)
    done = run_promote()
    assert done.exit_code == 0, done.output
    assert held(client, registered_name) == "good"
    assert f"models:/{registered_name}@staging is version" in done.output


def test_the_best_by_rank_is_passed_over_where_it_fails_another_gate(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, run_promote: Promote
) -> None:
    copy_run("good", recall=0.9, error_rate=0.5)
    copy_run("poor", recall=0.6, error_rate=0.0)
    done = run_promote({"staging": GATES["production"]})
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "verdict: pass"
    assert held(client, registered_name) == "poor"


def test_a_better_version_takes_alias_and_stage_over(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, run_promote: Promote
) -> None:
    copy_run("poor", recall=0.6)
    assert run_promote().exit_code == 0
    copy_run("good", recall=0.9)
    done = run_promote()
    assert done.exit_code == 0, done.output
    assert "was version 1" in done.output
    assert held(client, registered_name) == "good"
    stages = [v.current_stage for v in versions_of(client, registered_name)]
    assert stages == ["Archived", "Staging"]


def test_promoting_again_moves_nothing(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, run_promote: Promote
) -> None:
    copy_run("good", recall=0.9)
    assert [run_promote().exit_code for _ in range(2)] == [0, 0]
    (version,) = versions_of(client, registered_name)
    assert version.current_stage == "Staging"
    assert client.get_registered_model(registered_name).aliases == {"staging": version.version}


@pytest.mark.parametrize(
    ("metrics", "value", "verdict", "code"),
    [
        ({"recall": 0.49}, "0.49", "fail", 2),
        ({}, "not measured", "not enough evidence", 3),
    ],
)
def test_a_gate_that_does_not_hold_leaves_the_holder(
    client: MlflowClient,
    copy_run: CopyRun,
    registered_name: str,
    run_promote: Promote,
    metrics: dict[str, float],
    value: str,
    verdict: str,
    code: int,
) -> None:
    copy_run("good", recall=0.9)
    assert run_promote().exit_code == 0
    copy_run("good", {"price_hash": "another"}, **metrics)
    done = run_promote(models="good")
    assert done.exit_code == code, done.output
    row = next(line for line in done.output.splitlines() if " recall " in line)
    assert value in row
    assert "at least 0.5" in row
    assert verdict in row.lower()
    assert "nothing was moved" in done.output
    assert done.output.splitlines()[-1] == f"verdict: {verdict}"
    assert registry.holder(client, registered_name, "staging").version == 1


def test_one_name_that_fails_makes_the_exit_code_2_and_the_other_is_promoted(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, run_promote: Promote
) -> None:
    copy_run("good", recall=0.9)
    copy_run("poor", {"registered_name": f"{registered_name}_poor"}, recall=0.1)
    assert run_promote().exit_code == 2
    assert held(client, registered_name) == "good"
    assert held(client, f"{registered_name}_poor") is None


def test_what_was_evaluated_since_it_was_registered_must_be_registered(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, run_promote: Promote
) -> None:
    copy_run("poor", recall=0.6)
    assert run_promote().exit_code == 0
    copy_run("poor", {"price_hash": "another"}, recall=0.9)
    done = run_promote(registers=False)
    assert done.exit_code == 1
    assert "poor: not registered; run `mlflow run . -e register` first" in done.output
    assert registry.holder(client, registered_name, "staging").version == 1


@pytest.mark.parametrize(
    ("gates", "alias"), [(GATES, "champion"), ({}, "staging"), ({"staging": []}, "staging")]
)
def test_an_alias_without_a_gate_is_refused(
    client: MlflowClient,
    copy_run: CopyRun,
    registered_name: str,
    run_promote: Promote,
    gates: object,
    alias: str,
) -> None:
    copy_run("good", recall=0.9)
    done = run_promote(gates, alias=alias)
    assert done.exit_code == 1
    assert f"no gates for '{alias}'" in done.output
    assert held(client, registered_name, alias) is None


def test_evidence_of_other_rows_promotes_nothing(
    client: MlflowClient, copy_run: CopyRun, registered_name: str, run_promote: Promote
) -> None:
    copy_run("good", recall=0.9)
    done = run_promote(limit=1)
    assert done.exit_code == 1
    assert "not evaluated on capitals" in done.output
    assert held(client, registered_name) is None
