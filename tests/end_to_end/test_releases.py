"""Releases from two machines that share nothing but a tracking server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from mlflow import MlflowClient

from steps.core.releases import ledger
from steps.core.releases.ledger import Ledger
from tests.end_to_end.lab import ROOT, Lab

NAME = "llm_baseline_chat"
LIMIT = ("--limit", "12")
ROUNDS = 6
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Lab(tmp_path_factory.mktemp("server"), {}).ui() as url:
        yield url


@pytest.fixture(scope="module")
def machines(address: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Lab]:
    """Two folders, each with a config and a journal of its own; the first has evaluated."""
    made = []
    for folder in (tmp_path_factory.mktemp("machine") for _ in range(2)):
        (folder / "config.yaml").write_text(json.dumps(_config()))  # JSON is YAML
        made.append(Lab(folder, {"MLFLOW_TRACKING_URI": address}))
    done(made[0].step("evaluate", *LIMIT))
    return made[0], made[1]


def _config() -> dict[str, Any]:
    """Three candidates of one registered name, which hold an easy gate."""
    own = {"provider": "baseline", "model": "bm25", "registered_name": NAME}
    knowledge = str(ROOT / "eval_data" / "knowledge.md")
    options = [{"knowledge": knowledge, "sentences": n} for n in (1, 2, 3)]
    listed = [own | {"name": f"c{i}", "options": o} for i, o in enumerate(options, start=1)]
    gate = [{"metric": "error_rate", "max": 0}]
    return {"candidates": listed, "gates": {"staging": gate, "production": gate}}


@pytest.fixture(scope="module")
def registered(machines: tuple[Lab, Lab]) -> list[Done]:
    """What `register` said on both machines, started together."""
    return together(machines, ("register", *LIMIT), ("register", *LIMIT))


@pytest.fixture
def client(address: str) -> MlflowClient:
    return MlflowClient(address)


def done(process: Done) -> str:
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def together(machines: tuple[Lab, Lab], *steps: tuple[str, ...]) -> list[Done]:
    with ThreadPoolExecutor() as pool:
        started = [pool.submit(lab.step, *step) for lab, step in zip(machines, steps, strict=True)]
        return [one.result() for one in started]


def consistent(client: MlflowClient, alias: str = "staging") -> Ledger:
    """The ledger, whose entries follow from each other and end at the holder."""
    kept = ledger.read(client, NAME, alias)
    assert not kept.astray
    assert kept.edited() == []
    assert all(one.after == after.before for one, after in pairwise(kept.moves))
    assert not [tag for tag in client.get_registered_model(NAME).tags if tag.startswith("claim.")]
    return kept


def test_the_same_evidence_registered_on_two_machines_at_once_is_one_version(
    client: MlflowClient, registered: list[Done]
) -> None:
    told = "".join(done(process) for process in registered)
    assert told.count(": registered as") == told.count("already registered") == 3
    versions = client.search_model_versions(f"name = '{NAME}'")
    assert sorted(int(version.version) for version in versions) == [1, 2, 3]
    assert {version.tags["candidate"] for version in versions} == {"c1", "c2", "c3"}


def test_of_two_that_move_an_alias_at_once_one_wins_and_the_other_is_told(
    address: str, machines: tuple[Lab, Lab], registered: list[Done], client: MlflowClient
) -> None:
    before = len(consistent(client).moves)
    with ExitStack() as stack:
        movers = [stack.enter_context(_mover(lab, n)) for n, lab in enumerate(machines, start=1)]
        for n in range(1, ROUNDS + 1):
            assert _say(movers, "look") == ["seen", "seen"]
            won, lost = sorted(_say(movers, "go"), reverse=True)
            kept = consistent(client)
            assert (won, len(kept.moves)) == ("won", before + n)
            assert lost.startswith(f"lost: models:/{NAME}@staging was moved in the meantime")
            assert f"by {kept.moves[-1].who}" in lost
            assert f"it is version {kept.holder} now" in lost


def _mover(lab: Lab, version: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.end_to_end.moving_process", NAME, str(version)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=ROOT, env=lab.environment(), stdin=pipe, stdout=pipe, text=True
    )


def _say(movers: "list[subprocess.Popen[str]]", order: str) -> list[str]:
    """Give all the same order, then hear what each has to say."""
    for mover in movers:
        assert mover.stdin is not None
        mover.stdin.write(f"{order}\n")
        mover.stdin.flush()
    return [mover.stdout.readline().strip() for mover in movers if mover.stdout is not None]


def test_two_promotes_started_together_leave_alias_and_ledger_in_agreement(
    machines: tuple[Lab, Lab], registered: list[Done], client: MlflowClient
) -> None:
    before = len(consistent(client).moves)
    steps = [("promote", *LIMIT, "--version", str(n), "--reason", f"race {n}") for n in (2, 3)]
    told = together(machines, *steps)
    for process in told:
        assert process.returncode == 0 or "in the meantime" in process.stderr
    printed = "".join(process.stdout for process in told)
    moved = len(re.findall(r"@staging is version \d \((?:was|had)", printed))
    assert moved >= 1
    assert len(consistent(client).moves) == before + moved


def test_promote_on_one_machine_roll_back_on_the_other_and_read_it_on_both(
    machines: tuple[Lab, Lab], registered: list[Done], client: MlflowClient
) -> None:
    one, two = machines
    forced = ("--alias", "production", "--force", "true")
    for lab, version in ((one, "1"), (two, "2"), (one, "3")):
        done(lab.step("promote", *LIMIT, *forced, "--version", version, "--reason", f"v{version}"))
    for lab, left in ((two, 2), (one, 1)):
        told = done(lab.step("rollback", "--reason", "worse answers"))
        assert f"models:/{NAME}@production is version {left} (was version {left + 1})" in told
    kept = consistent(client, "production")
    assert [(move.before, move.after) for move in kept.moves] == [
        (None, 1),
        (1, 2),
        (2, 3),
        (3, 2),
        (2, 1),
    ]
    histories = [done(lab.step("history", "--alias", "production")) for lab in machines]
    assert histories[0] == histories[1]
    assert all(f" {each} " in histories[0] for each in ("v1", "v2", "v3", "worse answers"))
    stages = {n: client.get_model_version(NAME, str(n)).current_stage for n in (1, 3)}
    assert stages[1] == "Production"


def test_mlflow_run_takes_a_reason_of_many_words(
    machines: tuple[Lab, Lab], registered: list[Done], client: MlflowClient
) -> None:
    reason = "it's \"$(id)\" & better; 'quoted' – ñ"
    given = {"alias": "staging", "force": "true", "reason": reason, "limit": "12", "version": "1"}
    client.set_registered_model_alias(NAME, "staging", "2")  # by hand: not where the ledger left it
    told = machines[0].mlflow_run("promote", **given)
    assert told.returncode == 0, told.stdout + told.stderr
    kept = consistent(client)
    assert (kept.holder, kept.moves[-1].reason) == (1, reason)
