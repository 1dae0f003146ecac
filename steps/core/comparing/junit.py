"""A comparison as JUnit XML, which every CI shows: what a model loses against the baseline.

One suite a model: a case for each scorer's difference, and one for each row that was asked.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from steps.core.comparing import comparison_text as words
from steps.core.comparing.comparison import Comparison
from steps.core.comparing.differences import Difference
from steps.core.comparing.flips import TURNS, Flip
from steps.core.comparing.rulings import Ruling
from steps.core.predictions import Key, Prediction, Predictions
from steps.core.verdict import Verdict

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COUNTED = {"tests": "testcase", "failures": "failure", "errors": "error"}


def junit(comparison: Comparison, models: Iterable[Predictions]) -> str:
    """`models` hold the rows; the baseline has no suite, being what the others are held against."""
    root = Element("testsuites", name=_clean(f"{comparison.dataset}: {comparison.verdict.line}"))
    by_name = {model.candidate: model for model in models}
    for line in comparison.models:
        if line.candidate != comparison.baseline:
            _suite(root, comparison, by_name[line.candidate])
    _count(root, _COUNTED)
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: Element, comparison: Comparison, model: Predictions) -> None:
    suite = SubElement(root, "testsuite", name=_clean(model.candidate))
    _properties(suite, comparison)
    for one, ruled in zip(comparison.differences, comparison.rulings, strict=True):
        if one.candidate == model.candidate:
            _difference(suite, one, ruled)
    lost = defaultdict(list)
    for flip in comparison.flips:
        if flip.candidate == model.candidate and flip.turn == TURNS[0]:
            lost[flip.id, flip.repeat].append(flip)
    for key, row in model.rows.items():
        _row(suite, model.candidate, key, row, lost[key])
    _count(suite, _COUNTED | {"skipped": "skipped"})


def _properties(suite: Element, comparison: Comparison) -> None:
    told = {
        "baseline": comparison.baseline,
        "dataset_sha256": comparison.dataset_sha256,
        "rank_by": comparison.rank_by,
        "verdict": comparison.verdict,
    }
    properties = SubElement(suite, "properties")
    for name, value in told.items():
        SubElement(properties, "property", name=name, value=_clean(value))


def _difference(suite: Element, one: Difference, ruled: Ruling) -> None:
    name = f"{one.scorer} against {one.baseline}"
    case = _case(suite, f"{one.candidate}.differences", name, seconds=None)
    if ruled.verdict == Verdict.FAIL:
        message = f"{ruled.reason}: {words.with_interval(one)}"
        SubElement(case, "failure", type="worse", message=_clean(message))
    elif ruled.verdict == Verdict.NOT_ENOUGH_EVIDENCE:
        SubElement(case, "skipped", message=_clean(ruled.reason))


def _row(suite: Element, candidate: str, key: Key, row: Prediction, lost: Sequence[Flip]) -> None:
    name = key[0] if key[1] == 0 else f"{key[0]}, repeat {key[1]}"
    case = _case(suite, f"{candidate}.rows", name, row.latency_s)
    if not row.answered:
        message = _clean(row.error or row.status)
        SubElement(case, "error", type=_clean(row.status), message=message)
    elif lost:
        message = f"right → wrong by {', '.join(flip.scorer for flip in lost)}"
        failure = SubElement(case, "failure", type="right → wrong", message=_clean(message))
        failure.text = _clean(_both_answers(lost))


def _both_answers(lost: Sequence[Flip]) -> str:
    one = lost[0]
    told = {"asked": one.prompt, "baseline": one.baseline_answer, one.candidate: one.answer}
    told |= {flip.scorer: flip.rationale for flip in lost if flip.rationale}
    return "\n\n".join(f"{name}: {text}" for name, text in told.items())


def _case(suite: Element, kind: str, name: str, seconds: float | None) -> Element:
    case = SubElement(suite, "testcase", classname=_clean(kind), name=_clean(name))
    if seconds is not None:
        case.set("time", f"{seconds:.6f}")
    return case


def _count(element: Element, counted: Mapping[str, str]) -> None:
    """JUnit tells the number of cases again, on the suite and on the whole."""
    for attribute, child in counted.items():
        element.set(attribute, str(len(list(element.iter(child)))))
    seconds = sum(float(case.get("time", 0)) for case in element.iter("testcase"))
    element.set("time", f"{seconds:.6f}")


def _clean(text: str) -> str:
    """Without the characters that no XML may hold, escaped or not."""
    return _NOT_XML.sub("", text)
