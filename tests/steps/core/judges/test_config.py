"""Judges in a config: one, a panel or of one's own, and what is wrong with one, by its line."""

import re

import pytest

from steps.core.config import load
from tests.steps.core.test_config import GOOD, ROOT, failure, write

OWN_JUDGE = GOOD + "judge:\n  model: ollama:/m\n  own:\n    - name: a\n"


def test_the_judges_that_the_shipped_config_only_suggests_are_good_ones(tmp_path):
    text = (ROOT / "config.yaml").read_text("utf-8")
    begin, end = text.index("judge: # null"), text.index("# What it takes to be given")
    alone, panel = text[begin:end].split("# A panel is a list")
    own = re.sub("(?m)^  # ", "  ", alone)
    (judge,) = load(write(tmp_path, GOOD + own)).judge
    assert [one.name for one in judge.own] == ["polite"]
    several = re.sub("(?m)^# ", "", panel[panel.index("# judge:") :])
    assert len(load(write(tmp_path, GOOD + several)).judge) == 3


def test_a_panel_decides_what_its_first_judge_does(tmp_path):
    text = GOOD + (
        "judge:\n  - {model: 'ollama:/m', scorers: [safety], guidelines: [Be brief.]}\n"
        "  - {model: 'ollama:/m', seed: 8, options: {num_ctx: 4096}}\n"
    )
    first, second = load(write(tmp_path, text)).judge
    assert (second.scorers, second.guidelines) == (first.scorers, first.guidelines)
    assert (second.seed, second.options, first.options) == (8, {"num_ctx": 4096}, {})


@pytest.mark.parametrize(
    ("values", "scores"),
    [
        ("[1, 2, 3]", (("1", 1.0), ("2", 2.0), ("3", 3.0))),
        ("{rude: 0, polite: 1}", (("rude", 0.0), ("polite", 1.0))),
        ("[yes, no]", (("yes", True), ("no", False))),
    ],
)
def test_a_judge_of_ones_own_is_a_few_lines(tmp_path, values, scores):
    lines = f'      instructions: "Rate {{{{ outputs }}}}."\n      values: {values}\n'
    (judge,) = load(write(tmp_path, OWN_JUDGE + lines)).judge
    assert judge.own[0].values.scores == scores


def test_without_a_judge_there_is_none(tmp_path):
    assert load(write(tmp_path, GOOD)).judge == ()
    assert load(write(tmp_path, GOOD + "judge: null")).judge == ()


BROKEN = {
    "judge": (GOOD + "judge:\n  model: gemini # !", "expected provider:/model"),
    "judge of no provider": (GOOD + "judge: {model: claude:/x} # !", "no provider 'claude'"),
    "judge without schema": (GOOD + "judge: {model: baseline:/bm25} # !", "JSON schema"),
    "judge's option": (
        GOOD + "judge:\n  model: ollama:/m\n  options: {num_cxt: 1} # !",
        "judge.options.num_cxt: ollama option",
    ),
    "judge's form": (
        GOOD + "judge:\n  model: ollama:/m\n  options: {format: json} # !",
        "judge.options: format is set by the judge itself",
    ),
    "judge of a panel": (
        GOOD + "judge:\n  - model: ollama:/m\n  - model: ollama:/n\n    sead: 1 # !",
        "judge[1].sead: unknown key (did you mean 'seed'?)",
    ),
    "panel at odds": (
        GOOD + "judge: # !\n  - model: ollama:/m\n  - {model: ollama:/n, scorers: [safety]}",
        "judge[1].scorers: say it with the first judge",
    ),
    "one judge twice": (
        GOOD + "judge: [{model: ollama:/m}, {model: ollama:/m}] # !",
        "judge[1] is a judge of the panel already",
    ),
    "own judge of nothing": (
        OWN_JUDGE + "      instructions: Is it good? # !",
        "must name {{ outputs }}",
    ),
    "own judge of what is not there": (
        OWN_JUDGE + '      instructions: "{{ outputs }} {{ answer }}" # !',
        "there is no {{ answer }}",
    ),
    "own judge of one value": (
        OWN_JUDGE + '      instructions: "{{ outputs }}"\n      values: {good: 1} # !',
        "give at least two values",
    ),
    "labels without numbers": (
        OWN_JUDGE + '      instructions: "{{ outputs }}"\n      values: [good, bad] # !',
        "labels with a number each",
    ),
    "canary of another verdict": (
        OWN_JUDGE.replace("name: a", "name: a # !")
        + '      instructions: "{{ outputs }}"\n      canaries: [{answer: a, verdict: maybe}]',
        "verdict 'maybe' is none of yes, no",
    ),
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
