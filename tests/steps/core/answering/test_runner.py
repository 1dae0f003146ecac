"""What a run makes of every fault, and how its answers come: durable, in order, not kept."""

import gc
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_models.schema import Completion
from steps.core.answering.asking import Task
from steps.core.answering.candidates import Ready, resolve
from steps.core.answering.journal import Journal
from steps.core.answering.runner import Answer, Run, in_order
from steps.core.cli import Asking
from steps.core.config import Candidate, Config
from steps.core.dataset import Row
from steps.core.pipeline import asking_job
from tests.servers.ollama import OllamaServer
from tests.steps.core.fault_matrix import FAULTS, Fault, meet, refused
from tests.steps.core.runs import asked, files, finish, questions, resolved, until

pytest_plugins = ["tests.steps.core.runner_fixtures"]

LOCKED_OUT = refused(401, "unauthorized")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.provider} {fault.name}")
def test_a_fault_makes_the_calls_and_the_end_that_the_table_tells(
    fault: Fault, tmp_path: Path
) -> None:
    met = meet(fault, tmp_path)
    assert fault.outcome in met.outcome
    assert met.calls == fault.calls


def test_no_call_begins_after_one_that_dooms_all_even_while_the_journal_is_slow(
    ollama: OllamaServer, journal: Journal
) -> None:
    ollama.fault(*[LOCKED_OUT] * 50)
    run = Run(resolved(ollama, concurrency=2), questions(50), journal)
    with sqlite3.connect(journal.path) as other:
        other.execute("BEGIN IMMEDIATE")
        run.start()
        until(lambda: run.stopped or asked(ollama).total() == 50)
        other.rollback()
    finish(run)
    assert asked(ollama).total() <= 2


def answer(row: Row, repeat: int = 0) -> Answer:
    return Answer(row, Completion("ok", "Paris"), 0.0, False, repeat)


def test_answers_are_put_in_order_and_only_early_ones_held() -> None:
    rows = questions(5)
    taken = 0

    def arriving() -> Iterator[Answer]:
        nonlocal taken
        for number in (0, 2, 3, 1, 4):
            taken += 1
            yield answer(rows[number])

    told = [(given.row.id, taken) for given in in_order(arriving(), rows)]
    assert told == [("r0", 1), ("r1", 4), ("r2", 4), ("r3", 4), ("r4", 5)]


def test_what_a_stopped_run_has_comes_in_order_too() -> None:
    rows = questions(3)
    arrived = [answer(rows[2], 1), answer(rows[1], 1), answer(rows[2]), answer(rows[1])]
    places = [given.place for given in in_order(arrived, rows, repeats=2)]
    assert places == [("r1", 0), ("r2", 0), ("r1", 1), ("r2", 1)]


def baseline(folder: Path) -> Ready:
    text = folder / "knowledge.md"
    text.write_text("Paris is the capital of France.\n", "utf-8")
    candidate = Candidate(
        name="baseline",
        provider="baseline",
        model="bm25",
        registered_name="llm_test",
        options={"knowledge": str(text)},
    )
    return resolve(candidate, Config(candidates=(candidate,)))


def alive() -> int:
    gc.collect()
    return sum(isinstance(thing, Answer | Completion | Task) for thing in gc.get_objects())


def test_answers_that_were_taken_are_not_kept_in_memory(journal: Journal, tmp_path: Path) -> None:
    before, rows = alive(), questions(5000)
    for reused in (False, True):
        run = Run(baseline(tmp_path), rows, journal).start()
        for given in run:
            assert given.reused == reused
        assert alive() > before  # the last one is in our hands
        del given
        until(lambda: alive() <= before)
        assert run.delivered == 5000


def test_with_the_cache_off_the_journal_is_left_alone(ollama: OllamaServer, tmp_path: Path) -> None:
    config, data = files(tmp_path, 3, ollama.url)
    for _ in range(2):
        with asking_job(str(config), str(data), "all", "", Asking(cache="off")) as job:
            assert [len(finish(run)) for run in job.runs] == [3]
    assert asked(ollama).total() == 6
    assert not list(tmp_path.rglob("*.sqlite*"))


def test_models_of_one_server_take_turns_and_share_money_and_pace(
    ollama: OllamaServer, tmp_path: Path
) -> None:
    with OllamaServer() as other:
        config, data = files(tmp_path, 3, ollama.url, ollama.url, other.url)
        with asking_job(str(config), str(data), "all", "", Asking(max_cost=1.0)) as job:
            names = [[run.ready.candidate.name for run in group] for group in job.groups]
            assert names == [["c0", "c1"], ["c2"]]
            assert len({id(run.budget) for run in job.runs}) == 1
            assert len({id(run.pace) for run in job.runs}) == 1
            assert [len(finish(run)) for run in job.runs] == [3, 3, 3]
