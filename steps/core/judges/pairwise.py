"""Which of two answers is better? Asked in both orders, so that no place decides.

Judges favour a place in the prompt: Wang et al. 2023, "Large Language Models are not Fair
Evaluators"; Zheng et al. 2023, "Judging LLM-as-a-Judge", whose rule this is: who does not win in
both orders has tied.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_models.errors import shorten
from steps.core.judges.canary_rows import PAIRS, Pair
from steps.core.judges.judging import Judging, OneJudge
from steps.core.judges.prompts import AS_DATA, FORM, Fields, as_json
from steps.core.judges.scale import Scale
from steps.core.scores.scorer import Failure

NAME = "pairwise"
Place = Literal["first", "second"]
SCALE = Scale((("first", 1.0), ("tie", 0.0), ("second", -1.0)))
READ = ("expected_response", "expected_facts", "guidelines")  # of a row's expectations
INSTRUCTIONS = """\
Decide which of two answers to a request is better for the person who asked.
`inputs` is the request; `first` and `second` are the answers, in an order that means nothing. \
`expectations`, where they are given, hold the truth, and they overrule what you know: \
`expected_response` is a right answer, `expected_facts` are facts of a right answer, with "|" \
between alternatives of which one is enough, and `guidelines` are to be kept.
A right answer is better than one that says it does not know, and that is better than a wrong one. \
Of two answers that are equally right, the better one does what was asked for, in the language \
and form that was asked for, leaves nothing out, and is clear. Length, polish and confidence count \
for nothing.
Say "tie" where neither is better in anything that matters to the person who asked."""
SYSTEM = INSTRUCTIONS + AS_DATA + FORM + SCALE.form()


@dataclass(frozen=True)
class Preference:
    """What a judge, or a panel, prefers: 1.0 is b, -1.0 is a, 0.0 neither."""

    value: float
    place: Place | None = None  # that won in both orders, whatever stood there: a tie
    rationale: str | None = None


def prefer(
    judge: OneJudge, inputs: Fields, expectations: Fields, a: str, b: str
) -> Preference | Failure:
    """Of two answers to one request, by one judge. Equal answers are a tie, and not asked."""
    if a.strip() == b.strip():
        return Preference(0.0, rationale="The answers are the same.")
    shown = {name: expectations[name] for name in READ if expectations.get(name)}
    said = []
    for first, second in ((a, b), (b, a)):
        asked = {"inputs": inputs, "first": first, "second": second}
        message = as_json(asked | {"expectations": shown} if shown else asked)
        verdict = judge.ask(NAME, SYSTEM, message, f"{a}\n{b}", SCALE)
        if isinstance(verdict, Failure):
            return verdict
        said.append(verdict)
    ahead, turned = (float(verdict.value) for verdict in said)
    if ahead and ahead == turned:
        return Preference(0.0, "first" if ahead > 0 else "second", said[0].rationale)
    return Preference(turned if ahead == -turned else 0.0, None, said[0].rationale)


def together(found: Sequence[Preference | Failure]) -> Preference | Failure:
    """A panel's: that of the majority, else a tie; more than half must have a preference."""
    given = [one for one in found if isinstance(one, Preference)]
    if len(given) * 2 <= len(found):
        return next(one for one in found if isinstance(one, Failure))
    value, count = Counter(one.value for one in given).most_common(1)[0]
    return Preference(value if count * 2 > len(given) else 0.0)


def check_pairs(judging: Judging) -> list[tuple[str, list[str]]]:
    """(judge, what it preferred wrongly, one line each), for those that cannot be trusted."""
    found = [(judge.judge.model, list(_flaws(judge))) for judge in judging.judges]
    return [(model, list(dict.fromkeys(lines))) for model, lines in found if lines]


def _flaws(judge: OneJudge) -> Iterator[str]:
    for pair in PAIRS:
        inputs = {"prompt": pair.prompt}
        found = prefer(judge, inputs, pair.expectations, pair.worse, pair.better)
        if isinstance(found, Failure):
            yield f"{NAME}: {found.error}"
        elif found.value <= 0:
            yield _flaw(pair, found)


def _flaw(pair: Pair, found: Preference) -> str:
    better, worse = (shorten(answer, 100) for answer in (pair.better, pair.worse))
    told = f'{NAME}: to "{pair.prompt}", "{better}" is better than "{worse}", and the judge'
    if found.place:
        return f"{told} took the {found.place} in both orders"
    if found.value < 0:
        return f"{told} preferred the latter"
    return f"{told} saw no difference or changed its mind with the order"
