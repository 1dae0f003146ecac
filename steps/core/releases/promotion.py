"""Which version is proposed for an alias, and what is said of it before the alias moves."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llm_models.errors import InputError
from steps.core import registry
from steps.core.config import Candidate, Config
from steps.core.dataset import Dataset
from steps.core.registry import Evidence
from steps.core.releases import gates, ledger, proof
from steps.core.releases.gates import Check
from steps.core.releases.ledger import Ledger
from steps.core.releases.order import Order
from steps.core.releases.rivals import measured, rival
from steps.core.verdict import Verdict, worst


@dataclass(frozen=True)
class Terms:
    """What holds for every version of one promotion."""

    order: Order
    config: Config
    dataset: Dataset
    gate_sha256: str  # of the config file
    judge_hash: str | None  # of the config's judge; None where it cannot be asked

    def params(self) -> dict[str, str]:
        order = self.order
        asked = {"alias": order.alias, "mode": order.mode, "force": str(order.force).lower()}
        named = {"name": order.name or "", "version": str(order.version or "")}
        given = {"data": self.dataset.name, "reason": order.reason, "gate_sha256": self.gate_sha256}
        return asked | named | given


def terms(file: Path, config: Config, dataset: Dataset, order: Order) -> Terms:
    """`file` is the config's."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()  # as sha256sum tells it
    return Terms(order, config, dataset, sha256, proof.judge_now(config))


@dataclass(frozen=True)
class Trial:
    """One version before the gate; `refusal` tells why it does not even come to that.

    `verdict` is None where the gate is disabled and nothing else speaks against the version.
    """

    version: ModelVersion | None
    candidate: str
    evidence: Evidence | None = None
    checks: Sequence[Check] = ()
    verdict: Verdict | None = None
    refusal: str | None = None

    @property
    def number(self) -> int | None:
        return int(self.version.version) if self.version else None

    @property
    def passed(self) -> bool:
        return self.refusal is None and self.verdict in (Verdict.PASS, None)


def proposed(
    client: MlflowClient, experiment_id: str, terms: Terms, chosen: list[Candidate], spec: str
) -> dict[str, list[Trial]]:
    """By registered name, best first: for production what holds staging, else what was evaluated
    last; or the one version that was asked for. Raises InputError where there is none.
    """
    order = terms.order
    names = list(dict.fromkeys(c.registered_name for c in chosen))
    if order.version is not None:
        return _numbered(client, names, order.name, order.version)
    if order.name is not None and order.name not in names:
        raise InputError(f"name: no chosen candidate is a '{order.name}'; {', '.join(names)}")
    wanted = [c for c in chosen if order.name in (None, c.registered_name)]
    standing = _standing(client, wanted) if order.alias == "production" else {}
    others = [c.name for c in wanted if c.registered_name not in standing]
    groups = {n: [Trial(version, version.tags["candidate"])] for n, version in standing.items()}
    enough = not others or (standing and spec.strip() == "available")
    find = registry.latest_evidence if enough else partial(registry.require_evidence, spec=spec)
    floor = terms.config.min_coverage
    evidence = find(client, experiment_id, terms.dataset, others, min_coverage=floor)
    rank_by = terms.config.rank_by
    for one in sorted(evidence, key=lambda e: -e.metrics.get(rank_by, float("-inf"))):
        name = one.tags["registered_name"]
        trial = Trial(proof.find_version(client, name, one), one.candidate)
        groups.setdefault(name, []).append(trial)
    return groups


def _numbered(
    client: MlflowClient, names: list[str], name: str | None, number: int
) -> dict[str, list[Trial]]:
    if name is None and len(names) > 1:
        raise InputError(f"version: of which model? Give name as well, one of {', '.join(names)}")
    model = name or names[0]
    try:
        version = client.get_model_version(model, str(number))
    except MlflowException as error:
        raise InputError(f"version: {model} has no version {number} ({error.message})") from error
    return {model: [Trial(version, version.tags.get("candidate", "unknown"))]}


def _standing(client: MlflowClient, chosen: list[Candidate]) -> dict[str, ModelVersion]:
    """The versions of these candidates that hold staging."""
    holders = {
        name: registry.holder(client, name, "staging")
        for name in dict.fromkeys(c.registered_name for c in chosen)
    }
    names = {c.name for c in chosen}
    return {n: v for n, v in holders.items() if v and v.tags.get("candidate") in names}


def tried(
    client: MlflowClient, terms: Terms, trial: Trial, seen: Ledger, held: ModelVersion | None
) -> Trial:
    """The trial with what the gate says of it, or why it was refused."""
    version = trial.version
    if version is None:
        refusal = f"{trial.candidate}: not registered; run `mlflow run . -e register` first"
        return replace(trial, refusal=refusal)
    try:
        evidence = proof.own_evidence(client, version, terms.config.min_coverage)
        proof.refuse_other_dataset(evidence, terms.dataset)
        proof.refuse_other_judge(evidence, terms.config, terms.judge_hash)
        conditions = list(_conditions(client, terms, version, seen))
        if terms.order.takes_the_candidate:
            proof.refuse_other_candidate(evidence, terms.config)
        checks = _gate(client, terms, evidence, held)
    except InputError as error:
        return replace(trial, refusal=str(error))
    said = [one.verdict for one in (*conditions, *checks)]
    unchecked = terms.order.mode == "disabled" and set(said) <= {Verdict.PASS}
    verdict = None if unchecked else worst(said)
    return replace(trial, evidence=evidence, checks=[*conditions, *checks], verdict=verdict)


def _conditions(
    client: MlflowClient, terms: Terms, version: ModelVersion, seen: Ledger
) -> Iterator[Check]:
    """What must hold whatever the gate asks; only force overrides it."""
    number = int(version.version)
    absence = proof.absence(version)
    if absence and number != seen.holder:
        unsure = Verdict.NOT_ENOUGH_EVIDENCE
        yield Check("model", "is what was evaluated", "cannot be asked", unsure, absence)
    if terms.order.version is None and (back := seen.rolled_back(number)):
        note = f"rolled back by {back.who} ({back.reason}); version={number} takes it all the same"
        yield Check("rollback", "was not rolled back", "rolled back", Verdict.FAIL, note)
    if terms.order.alias == "production":
        known = number in ledger.read(client, version.name, "staging").held()
        verdict = Verdict.PASS if known else Verdict.FAIL
        note = "" if known else "promote it to staging first"
        yield Check("staging", "has held it", "yes" if known else "never", verdict, note)


def _gate(
    client: MlflowClient, terms: Terms, evidence: Evidence, held: ModelVersion | None
) -> list[Check]:
    if terms.order.mode == "disabled":
        return []
    compared = any(gate.max_regression is not None for gate in terms.order.gate)
    holder = rival(client, evidence, held) if compared else None
    return gates.check(terms.order.gate, measured(client, evidence), holder)
