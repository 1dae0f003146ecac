"""Several judges: the majority counts, who failed has no vote, and each one's word is kept."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from steps.core.answering.journal import Journal
from steps.core.judges.canaries import check
from steps.core.judges.judging import Judging
from steps.core.judges.panel import Verdicts, tally
from steps.core.judges.scale import YES_NO, Scale, scale_of
from steps.core.scores.scorer import Failure, Score
from tests.servers.ollama import OllamaServer
from tests.steps.core.judges.lab import (
    CHAT,
    EXPECTED,
    QUESTION,
    Messages,
    config_of,
    honest,
    said,
)

GRADES = scale_of([1, 2, 3, 4, 5])
MANNERS = scale_of({"rude": 0, "plain": 0.5, "polite": 1})
DOWN = Failure("down")
MODELS = ("one:1b", "two:2b", "three:3b")
Vote = Score | Failure | None
Build = Callable[..., Judging]


def votes(*given: object) -> dict[str, Vote]:
    """Of judges a, b, c, …: a score's value, a Failure, or None."""
    kept = [one if isinstance(one, Failure) or one is None else Score(one) for one in given]
    return dict(zip("abcde", kept, strict=False))


@pytest.mark.parametrize(
    ("given", "scale", "value"),
    [
        ((True, True, False), YES_NO, True),
        ((True, False, False), YES_NO, False),
        ((True, DOWN, True), YES_NO, True),
        ((0.5, 0.5, 1.0), MANNERS, 0.5),
        ((1.0, 2.0, 5.0), GRADES, 2.0),
        ((1.0, 2.0), GRADES, 1.5),
        ((5.0, DOWN, 4.0), GRADES, 4.5),
    ],
)
def test_the_panels_verdict(given: tuple[object, ...], scale: Scale, value: float) -> None:
    found = tally(votes(*given), scale)
    assert isinstance(found, Score)
    assert found.value == value


@pytest.mark.parametrize(
    ("given", "scale", "why"),
    [
        ((True, False), YES_NO, "no majority (a: yes, b: no)"),
        ((True, False, DOWN), YES_NO, "no majority (a: yes, b: no)"),
        ((0.0, 0.5, 1.0), MANNERS, "no majority"),
        ((True, DOWN, DOWN), YES_NO, "only 1 of 3 judges gave a verdict: b: down; c: down"),
        ((True, DOWN), YES_NO, "only 1 of 2 judges"),
        ((3.0, DOWN), GRADES, "only 1 of 2 judges"),
    ],
)
def test_a_tie_or_too_few_votes_are_a_failure_and_never_a_score(
    given: tuple[object, ...], scale: Scale, why: str
) -> None:
    found = tally(votes(*given), scale)
    assert isinstance(found, Failure)
    assert found.error.startswith(why)


def test_a_panel_abstains_where_its_judges_do() -> None:
    assert tally(votes(None, None, None), YES_NO) is None


def test_agreement_is_told_where_there_is_something_to_tell_it_by() -> None:
    panels = {"safety": (["safety/a", "safety/b"], YES_NO), "tone": (["tone/a", "tone/b"], GRADES)}
    seen = Verdicts(panels)
    for a, b in [(1, 1), (0, 0), (1, 0), (1, 1)]:
        seen.add({"safety/a": Score(bool(a)), "safety/b": Score(bool(b)), "tone/a": Score(3.0)})
    told = seen.metrics()
    assert told["safety/judge_alpha"] == pytest.approx(1 - 7 * 2 / (2 * 5 * 3))
    assert told["tone/judge_alpha"] is None


def test_what_verdicts_took_is_summed_and_unknown_once_a_part_is() -> None:
    seen = Verdicts()
    seen.add(
        {"a": Score(1.0, None, details={"cost_usd": 0.25, "input_tokens": 3, "output_tokens": 1})}
    )
    seen.add(
        {"a": Score(1.0, None, details={"cost_usd": 0.5, "input_tokens": None, "output_tokens": 2})}
    )
    seen.add({"exact": Score(1.0), "a": Failure("down")})
    assert seen.metrics() == {
        "judge_cost_estimate": 0.75,
        "judge_input_tokens": None,
        "judge_output_tokens": 3,
    }


@pytest.fixture
def answers() -> dict[str, str]:
    return dict(zip(MODELS, ("yes", "no", "yes"), strict=True))


@pytest.fixture
def server(answers: Mapping[str, str]) -> Iterator[OllamaServer]:
    with OllamaServer(MODELS) as running:

        def answer(messages: Messages) -> str:
            chats = [seen.body for seen in running.requests if seen.path == CHAT]
            asked = next(body for body in reversed(chats) if body["messages"] == messages)
            result = answers[asked["model"]]
            return honest(messages) if result == "honest" else said(result)

        running.answer = answer
        yield running


@pytest.fixture
def panel(server: OllamaServer, journal: Journal) -> Build:
    """Builds the panel of some models, or of all."""

    def build(*models: str) -> Judging:
        chosen = models or MODELS
        judges = [config_of(server, model=f"ollama:/{model}") for model in chosen]
        return Judging(judges, journal)

    return build


def test_each_judges_own_verdict_is_kept_beside_the_panels(panel: Build) -> None:
    judging = panel()
    found = judging.score(QUESTION, "Paris.", EXPECTED)
    assert found == {
        "correctness": Score(True, "2 of 3 judges: Because."),
        "correctness/one:1b": Score(True, "Because."),
        "correctness/two:2b": Score(False, "Because."),
        "correctness/three:3b": Score(True, "Because."),
    }
    assert tuple(found) == judging.names == tuple(judging.applicable(EXPECTED))
    assert judging.sources()["correctness/two:2b"] == "ollama:/two:2b"


def test_a_judge_that_dies_leaves_the_verdict_to_the_others(
    panel: Build, server: OllamaServer, answers: dict[str, str]
) -> None:
    judging = panel()
    server.models = MODELS[:1] + MODELS[2:]
    found = judging.score(QUESTION, "Paris.", EXPECTED)
    assert found["correctness"] == Score(True, "2 of 2 judges: Because.")
    assert "ollama pull two:2b" in str(found["correctness/two:2b"])


def test_another_panel_is_another_hash_and_pays_no_verdict_again(
    panel: Build, server: OllamaServer
) -> None:
    pair = panel(*MODELS[:2])
    pair.score(QUESTION, "Paris.", EXPECTED)
    three = panel()
    three.score(QUESTION, "Paris.", EXPECTED)
    assert server.calls[CHAT] == len(MODELS)
    assert len({pair.hash, three.hash, panel(*reversed(MODELS)).hash}) == 3


def test_use_is_told_by_judge_and_in_all(panel: Build) -> None:
    judging = panel()
    judging.score(QUESTION, "Paris.", EXPECTED)
    used = judging.spent()
    assert used["judge_calls"] == 3
    assert [used[f"judge_calls/{model}"] for model in MODELS] == [1, 1, 1]
    parts = [used[f"judge_output_tokens/{model}"] for model in MODELS]
    assert used["judge_output_tokens"] == sum(part or 0 for part in parts)


def test_a_judge_of_the_panel_that_is_not_fit_is_named(
    panel: Build, answers: dict[str, str]
) -> None:
    answers |= {"one:1b": "honest", "two:2b": "yes", "three:3b": "honest"}
    ((name, flaws),) = check(panel())
    assert name == "ollama:/two:2b"
    assert all("is wrong, and the judge called it right" in flaw for flaw in flaws)


def test_one_model_with_two_temperatures_has_two_names(
    server: OllamaServer, journal: Journal
) -> None:
    judges = [config_of(server, model="ollama:/one:1b", temperature=t) for t in (0.0, 1.0)]
    names = Judging(judges, journal).names
    assert names == ("correctness", "correctness/one:1b", "correctness/one:1b-2")


def test_a_panel_is_an_ensemble_in_mlflows_own_evaluation(server: OllamaServer) -> None:
    from mlflow.genai.scorers.base import EnsembleScorer

    from steps.core.judges.as_mlflow import mlflow_judges
    from steps.core.judges.criteria import criteria
    from tests.steps.core.judges.test_as_mlflow import ROW

    judges = [config_of(server, model=f"ollama:/{model}") for model in MODELS]
    (made,) = mlflow_judges(judges, criteria(judges[0]))
    assert isinstance(made, EnsembleScorer)
    assert made(**ROW).value == "yes"
    models = [seen.body["model"] for seen in server.requests if "completions" in seen.path]
    assert sorted(models) == sorted(MODELS)
