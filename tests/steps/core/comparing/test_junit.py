"""JUnit XML that any CI reads: counts that agree, flips and failed calls by name."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from steps.core.comparing.junit import junit
from tests.steps.core.compared_models import compare, model, row

# (attributes, children) by the schema that Jenkins and others check: junit-10.xsd of
# github.com/jenkinsci/xunit-plugin. What it requires is always given.
COUNTS = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname", "time"}, {"skipped", "error", "failure"}),
    "skipped": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "failure": ({"message", "type"}, set()),
}
BASE = model("base", [1] * 40)
HOSTILE = "a\0b\x1b[31m\ud800\ufffe ]]> & <failure>"


def suites(*others: object, base: object = BASE, named: str = "base") -> Element:
    models = [base, *others]
    return ElementTree.fromstring(junit(compare(models, named), models))  # type: ignore[arg-type]


def cases(suite: Element, kind: str) -> dict[str, Element]:
    found = suite.iterfind("testcase")
    return {c.get("name", ""): c for c in found if c.get("classname", "").endswith(kind)}


def outcome(case: Element) -> tuple[str, str | None]:
    (found,) = case
    return found.tag, found.get("message")


def test_it_is_what_the_common_schema_allows_and_its_counts_agree() -> None:
    lost = model("lost", [0] * 10 + [None] * 3 + [1] * 27)
    root = suites(lost, model("few", [1] * 5))
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = ALLOWED[element.tag]
        assert set(element.keys()) <= attributes
        assert {child.tag for child in element} <= children
        for name, child in COUNTS.items():
            if name in element.attrib:
                assert int(element.attrib[name]) == len(list(element.iter(child)))
    told = [[suite.attrib[name] for name in ("name", *COUNTS)] for suite in root]
    assert told == [["lost", "41", "11", "3", "0"], ["few", "6", "0", "0", "1"]]
    assert [root.attrib[name] for name in list(COUNTS)[:3]] == ["47", "11", "3"]


def test_a_difference_is_worse_undecided_or_well() -> None:
    worse, few, same = model("worse", [0] * 40), model("few", [1] * 5), model("same", [1] * 40)
    found = [cases(s, ".differences")["correctness against base"] for s in suites(worse, few, same)]
    assert outcome(found[0]) == ("failure", "worse by 1.00: -1.00 [-1.00, -0.86]")
    assert outcome(found[1]) == ("skipped", "not enough rows: 5 scored for both")
    assert list(found[2]) == []


def test_a_row_that_was_lost_fails_with_both_answers() -> None:
    won = model("base", [0, 1, row(1, text="Paris", prompt="France?")])
    other = model("b", [1, 1, row(0, text="Lyon", **{"correctness/rationale": "not Lyon"})])
    rows = cases(suites(other, base=won)[0], ".rows")
    assert [list(rows[name]) for name in ("row-0000", "row-0001")] == [[], []]
    assert outcome(rows["row-0002"]) == ("failure", "right → wrong by correctness")
    text = rows["row-0002"][0].text
    assert text == "asked: France?\n\nbaseline: Paris\n\nb: Lyon\n\ncorrectness: not Lyon"
    assert rows["row-0002"].get("time") == "0.500000"


def test_a_row_lost_by_two_scorers_is_one_failure() -> None:
    def both(score: int) -> dict[str, object]:
        return row(score) | row(score, "contains_facts")

    suite = suites(model("b", [both(0)]), base=model("base", [both(1)]))[0]
    told = outcome(cases(suite, ".rows")["row-0000"])
    assert told == ("failure", "right → wrong by correctness, contains_facts")


def test_a_failed_call_is_an_error_and_repeats_are_told_apart() -> None:
    told = model("b", [1, row(None, error="timeout after 60 s")], repeats=2)
    rows = cases(suites(told)[0], ".rows")
    assert rows.keys() == {"row-0000", "row-0000, repeat 1"}
    assert outcome(rows["row-0000, repeat 1"]) == ("error", "timeout after 60 s")


def test_hostile_answers_are_text_and_what_xml_cannot_hold_is_left_out() -> None:
    base = model("base", [row(1, text=HOSTILE, prompt=HOSTILE)])
    lost = model("b", [row(0, text=HOSTILE, prompt=HOSTILE, error=HOSTILE)])
    text = cases(suites(lost, base=base)[0], ".rows")["row-0000"][0].text
    assert text is not None
    assert text.count("ab[31m ]]> & <failure>") == 3
