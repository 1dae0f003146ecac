"""The recipe is YAML, and its commands are commands of ours."""

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from steps.core.config import choose, load
from tests.steps.test_compare import FILES

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs/github-actions.md").read_text(), re.S)


def steps_of_the_job() -> list[dict[str, Any]]:
    (text,) = (text for kind, text in BLOCKS if kind == "yaml")
    found: list[dict[str, Any]] = yaml.safe_load(text)["jobs"]["evaluate"]["steps"]
    return found


def commands() -> list[tuple[str, list[str]]]:
    """(step, options) of each of ours, in the workflow and below it."""
    told = [step["run"] for step in steps_of_the_job() if "run" in step]
    told += [text for kind, text in BLOCKS if kind == "bash"]
    found = re.findall(r"python -m steps\.(\w+)([^|&\n]*)", "\n".join(told))
    return [(name, shlex.split(options)) for name, options in found]


def test_each_step_either_runs_something_or_uses_an_action_of_a_version() -> None:
    for step in steps_of_the_job():
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"[\w-]+/[\w/-]+@v\d+", step.get("uses", "a/b@v1"))


def test_it_evaluates_and_then_compares() -> None:
    assert [name for name, _ in commands()] == ["evaluate", "compare", "compare"]


@pytest.mark.parametrize(("name", "options"), commands())
def test_its_commands_are_steps_with_these_options(name: str, options: list[str]) -> None:
    command = importlib.import_module(f"steps.{name}").main
    given = command.make_context(name, options).params
    if name == "compare":
        choose(load(ROOT / "config.yaml"), given["baseline"])
        assert given["output"] == "comparison"


def test_it_takes_files_that_compare_writes_and_keeps_the_folder_of_the_journal() -> None:
    text = yaml.safe_dump(steps_of_the_job())
    taken = set(re.findall(r"comparison/([\w.]+\w)", text))
    assert taken == {"comparison.md", "comparison.junit.xml"} <= FILES
    journal = load(ROOT / "config.yaml").journal
    kept = {s["with"]["path"] for s in steps_of_the_job() if "cache" in s.get("uses", "")}
    assert kept == {".venv", Path(journal).parent.name}
    assert (ROOT / "setup_venv.py").exists()
