"""The rules of the house, held: floors, entry points, one file for each provider."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from steps.core.providers import providers
from steps.core.scores.scorers import DEFAULT_SCORERS, SCORERS

ROOT = Path(__file__).parents[1]
STEPS = sorted(ROOT.glob("steps/*.py"))
LLM_MODELS = sorted(ROOT.glob("llm_models/*.py"))
WITH_MLFLOW = {"model", "served_error"}


def imported(file: Path) -> set[str]:
    """Every module a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def below(modules: set[str], *packages: str) -> set[str]:
    return {m for m in modules if any(m == p or m.startswith(f"{p}.") for p in packages)}


@pytest.mark.parametrize("file", LLM_MODELS, ids=lambda file: file.stem)
def test_the_packed_floor_imports_nothing_from_above(file: Path) -> None:
    forbidden = ("steps", "tests") if file.stem in WITH_MLFLOW else ("steps", "tests", "mlflow")
    assert below(imported(file), *forbidden) == set()


@pytest.mark.parametrize("file", STEPS, ids=lambda file: file.stem)
def test_steps_never_import_each_other(file: Path) -> None:
    others = {f"steps.{step.stem}" for step in STEPS if step.stem not in ("__init__", file.stem)}
    used = below(imported(file), *others)
    assert file.stem == "main" or used == set()


def test_entry_points_are_the_steps() -> None:
    project = yaml.safe_load((ROOT / "MLproject").read_text("utf-8"))
    names = {step.stem for step in STEPS} - {"__init__"}
    assert project["entry_points"].keys() == names
    for name, entry in project["entry_points"].items():
        assert entry["command"].split()[:3] == ["python", "-m", f"steps.{name}"]
        for parameter in entry["parameters"]:
            assert f"--{parameter} {{{parameter}}}" in entry["command"]


def test_common_parameters_have_the_same_names_and_defaults_everywhere() -> None:
    project = yaml.safe_load((ROOT / "MLproject").read_text("utf-8"))
    common = project["entry_points"]["register"]["parameters"]
    assert common.keys() == {"config", "data", "models", "limit"}
    for entry in project["entry_points"].values():
        assert common.items() <= entry["parameters"].items()


@pytest.mark.parametrize("provider", providers())
def test_a_provider_imports_where_only_the_packed_folder_is(provider: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "llm_models", tmp_path / "llm_models")
    program = f"import sys, llm_models.{provider}; assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)


def test_no_step_knows_a_provider_by_name() -> None:
    """So that a third provider is one file."""
    known = [f"llm_models.{name}" for name in providers()]
    for file in ROOT.glob("steps/**/*.py"):
        assert below(imported(file), *known) == set(), file


def test_every_scorer_is_used_without_being_listed() -> None:
    """So that a new scorer is one function."""
    assert list(DEFAULT_SCORERS) == list(SCORERS)
    names = {"contains_facts", "exact_match", "rouge_l"}
    assert names <= SCORERS.keys()


def test_pins_of_what_is_chosen_are_in_the_lock() -> None:
    lock = set((ROOT / "requirements.txt").read_text("utf-8").splitlines())
    chosen = (ROOT / "requirements.in").read_text("utf-8").splitlines()
    pins = {line.split("#")[0].strip() for line in chosen} - {""}
    assert pins <= lock
