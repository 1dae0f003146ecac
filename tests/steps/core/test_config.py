"""Every broken config below marks with `# !` the lines that its errors must name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import llm_models
from llm_models.base import Provider
from llm_models.errors import InputError
from llm_models.schema import Sampling
from steps.core import providers
from steps.core.config import choose, load
from steps.core.dataset import load as load_dataset
from steps.core.providers import provider_class

ROOT = Path(__file__).parents[3]
GOOD = """\
candidates:
  - {name: one, provider: ollama, model: "llama3.1:8b", registered_name: llm_one}
  - {name: two, provider: ollama, model: "llama3.2:3b", registered_name: llm_two}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(text.encode())
    return path


def candidate(*lines: str) -> str:
    """A config with one good candidate and these lines in it."""
    head = "candidates:\n  - name: a\n    provider: ollama\n    model: m\n    registered_name: r\n"
    return head + "".join(f"    {line}\n" for line in lines)


def failure(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(path)
    return str(caught.value).split("\n")


def test_the_shipped_config_loads():
    config = load(ROOT / "config.yaml")
    names = [c.name for c in config.candidates]
    assert names == [
        "gemini-flash",
        "ollama-llama31",
        "ollama-llama32",
        "baseline-sentence",
        "baseline-passage",
    ]
    assert [judge.model for judge in config.judge] == ["gemini:/gemini-2.5-flash"]
    assert {gate.metric for gate in config.gates["staging"]} <= {
        gate.metric for gate in config.gates["production"]
    }


def test_the_shipped_questions_are_enough_for_the_shipped_gates():
    rows = load_dataset(ROOT / "eval_data" / "questions.jsonl").rows
    with_facts = sum(bool(row.expectations.get("expected_facts")) for row in rows)
    for gates in load(ROOT / "config.yaml").gates.values():
        assert all((gate.min_rows or 0) <= with_facts for gate in gates)


def test_paths_are_relative_to_the_folder_of_the_config(tmp_path, monkeypatch):
    text = candidate("options: {knowledge: k.md}").replace("ollama", "baseline")
    write(tmp_path, text + "journal: j.sqlite\n")
    monkeypatch.chdir(tmp_path)
    config = load("config.yaml")
    assert config.candidates[0].options["knowledge"] == str(tmp_path / "k.md")
    assert config.journal == tmp_path / "j.sqlite"


def test_a_candidate_holds_what_a_model_config_needs(tmp_path):
    lines = ("temperature: 0", "top_k: 3", "stop: [END]", "seed: 7", "max_tokens: 5", "top_p: 1")
    loaded = load(write(tmp_path, candidate(*lines))).candidates[0]
    assert loaded.sampling == Sampling(0.0, 1.0, 3, 5, ("END",), 7)
    assert (loaded.timeout_s, loaded.deadline_s, loaded.concurrency) == (60.0, 180.0, 4)
    assert (loaded.base_url, loaded.options, loaded.system) == (None, {}, None)


def test_defaults_fill_what_a_candidate_leaves_out_and_null_is_said(tmp_path):
    text = candidate("temperature: null", "timeout_s: 5") + (
        "defaults: {temperature: 0.5, timeout_s: 9, system: Be brief., stop: [END]}\n"
    )
    loaded = load(write(tmp_path, text)).candidates[0]
    assert loaded.temperature is None
    assert loaded.timeout_s == 5
    assert (loaded.system, loaded.stop, loaded.concurrency) == ("Be brief.", ("END",), 4)


def test_own_prices_are_plain_and_without_the_listing_prefix(tmp_path):
    text = GOOD + "prices:\n  ollama/a/b: {per_hour: 1}\n  gemini/models/g: {input: 1, output: 2}\n"
    assert load(write(tmp_path, text)).own_prices() == {
        "ollama/a/b": {"per_hour": 1.0},
        "gemini/g": {"input": 1.0, "output": 2.0},
    }


BROKEN = {
    "misspelt key": (candidate("temprature: 1 # !"), "did you mean 'temperature'?"),
    "misspelt section": (GOOD + "jugde: null # !", "jugde: unknown key (did you mean 'judge'?)"),
    "key unlike any": (GOOD + "xyzzy: 1 # !", "unknown key (known: candidates, defaults"),
    "text for a number": (candidate('temperature: "0.5" # !'), "expected a number, got '0.5'"),
    "number for text": (candidate("system: 007 # !"), "expected text, got 7; put it in quotes"),
    "fraction": (candidate("top_k: 2.5 # !"), "top_k: expected a whole number, got 2.5"),
    "boolean": (candidate("top_k: true # !"), "expected a whole number, got true"),
    "text for a list": (candidate("stop: END # !"), "stop: expected a list, got 'END'"),
    "list for a mapping": (GOOD + "defaults: [1] # !", "expected keys with values, got a list"),
    "null": (GOOD + "rank_by: # !", "rank_by: expected text, got nothing"),
    "number for a path": (GOOD + "journal: 5 # !", "journal: expected text, got 5"),
    "temperature": (candidate("temperature: 2.1 # !"), "must be at most 2, got 2.1"),
    "negative": (candidate("temperature: -1 # !"), "must be at least 0, got -1"),
    "top_p": (candidate("top_p: 1.1 # !"), "must be at most 1"),
    "top_k": (candidate("top_k: 0 # !"), "must be at least 1"),
    "max_tokens": (candidate("max_tokens: 0 # !"), "must be at least 1"),
    "timeout": (candidate("timeout_s: 0 # !"), "must be more than 0"),
    "concurrency": (candidate("concurrency: 257 # !"), "must be at most 256"),
    "not a number": (candidate("top_p: .nan # !"), "expected a finite number, got nan"),
    "infinity": (candidate("deadline_s: .inf # !"), "expected a finite number, got inf"),
    "blank text": (candidate('system: " " # !'), "system: is empty"),
    "credentials": (candidate("base_url: http://u:p@h # !"), "without user or password"),
    "no scheme": (candidate("base_url: localhost:11434 # !"), "expected http(s)://"),
    "name": (GOOD.replace("llm_two}", "a/b} # !"), "registered_name: may hold"),
    "path": (GOOD.replace("llm_two}", "..} # !"), "registered_name: must not begin with '.'"),
    "reserved name": (GOOD.replace("llm_two}", "x} # !").replace("two", "all"), "command line"),
    "missing key": ("candidates:\n  - name: a # !\n    provider: ollama\n    model: m", "missing"),
    "no candidates": ("candidates: [] # !", "the list is empty"),
    "same name": (GOOD.replace("llm_two}", "x} # !").replace("two", "one"), "taken, on line 2"),
    "provider": (
        GOOD.replace("llm_two}", "x} # !").replace('ollama, model: "llama3.2', 'olama, model: "'),
        "no provider 'olama' (did you mean 'ollama'?)",
    ),
    "option": (candidate("options:", "  num_ctx: 1", "  num_cxt: 2 # !"), "options.num_cxt: "),
    "option value": (candidate("options:", "  num_ctx: -1 # !"), "options.num_ctx: "),
    "option missing": (
        "candidates:\n  - name: a # !\n    provider: baseline\n    model: m\n"
        "    registered_name: r\n",
        "'knowledge'",
    ),
    "default": (GOOD + "defaults:\n  seed: 1\n  top_p: 7 # !", "defaults.top_p: must be at most 1"),
    "own default": (GOOD + "defaults: {name: x} # !", "defaults.name: unknown key"),
    "gate without bound": (GOOD + "gates:\n  staging:\n    - metric: a # !", "needs 'min', 'max'"),
    "gate upside down": (GOOD + "gates:\n  staging: [{metric: a, min: 2, max: 1}] # !", "above"),
    "regression of a total": (
        GOOD + "gates:\n  staging: [{metric: total_tokens, max_regression: 1}] # !",
        "'max_regression' is for metrics known row by row",
    ),
    "regression that is a gain": (
        GOOD + "gates:\n  staging:\n    - metric: a/mean\n      max_regression: -1 # !",
        "must be at least 0",
    ),
    "confident of a rate": (
        GOOD + "gates:\n  staging: [{metric: error_rate, max: 1, confident: true}] # !",
        "'confident' is for the 'min' or 'max' of a metric that ends in /mean",
    ),
    "gate mode": (GOOD + "gate_mode: off # !", "must be 'enabled', 'dry_run' or 'disabled'"),
    "gate of no alias": (GOOD + "gates:\n  prod: [] # !", "must be 'staging' or 'production'"),
    "coverage in percent": (GOOD + "min_coverage: 80 # !", "must be at most 1, got 80"),
    "price key": (GOOD + "prices:\n  ollama: {per_hour: 1} # !", "expected provider/model"),
    "price provider": (GOOD + "prices:\n  olama/x: {per_hour: 1} # !", "no provider 'olama'"),
    "two prices": (GOOD + "prices:\n  ollama/x: {per_hour: 1, input: 1} # !", "'per_hour' alone"),
    "half a price": (GOOD + "prices:\n  ollama/x: {input: 1} # !", "both 'input' and 'output'"),
    "deep in a price": (
        GOOD + "prices:\n  gemini/x:\n    input: 1\n    output: 2\n    long_context:\n"
        "      above: 5\n      input: 2\n      output: 3\n      outptu: 3 # !",
        "prices['gemini/x'].long_context.outptu: unknown key (did you mean 'output'?)",
    ),
    "key given twice": (candidate("seed: 1", "seed: 2 # !"), "given twice, first on line 6"),
    "twice on one line": (GOOD + "defaults: {seed: 1, seed: 2} # !", "defaults.seed: given twice"),
    "key that is a number": (GOOD + "5: 5 # !", "a key must be text"),
    "key that YAML takes for true": (GOOD + "on: 5 # !", "a key must be text"),
    "syntax": (GOOD + "judge: [1\nrank_by: x # !", "not valid YAML"),
    "tab": (GOOD + "judge:\n\tmodel: x # !", "not valid YAML"),
    "control character": (GOOD + "\n# é\nrank_by: \x01 # !", "not valid YAML"),
    "unknown anchor": (GOOD + "judge: *nothing # !", "not valid YAML"),
    "code in a tag": (GOOD + "judge: !!python/name:os.system x # !", "not valid YAML"),
    "wrong tag": (GOOD + "judge: {seed: !!int x} # !", "not valid YAML"),
    "two documents": (GOOD + "--- # !\na: 1\n", "not valid YAML"),
    "a list": ("- a # !\n", "expected keys with values, got a list"),
    "empty": ("# only a comment !", "the file is empty; it needs 'candidates'"),
    "merged key": (
        GOOD + "  - &b {name: x, provider: ollama, model: m, registered_name: r}\n"
        "  - {<<: *b, name: y, model: 5} # !",
        "candidates[3].model: expected text, got 5",
    ),
    "itself": ("candidates: &a # !\n  - *a\n", "expected keys with values, got a list"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_error_names_file_line_and_what_is_wrong(tmp_path, name):
    text, expected = BROKEN[name]
    path = write(tmp_path, text)
    errors = failure(path)
    named = [int(re.match(rf"{re.escape(str(path))}:(\d+): ", error)[1]) for error in errors]
    lines = text.split("\n")
    assert set(named) == {i for i, line in enumerate(lines, 1) if line.endswith("!")}
    assert any(expected in error for error in errors), errors


def test_all_errors_come_at_once_in_the_order_of_the_file(tmp_path):
    text = candidate("seed: 1", "seed: 2", "top_p: 2") + (
        "  - {name: a, provider: nobody, model: m, registered_name: r, options: {x: 1}}\n"
        "gates: {staging: [{metric: m}]}\n"
        "nonsense: 1\n"
    )
    path = write(tmp_path, text)
    numbers = [int(error.removeprefix(f"{path}:").split(":")[0]) for error in failure(path)]
    assert numbers == [7, 8, 9, 9, 10, 11]


@pytest.mark.parametrize("name", ["config.yaml", "."])
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(tmp_path, name):
    with pytest.raises(InputError, match=r"copy the project's config\.yaml"):
        load(tmp_path / name)


@pytest.mark.parametrize(("raw", "line"), [(b"a: 1\nb: \xe9\n", 2), ("a: 1".encode("utf-16"), 1)])
def test_another_encoding_is_named_with_its_line(tmp_path, raw, line):
    path = tmp_path / "config.yaml"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=rf"config\.yaml:{line}: not UTF-8"):
        load(path)


def test_a_byte_order_mark_is_no_matter(tmp_path):
    assert len(load(write(tmp_path, "\ufeff" + GOOD)).candidates) == 2


def test_merge_keys_may_be_overridden(tmp_path):
    text = GOOD + "  - {name: x, <<: &b {provider: ollama, model: m, registered_name: r}}\n"
    text += "  - {<<: *b, name: y, model: n}\n"
    assert [c.model for c in load(write(tmp_path, text)).candidates][2:] == ["m", "n"]


def test_a_secret_of_the_environment_is_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "very-secret-key")
    errors = failure(write(tmp_path, candidate("temperature: very-secret-key")))
    assert "[secret]" in errors[0]
    assert "very-secret-key" not in errors[0]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("all", ["one", "two"]),
        ("available", ["one", "two"]),
        ("two", ["two"]),
        (" two , one, two,", ["two", "one"]),
    ],
)
def test_candidates_are_chosen_by_name(tmp_path, spec, names):
    assert [c.name for c in choose(load(write(tmp_path, GOOD)), spec)] == names


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("one,tow,x", "'tow' (did you mean 'two'?), 'x'; config.yaml has one, two"),
        ("", "an empty list"),
        (" , ", "an empty list"),
    ],
)
def test_unknown_candidates_are_named_with_the_known_ones(tmp_path, spec, message):
    with pytest.raises(InputError, match=re.escape(message)):
        choose(load(write(tmp_path, GOOD)), spec)


def test_a_provider_is_found_by_its_file_alone(tmp_path, monkeypatch):
    (tmp_path / "parrot.py").write_text(
        "from llm_models.base import Provider\nclass Parrot(Provider):\n    supplier = 'parrot'\n"
    )
    (tmp_path / "cage.py").write_text("raise RuntimeError('no provider, so never imported')\n")
    monkeypatch.setattr(providers, "PACKAGE", tmp_path)
    monkeypatch.setattr(llm_models, "__path__", [str(tmp_path)])
    try:
        found = provider_class("parrot")
        assert issubclass(found, Provider)
        assert found.supplier == "parrot"
        with pytest.raises(InputError, match="no provider 'cage'; llm_models has parrot"):
            provider_class("cage")
    finally:
        sys.modules.pop("llm_models.parrot", None)


@pytest.mark.parametrize("name", ["base", "schema", "../gemini", "", "os"])
def test_only_a_file_with_a_provider_is_a_provider(name):
    with pytest.raises(InputError, match="llm_models has baseline, gemini, ollama"):
        provider_class(name)


def test_loading_config_data_and_prices_imports_no_heavy_package():
    code = (
        "import sys; from steps.core import config, dataset, prices;"
        "config.load('config.yaml'); prices.load_table();"
        "print([m for m in ('mlflow', 'pandas', 'google.genai', 'jsonschema') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
