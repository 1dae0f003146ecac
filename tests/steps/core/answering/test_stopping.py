"""A run ends early where every other row would fail alike, and only there."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from llm_models import base
from llm_models.errors import KINDS
from llm_models.schema import Completion
from steps.core.answering.journal import Journal
from steps.core.answering.runner import Run
from steps.core.answering.stopping import GONE_AFTER, Health
from steps.core.cli import Asking
from steps.run_prompts import run_prompts
from tests.servers.ollama import OllamaServer, Reply, Seen, ending
from tests.steps.core.fault_matrix import refused
from tests.steps.core.runs import SECONDS, asked, files, finish, questions, resolved

pytest_plugins = ["tests.steps.core.runner_fixtures"]

OK = Completion("ok", "Paris")
BUSY = refused(503, "server busy")


def failed(kind: str) -> Completion:
    return Completion("error", error=f"what {kind} says", error_kind=kind, hint="mend it")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_one_fault_ends_a_run_only_if_it_will_hit_every_row(kind: str) -> None:
    stop = Health(rows=100).see(failed(kind))
    assert (stop is not None) == KINDS[kind].fatal
    if stop:
        assert stop.reason == f"what {kind} says (mend it)"
        assert not stop.killed


def test_a_server_is_gone_when_rows_in_a_row_find_none() -> None:
    health = Health(rows=100)
    missed = [failed("unreachable")] * (GONE_AFTER - 1)
    assert not any(map(health.see, [*missed, OK, *missed]))
    stop = health.see(failed("unreachable"))
    assert stop is not None
    assert "unreachable" in stop.reason


def test_the_error_rate_is_a_share_of_all_rows() -> None:
    health = Health(rows=10, max_error_rate=0.2)
    assert not any(map(health.see, [failed("context_overflow"), failed("timeout"), OK]))
    stop = health.see(failed("bad_response"))
    assert stop is not None
    assert stop.reason.startswith("3 of 10 rows failed, more than max_error_rate 0.2 allows")


@pytest.mark.parametrize("status", ["ok", "truncated", "empty", "blocked"])
def test_an_outcome_the_model_chose_is_no_error_of_the_run(status: Any) -> None:
    health = Health(rows=2, max_error_rate=0.0)
    assert not any(map(health.see, [Completion(status, error_kind=None)] * 2))


def test_no_row_may_fail_where_none_is_allowed_to() -> None:
    assert Health(rows=1000, max_error_rate=0.0).see(failed("timeout"))
    assert not Health(rows=1, max_error_rate=1.0).see(failed("timeout"))


def test_too_many_failed_rows_end_a_run_and_what_was_answered_stays(
    ollama: OllamaServer, client: MlflowClient, experiment: str, tmp_path: Path
) -> None:
    config, data = files(tmp_path, 10, ollama.url, max_error_rate=0.2, defaults={"concurrency": 1})
    ollama.fault(*[Reply(body=ending("Paris"))] * 4, *[BUSY] * 6 * 3)

    assert not run_prompts(str(config), str(data), "all", "", Asking())
    (run,) = client.search_runs([experiment], "tags.candidate = 'c0'")
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"].startswith("3 of 10 rows failed, more than max_error_rate 0.2")
    assert run.data.tags["failure"].endswith("3 of 10 rows have no outcome")
    assert (run.data.metrics["status/ok"], run.data.metrics["status/error"]) == (4, 3)

    assert run_prompts(str(config), str(data), "all", "", Asking())
    again = client.search_runs([experiment], "tags.candidate = 'c0'", order_by=["start_time"])[-1]
    assert again.info.status == "FINISHED"
    assert again.data.metrics["rows_reused"] == 4
    assert asked(ollama).total() == 4 + 6 * 3 + 6


class MortalServer(OllamaServer):
    """Dies in its fifth answer as a process does: no connection outlives it."""

    def __init__(self) -> None:
        self.dying, self.dead = threading.Event(), threading.Event()
        super().__init__(answer=self._answer)

    def _answer(self, _: Any) -> str:
        if asked(self).total() < 5:
            return "Paris"
        self.dying.set()
        self.dead.wait(SECONDS)
        raise ConnectionAbortedError

    def see(self, seen: Seen) -> Reply:
        if self.dead.is_set():
            raise ConnectionAbortedError
        return super().see(seen)

    def __exit__(self, *given: object) -> None:
        self.dead.set()
        super().__exit__(*given)


@pytest.fixture
def orphan(journal: Journal) -> Iterator[Run]:
    """A run that goes on while its server has died."""
    with MortalServer() as server:
        run = Run(resolved(server, concurrency=3), questions(20), journal).start()
        assert server.dying.wait(SECONDS)
    yield run


def port(run: Run) -> int:
    return int((run.ready.config.base_url or "").rpartition(":")[2])


def test_a_server_that_comes_back_in_time_costs_no_row(
    monkeypatch: pytest.MonkeyPatch, orphan: Run
) -> None:
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.1)  # of 6 attempts: more than a second in all
    with OllamaServer(port=port(orphan)) as server:
        answers = finish(orphan)
        assert [answer.completion.status for answer in answers] == ["ok"] * 20
        assert max(answer.completion.attempts for answer in answers) > 1
        assert set(asked(server).values()) == {1}


def test_a_server_that_is_gone_ends_the_run_after_a_few_rows_and_the_next_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, orphan: Run, journal: Journal
) -> None:
    monkeypatch.setattr(base, "FIRST_WAIT_S", 0.001)
    answers = finish(orphan)
    answered = [answer for answer in answers if answer.completion.answered]
    assert orphan.stopped is not None
    assert "start it with `ollama serve`" in orphan.stopped.reason
    assert len(answers) - len(answered) < GONE_AFTER + 3
    assert len(answers) + orphan.not_asked == 20
    with OllamaServer(port=port(orphan)) as server:
        finish(Run(resolved(server), questions(20), journal))
        assert asked(server).total() == 20 - len(answered)


def test_a_model_that_is_replaced_while_it_is_asked_ends_as_failed(
    ollama: OllamaServer, journal: Journal
) -> None:
    run = Run(resolved(ollama), questions(3), journal)
    pulled = {"name": ollama.models[0], "digest": "f" * 64, "details": {"family": "llama"}}
    ollama.fault(Reply(body={"models": [pulled]}), path="/api/tags")
    assert len(finish(run)) == 3
    assert run.stopped is not None
    assert "another model took the name" in run.stopped.reason
