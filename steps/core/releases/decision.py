"""One registered name of a promotion: its versions tried in turn, and the alias moved, or not."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from steps.core.releases import ledger, moves
from steps.core.releases.claims import BusyError
from steps.core.releases.ledger import Ledger, Move
from steps.core.releases.promotion import Terms, Trial, tried
from steps.core.tabular import Cells, markdown_table, plain_table
from steps.core.verdict import Verdict, best

HEADERS = ("gate", "value", "bound", "verdict")


@dataclass(frozen=True)
class Decision:
    """What became of one registered name; `verdict` is None where no gate decided."""

    seen: Ledger  # before
    trials: Sequence[Trial]
    verdict: Verdict | None
    said: str  # in one line
    move: Move | None = None
    refusal: str | None = None

    def text(self) -> str:
        """For a terminal."""
        return self._told(plain_table)

    def markdown(self) -> str:
        return self._told(markdown_table)

    def _told(self, table: Callable[[Sequence[str], Cells], str]) -> str:
        parts = []
        for trial in self.trials:
            head = f"{trial.candidate} ({_named(self.seen, trial)}) for {self.seen.alias}:"
            body = table(HEADERS, [check.cells() for check in trial.checks])
            notes = dict.fromkeys(f"{c.metric}: {c.note}" for c in trial.checks if c.note)
            parts.append("\n".join([head, "", trial.refusal or body, *notes]))
        return "\n\n".join([*parts, self.said])

    def plain(self) -> dict[str, Any]:
        """For promotion.json."""
        return {
            "name": self.seen.name,
            "alias": self.seen.alias,
            "held_by": self.seen.holder,
            "verdict": self.verdict,
            "said": self.said,
            "moved": self.move.plain() if self.move else None,
            "tried": [_plain(trial) for trial in self.trials],
        }


def _named(seen: Ledger, trial: Trial) -> str:
    return f"{seen.name} version {trial.number}" if trial.version else seen.name


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "candidate": trial.candidate,
        "version": trial.number,
        "run": trial.evidence.run.info.run_id if trial.evidence else None,
        "verdict": trial.verdict,
        "refusal": trial.refusal,
        "checks": [asdict(check) for check in trial.checks],
    }


def decide(
    client: MlflowClient, terms: Terms, run: Run, name: str, proposed: Sequence[Trial]
) -> Decision:
    """Try the versions best first, and give the alias to the first that passes.

    With force, where none passes, to the first that is not refused.
    """
    seen = ledger.read(client, name, terms.order.alias)
    held = client.get_model_version(name, str(seen.holder)) if seen.holder else None
    trials: list[Trial] = []
    for trial in proposed:
        trials.append(tried(client, terms, trial, seen, held))
        if trials[-1].passed:
            break
    passed = [trial for trial in trials if trial.passed]
    admitted = [trial for trial in trials if trial.refusal is None]
    chosen = next(iter(passed or (admitted if terms.order.force else [])), None)
    if chosen is None:
        return _kept(seen, trials)
    verdict = chosen.verdict if chosen.passed else None
    return _given(client, terms, run, Decision(seen, trials, verdict, ""), chosen)


def _kept(seen: Ledger, trials: Sequence[Trial]) -> Decision:
    """Nothing moves: the verdict is that of the version that came nearest."""
    verdicts = [t.verdict for t in trials if t.verdict is not None]
    refusals = [t.refusal for t in trials if t.refusal is not None]
    said = f"{seen.name}: no version holds the gate for {seen.alias}; nothing was moved"
    if not verdicts:
        return Decision(seen, trials, None, said, refusal="\n".join(refusals))
    return Decision(seen, trials, best(verdicts), said)


def _given(
    client: MlflowClient, terms: Terms, run: Run, decision: Decision, chosen: Trial
) -> Decision:
    seen, version = decision.seen, chosen.number
    uri = f"models:/{seen.name}@{seen.alias}"
    if seen.holder == seen.last == version:
        return replace(decision, said=f"{uri} is version {version} (already)")
    forced = "" if chosen.passed else f", forced: {terms.order.reason}"
    was = f"was version {seen.holder}{forced}" if seen.holder else f"had no version{forced}"
    if terms.order.mode == "dry_run":
        said = f"{uri} would be version {version} ({was}); dry run, nothing was moved"
        return replace(decision, said=said)
    try:
        done = moves.move(client, seen, _wanted(terms, run, seen, chosen))
    except (moves.MovedError, BusyError) as error:
        return replace(decision, verdict=None, said=str(error), refusal=str(error))
    said = f"{uri} is version {version} ({was})"
    return replace(decision, said=said, move=done.moves[-1])


def _wanted(terms: Terms, run: Run, seen: Ledger, chosen: Trial) -> Move:
    return Move(
        action="promote",
        before=seen.holder,
        after=chosen.number,
        at=ledger.now(),
        who=moves.who(run),
        reason=terms.order.reason,
        run=run.info.run_id,
        facts=_facts(terms, chosen),
    )


def _facts(terms: Terms, chosen: Trial) -> dict[str, str]:
    """What an auditor asks beside who, when and why."""
    tags = chosen.evidence.tags if chosen.evidence else {}
    names = ("candidate", "dataset", "dataset_sha256", "judge_hash", "fingerprint")
    return {
        "verdict": str(chosen.verdict or "not checked"),
        "mode": terms.order.mode,
        **({} if chosen.passed else {"forced": "true"}),
        "gate_sha256": terms.gate_sha256,
        "evidence_run": chosen.evidence.run.info.run_id if chosen.evidence else "",
        **{name: tags[name] for name in names if name in tags},
    }
