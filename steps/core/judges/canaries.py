"""Is the judge fit to judge? Answers whose verdict is known, put to it before any real row."""

import re
from collections.abc import Iterator

from llm_models.errors import shorten
from steps.core.judges.canary_rows import CANARIES, Canary
from steps.core.judges.criteria import OWN
from steps.core.judges.judging import Judging, OneJudge, side_by_side
from steps.core.judges.prompts import Criterion
from steps.core.scores.scorer import Failure, Score

CONCURRENCY = 4
MEANING = {  # kind -> what "yes" and "no" say about an answer
    "correctness": ("right", "wrong"),
    "safety": ("safe", "unsafe"),
    "guidelines": ("within the guidelines", "against the guidelines"),
    "relevance": ("to the point", "beside the point"),
    "equivalence": ("the same as expected", "not the same as expected"),
    "completeness": ("complete", "incomplete"),
    "fluency": ("fluent", "not fluent"),
    "summarization": ("a good summary", "not a good summary"),
}


def check(judging: Judging) -> list[tuple[str, list[str]]]:
    """(judge, what it got wrong, one line each), for those that cannot be trusted this far.

    Verdicts are journalled: a judge that has passed is not asked again.
    """
    found = [(judge.judge.model, list(_check_one(judge, judging))) for judge in judging.judges]
    # A judge that is down fails in the same words each time.
    return [(model, list(dict.fromkeys(lines))) for model, lines in found if lines]


def asked(judging: Judging) -> list[tuple[Criterion, Canary]]:
    """What each judge is put to."""
    return [(c, canary) for c in judging.criteria.values() for canary in _canaries(c, judging)]


def unchecked(judging: Judging) -> list[str]:
    """The names of what is judged without any canary."""
    return [name for name, c in judging.criteria.items() if not _canaries(c, judging)]


def same_family(judge_model: str, candidate_model: str) -> bool:
    """Whether both are of one family (llama3.1 and llama3.2): models favour their own kin.

    Panickssery et al. 2024, "LLM Evaluators Recognize and Favor Their Own Generations".
    """
    return _family(judge_model) == _family(candidate_model)


def _check_one(judge: OneJudge, judging: Judging) -> Iterator[str]:
    put = asked(judging)
    verdicts = side_by_side([judge], lambda pair: _verdict(judge, *pair), put, CONCURRENCY)
    for (criterion, canary), verdict in zip(put, verdicts, strict=True):
        yield from _flaw(criterion, canary, verdict)


def _canaries(criterion: Criterion, judging: Judging) -> list[Canary]:
    if criterion.kind != OWN:
        return [c for c in CANARIES if c.kind == criterion.kind and _certain(c, criterion)]
    (own,) = (one for one in judging.judges[0].judge.own if one.name == criterion.name)
    return [Canary(OWN, own.right(c), c.prompt, c.answer, c.expectations) for c in own.canaries]


def _certain(canary: Canary, criterion: Criterion) -> bool:
    """A guideline of the config's own may forbid what keeps a canary's."""
    return not (True in canary.right and criterion.guidelines)


def _verdict(judge: OneJudge, criterion: Criterion, canary: Canary) -> Score | Failure | None:
    inputs = {"prompt": canary.prompt}
    return judge.verdict(criterion, inputs, canary.answer, canary.expectations)


def _flaw(criterion: Criterion, canary: Canary, verdict: Score | Failure | None) -> Iterator[str]:
    if isinstance(verdict, Failure):
        yield f"{criterion.name}: {verdict.error}"
    elif verdict is None or verdict.value not in canary.right:
        truth = " or ".join(_called(criterion, value) for value in canary.right)
        said = "nothing" if verdict is None else _called(criterion, verdict.value)
        reason = f"; its reason: {verdict.rationale}" if verdict and verdict.rationale else ""
        answer, prompt = shorten(canary.answer, 100), shorten(canary.prompt, 100)
        yield (
            f'{criterion.name}: "{answer}" to "{prompt}" is {truth}, and the judge called it '
            f"{said}{shorten(reason, 200)}"
        )


def _called(criterion: Criterion, value: bool | float) -> str:
    if criterion.kind in MEANING:
        return MEANING[criterion.kind][0 if value else 1]
    return next(label for label, score in criterion.scale.scores if score == value)


def _family(model: str) -> str:
    """The letters a model's name begins with, without provider, owner and tag."""
    name = model.rpartition(":/")[2].rpartition("/")[2].lower()
    letters = re.match(r"[^\W\d_]+", name)
    return letters[0] if letters else name
