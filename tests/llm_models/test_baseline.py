"""The embedded baseline and the evaluation data that ships with it."""

import hashlib
import math
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import llm_models
from llm_models import baseline
from llm_models.baseline import BM25, UNKNOWN, Baseline, language, words
from llm_models.errors import InputError
from llm_models.payload import request_of
from llm_models.schema import Message, ModelConfig, Request, Sampling, Timing, Usage
from steps.core import dataset
from steps.core.scores.text import missing_facts

KNOWLEDGE = dataset.EVAL_DATA / "knowledge.md"
TASKS = ("mlflow", "general", "arithmetic", "instruction", "json", "safety")
KINDS = set(product(TASKS, ("en", "es")))
RIVERS = """# Rivers

It rises in a forest. A heron fishes in the old river. A river freezes in cold years.
The Danube is a river.

El Danubio es un río. Nace junto a otro río y cruza diez países.
"""

Retriever = Callable[..., Baseline]
Rows = list[dataset.Row]


@pytest.fixture
def retriever(tmp_path: Path) -> Retriever:
    """Builds a baseline over a text of the test's own; keywords are options."""

    def build(text: str, **options: Any) -> Baseline:
        path = tmp_path / "knowledge.md"
        path.write_text(text, encoding="utf-8")
        return over(path, **options)

    return build


@pytest.fixture(scope="module")
def questions() -> Rows:
    """Read strictly: a repeated id, an unknown expectation or a bad JSON schema is an error."""
    return dataset.load(dataset.EVAL_DATA / "questions.jsonl").rows


def over(path: Path, **options: Any) -> Baseline:
    options = {"knowledge": str(path)} | options
    return Baseline(ModelConfig("test", "baseline", "bm25", options=options))


def ask(model: Baseline, *contents: str, sampling: Sampling | None = None) -> str:
    """The answer to a chat whose turns alternate, the user's first."""
    roles = ("user", "assistant")
    turns = tuple(Message(role=roles[i % 2], content=c) for i, c in enumerate(contents))
    return model.complete(Request(turns, sampling=sampling or Sampling())).text or ""


def answers(model: Baseline, questions: Rows) -> list[str]:
    return [model.complete(request_of(q.inputs, None, Sampling())).text or "" for q in questions]


@pytest.mark.parametrize(
    ("query", "sentences", "answer"),
    [
        ("What rises in the forest?", 1, "It rises in a forest."),
        ("rio, PAISES", 1, "Nace junto a otro río y cruza diez países."),
        ("river heron", 1, "A heron fishes in the old river."),  # the rare word counts more
        ("river", 1, "The Danube is a river."),  # the short sentence counts more
        ("heron fishes, forest", 2, "It rises in a forest. A heron fishes in the old river."),
        ("nace", 10, "El Danubio es un río. Nace junto a otro río y cruza diez países."),
    ],
)
def test_the_best_are_quoted(retriever: Retriever, query: str, sentences: int, answer: str) -> None:
    assert ask(retriever(RIVERS, sentences=sentences), query) == answer


def test_scores_are_those_of_the_published_formula() -> None:
    # Both sentences have the mean length, so that the frequency part is 1 and only idf is left.
    scores = BM25([["red fox", "red hen"]]).scores("fox red")
    assert scores[0, 0] == pytest.approx(math.log(1 + 1.5 / 1.5) + math.log(1 + 0.5 / 2.5))
    assert scores[0, 1] == pytest.approx(math.log(1 + 0.5 / 2.5))


@pytest.mark.parametrize(
    ("query", "code"), [("How fast is sound?", "en"), ("¿Cuál es su velocidad?", "es"), ("?", "en")]
)
def test_ignorance_is_bilingual(retriever: Retriever, query: str, code: str) -> None:
    assert ask(retriever(RIVERS), query) == UNKNOWN[code]
    assert ask(retriever(RIVERS, min_score=50.0), f"{query} Danube Danubio") == UNKNOWN[code]


def test_only_the_last_user_message_is_the_query(retriever: Retriever) -> None:
    answer = ask(retriever(RIVERS), "A heron?", "In a forest", "It freezes in cold years?")
    assert answer == "A river freezes in cold years."


def test_a_chat_without_a_user_message_fails(retriever: Retriever) -> None:
    outcome = retriever(RIVERS).complete(Request((Message(role="assistant", content="heron"),)))
    assert (outcome.status, outcome.error_kind, outcome.text) == ("error", "invalid_request", None)


def test_a_completion_claims_nothing_it_cannot_know(retriever: Retriever) -> None:
    model = retriever(RIVERS)
    sha256 = hashlib.sha256(RIVERS.encode()).hexdigest()
    outcome = model.complete(request_of({"prompt": "heron"}, None, Sampling()))
    assert (outcome.status, outcome.finish_reason) == ("ok", "stop")
    assert (outcome.usage, outcome.timing) == (Usage(), Timing())
    assert outcome.model_version == sha256[:12]
    assert model.identity() == {"knowledge_sha256": sha256}


def test_a_byte_order_mark_changes_neither_identity_nor_answer(retriever: Retriever) -> None:
    plain, marked = retriever(RIVERS), retriever("\ufeff" + RIVERS)
    assert marked.identity() == plain.identity()
    assert ask(marked, "Rivers") == ask(plain, "Rivers") == UNKNOWN["en"]


def test_sampling_changes_nothing(retriever: Retriever) -> None:
    model = retriever(RIVERS, sentences=3)
    hot = Sampling(temperature=2.0, top_p=0.1, max_tokens=1, seed=1, stop=("heron",))
    assert ask(model, "heron in the forest", sampling=hot) == ask(model, "heron in the forest")


def test_threads_share_one_index(monkeypatch: pytest.MonkeyPatch, questions: Rows) -> None:
    built, together, second = [], threading.Barrier(4), threading.Event()

    class Counted(BM25):
        def __init__(self, passages: list[list[str]]) -> None:
            built.append(self)
            if len(built) > 1:
                second.set()
            second.wait(0.1)  # the time another thread would need to build one too
            super().__init__(passages)

    def work(model: Baseline) -> list[str]:
        together.wait(timeout=10)
        return answers(model, questions)

    monkeypatch.setattr(baseline, "BM25", Counted)
    shared = over(KNOWLEDGE)
    assert not built
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, [shared] * 4))
    assert len(built) == 1
    assert found == [answers(over(KNOWLEDGE), questions)] * 4


STRICT = {
    "sentences": [0, 11, "2", True, 1.5],
    "min_score": [-1.0, math.nan, math.inf, "1"],
    "knowledge": ["", None],
    "sentence": [2],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in STRICT.items() for v in vs])
def test_a_wrong_option_is_named(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"baseline option '{name}'"):
        over(KNOWLEDGE, **{name: value})


UNUSABLE = [(None, "no such file"), (b"\xe9", "not utf-8"), (b"# Title\n\n--\n", "no sentence")]


@pytest.mark.parametrize(("content", "flaw"), UNUSABLE)
def test_unusable_knowledge_is_named(tmp_path: Path, content: bytes | None, flaw: str) -> None:
    path = tmp_path / "notes.md"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"(?i)notes\.md: {flaw}"):
        over(path)


ELSEWHERE = """
import socket, sys
socket.socket.connect = socket.getaddrinfo = None
from llm_models import baseline
from llm_models.schema import ModelConfig, Request
config = ModelConfig("a", "baseline", "bm25", options={"knowledge": sys.argv[1]})
print(baseline.Baseline(config).complete(Request(({"role": "user", "content": "heron"},))).text)
print(baseline.__file__, "mlflow" in sys.modules)
"""


def test_the_packed_folder_answers_elsewhere_without_network(tmp_path: Path) -> None:
    packed = tmp_path / "llm_models"
    shutil.copytree(Path(llm_models.__file__).parent, packed)
    (tmp_path / "packed.md").write_text(RIVERS, encoding="utf-8")
    command = [sys.executable, "-c", ELSEWHERE, "packed.md"]
    out = subprocess.check_output(command, cwd=tmp_path, text=True).splitlines()
    assert out == ["A heron fishes in the old river.", f"{packed / 'baseline.py'} False"]


def test_questions_cover_tasks_and_refusals_in_both_languages(questions: Rows) -> None:
    assert len(questions) >= 96
    assert {(q.tags["task"], q.tags["language"]) for q in questions} == KINDS
    refusals = {(q.tags["language"], q.expectations.get("should_refuse")) for q in questions}
    assert refusals == set(product(("en", "es"), (True, False, None)))
    assert all(q.id.startswith(f"{q.tags['language']}-{q.tags['task']}-") for q in questions)


def test_every_row_can_tell_right_from_wrong(questions: Rows) -> None:
    decisive = {"expected_facts", "json_schema", "should_refuse"}
    assert not [q.id for q in questions if not decisive & set(q.expectations)]
    references = {q.id: q.expectations.get("expected_response", "") for q in questions}
    assert not [q.id for q in questions if missing_facts(references[q.id], facts(q))]


def test_the_knowledge_copies_no_reference_answer(questions: Rows) -> None:
    known = f" {' '.join(words(KNOWLEDGE.read_text(encoding='utf-8')))} "
    references = [words(q.expectations.get("expected_response", "")) for q in questions]
    assert not [r for r in references if len(r) > 2 and f" {' '.join(r)} " in known]


def test_the_first_prompts_are_others_than_the_questions(questions: Rows) -> None:
    prompts = dataset.load(dataset.EVAL_DATA / "prompts.csv").rows
    assert {(p.tags["task"], p.tags["language"]) for p in prompts} == KINDS
    assert not {p.inputs["prompt"] for p in prompts} & {q.inputs.get("prompt") for q in questions}
    assert all(language(p.inputs["prompt"]) == p.tags["language"] for p in prompts)


def test_a_passage_holds_more_facts_than_a_sentence_but_not_most(questions: Rows) -> None:
    sentence, passage = (fact_share(over(KNOWLEDGE, sentences=n), questions) for n in (1, 3))
    assert 0.1 < sentence < passage - 0.05 < 0.65


def fact_share(model: Baseline, questions: Rows) -> float:
    """The share of the rows with expected_facts in which all of them occur."""
    asked = [q for q in questions if facts(q)]
    found = zip(answers(model, asked), asked, strict=True)
    return sum(not missing_facts(answer, facts(q)) for answer, q in found) / len(asked)


def facts(question: dataset.Row) -> list[str]:
    return question.expectations.get("expected_facts", [])
