"""What is asked of a promotion is checked before anything is looked up."""

import pytest

from llm_models.errors import InputError
from steps.core.config import Config
from steps.core.releases.order import MAX_REASON, Order

GATES = {"staging": [{"metric": "m", "min": 0}]}
CANDIDATE = {"name": "a", "provider": "ollama", "model": "m", "registered_name": "r"}


def config(**rest: object) -> Config:
    return Config.model_validate({"candidates": [CANDIDATE], "gates": GATES} | rest)


def parsed(settings: Config | None = None, **asked: str) -> Order:
    return Order.parse(settings or config(), **{"alias": "staging"} | asked)


def test_without_options_the_config_decides() -> None:
    order = parsed()
    assert (order.mode, order.force, order.name, order.version) == ("enabled", False, None, None)
    assert order.gate[0].metric == "m"
    assert order.reason == "the gate holds"


@pytest.mark.parametrize("mode", ["enabled", "dry_run", "disabled"])
def test_an_option_wins_over_the_configs_mode(mode: str) -> None:
    assert parsed(config(gate_mode="dry_run"), mode=mode, reason="why").mode == mode
    assert parsed(config(gate_mode=mode)).mode == mode


@pytest.mark.parametrize("asked", [{"force": "true"}, {"mode": "disabled"}])
def test_what_overrides_the_gate_needs_a_reason(asked: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"reason: tell why"):
        parsed(**asked, reason=" \n ")
    assert parsed(**asked, reason=" the demo\nis at noon ").reason == "the demo is at noon"


def test_a_gate_that_the_config_disables_is_a_reason_of_its_own() -> None:
    assert parsed(config(gate_mode="disabled")).reason == "the config's gate_mode is disabled"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"mode": "dryrun"}, r"mode: there is no 'dryrun' \(did you mean 'dry_run'\?\)"),
        ({"force": "yes"}, "force: 'yes' is neither true nor false"),
        ({"version": "v3"}, "version: 'v3' is not a whole number"),
        ({"reason": "x" * (MAX_REASON + 1)}, "reason: 1001 characters; the ledger keeps 1000"),
        ({"alias": "champion"}, r"no gates for 'champion' \(it has: staging\)"),
    ],
)
def test_what_is_mistyped_is_refused(asked: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        parsed(**asked)
