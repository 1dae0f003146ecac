"""Which evaluations may be compared: those that measured the same thing in the same way."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from llm_models.errors import InputError
from steps.core.registry import Evidence

ALIKE = {  # tag -> what it stands for
    "dataset_sha256": "the rows of the dataset",
    "judge_hash": "the judge",
    "human_hash": "the scores of people",
    "scorers_hash": "the scorers",
}


def refuse_unlike(evidence: Sequence[Evidence]) -> None:
    """Raises InputError that names every run whose dataset, judge, scorers or price differ.

    Prices differ between models by nature; one model at two prices is what cannot be compared.
    """
    flaws = []
    for tag, what in ALIKE.items():
        flaws += _difference(what, evidence, tag)
    for model, group in _by_model(evidence).items():
        flaws += _difference(f"the price of {model}", group, "price_hash")
    if flaws:
        told = "\n".join(f"  {flaw}" for flaw in flaws)
        raise InputError(
            f"these evaluations do not measure the same:\n{told}\n"
            "Run `mlflow run . -e evaluate` again for all of them, with one config and data."
        )


def _by_model(evidence: Iterable[Evidence]) -> dict[str, list[Evidence]]:
    groups = defaultdict(list)
    for one in evidence:
        params = one.run.data.params
        groups[f"{params['supplier']}/{params['model_name']}"].append(one)
    return groups


def _difference(what: str, evidence: Iterable[Evidence], tag: str) -> list[str]:
    """One line where the tag is not the same for all; else none."""
    held = defaultdict(list)
    for one in evidence:
        held[one.tags.get(tag, "none")].append(f"{one.candidate} (run {one.run.info.run_id[:8]})")
    if len(held) < 2:
        return []
    sides = "; ".join(f"{', '.join(who)}: {value[:8]}" for value, who in held.items())
    return [f"{what}: {sides}"]
