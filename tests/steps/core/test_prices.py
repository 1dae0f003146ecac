import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from llm_models.cost import cost_usd
from llm_models.errors import InputError
from llm_models.schema import Usage
from steps.core.prices import PRICES, Table, load_table, price_of, refresh

FREE = {"free": True}
OWN = {"per_hour": 0.35}
LISTED = {"input": 1.0, "output": 2.0}
TABLE = Table("2026-01-01", {"gemini/g": LISTED, "ollama/listed": LISTED})


@pytest.mark.parametrize(
    ("provider", "model", "local", "expected"),
    [
        ("ollama", "own", True, OWN),
        ("gemini", "own", False, OWN),
        ("gemini", "g", False, LISTED),
        ("gemini", "models/g", False, LISTED),
        ("ollama", "listed", True, LISTED),
        ("ollama", "llama3.1:8b", True, FREE),
        ("ollama", "cloud-8b", True, FREE),
        ("ollama", "gpt-oss:120b-cloud", False, None),
        ("gemini", "gemini-99", False, None),
        ("ollama", "g", False, None),
    ],
)
def test_own_price_then_table_then_free_if_local_else_unknown(provider, model, local, expected):
    own = {"ollama/own": OWN, "gemini/own": OWN}
    assert price_of(provider, model, local, own, TABLE) == expected


def test_an_own_price_wins_over_the_table():
    assert price_of("gemini", "models/g", False, {"gemini/g": OWN}, TABLE) == OWN


def test_the_shipped_table_bills_long_prompts_and_cached_input():
    table = load_table()
    pro = price_of("gemini", "gemini-2.5-pro", False, {}, table)
    short = Usage(input_tokens=200_000, output_tokens=1000, cached_tokens=100_000)
    long = Usage(input_tokens=200_001, output_tokens=1000, cached_tokens=100_001)
    assert cost_usd(pro, short, None) == pytest.approx(0.125 + 0.0125 + 0.01)
    assert cost_usd(pro, long, None) == pytest.approx(0.25 + 0.02500025 + 0.015)
    assert table.models["gemini/gemini-2.5-flash"] == {
        "input": 0.3,
        "output": 2.5,
        "cached_input": 0.03,
    }


def test_refreshing_writes_the_shipped_table(tmp_path):
    path = tmp_path / "prices.yaml"
    changes = refresh(path)
    assert path.read_bytes() == PRICES.read_bytes()
    assert len(changes) == len(load_table(path).models)
    assert refresh(path) == []


def test_refreshing_tells_what_changed(tmp_path):
    path = tmp_path / "prices.yaml"
    flash = "gemini/gemini-2.5-flash: {input: 0.3"
    path.write_text(PRICES.read_text().replace(flash, flash.replace("0.3", "0.1")))
    assert refresh(path) == [
        "gemini/gemini-2.5-flash: {'input': 0.1, 'output': 2.5, 'cached_input': 0.03}"
        " -> {'input': 0.3, 'output': 2.5, 'cached_input': 0.03}"
    ]


def test_every_figure_stands_in_the_bundled_catalogue():
    folder = Path(find_spec("mlflow").submodule_search_locations[0], "utils/model_catalog")
    table = load_table()
    for key, price in table.models.items():
        provider, _, model = key.partition("/")
        entry = json.loads((folder / f"{provider}.json").read_text())["models"][model]
        assert price["input"] == entry["pricing"]["input_per_million_tokens"]
        assert price["output"] == entry["pricing"]["output_per_million_tokens"]
        assert ("long_context" in price) == ("long_context" in entry["pricing"])
        assert entry.get("deprecation_date", "9999") > table.updated >= entry["last_updated_at"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  gemini/x: {input: -1, output: 2}", ":4: models['gemini/x'].input: must be at least 0"),
        ("  gemini/x: {input: .nan, output: 2}", ":4: models['gemini/x'].input: expected a finite"),
        ("  gemini/x: {input: 1}", ":4: models['gemini/x']: give both 'input' and 'output'"),
        ("  gemini/x: {}", ":4: models['gemini/x']: give both"),
        ("  gemini/x: {per_hour: null}", ":4: models['gemini/x']: give both"),
        (
            "  gemini/x: {input: 1, output: 2, cached_input: 1, long_context: {above: 1, input: 1,"
            " output: 2}}",
            ":4: models['gemini/x']: 'long_context' needs a 'cached_input' of its own",
        ),
    ],
)
def test_a_broken_table_names_the_line(tmp_path, line, message):
    path = tmp_path / "prices.yaml"
    path.write_text(f"updated: 2026-01-01\nsource: by hand\nmodels:\n{line}\n")
    with pytest.raises(InputError) as caught:
        load_table(path)
    assert f"{path}{message}" in str(caught.value)


def test_a_missing_table_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match=r"python -m steps\.core\.prices"):
        load_table(tmp_path / "prices.yaml")
