"""A model as a judge: how it is asked, what counts as a verdict, and when it is given up."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_models import base
from steps.core.answering.journal import Journal
from steps.core.answering.limits import Pace
from steps.core.judges.config import Judge
from steps.core.judges.judging import Judging, unavailable
from steps.core.judges.model import GONE_AFTER, OPTIONS
from steps.core.judges.scale import YES_NO
from steps.core.scores.scorer import Failure, Score
from tests.servers import gemini, openai
from tests.servers.gemini import GeminiServer
from tests.servers.ollama import MODEL, OllamaServer, Reply, ending
from tests.servers.openai import OpenAIServer
from tests.steps.core.judges.lab import (
    CHAT,
    NO,
    QUESTION,
    YES,
    BuildJudging,
    config_of,
    verdict,
)

WITHOUT_QUESTION = {"mlflow.Safety", "mlflow.Fluency", "mlflow.Equivalence"}
KEY = "AIzaSyLoopbackKeyThatNobodyMaySee0123456"


def test_a_judge_is_asked_without_chance_and_held_to_a_schema(
    server: OllamaServer, judging: BuildJudging
) -> None:
    verdict(judging(seed=11))
    body = server.requests[-1].body
    sent = {name: body["options"][name] for name in ("temperature", "seed", "num_ctx")}
    assert sent == {"temperature": 0.0, "seed": 11, "num_ctx": OPTIONS["num_ctx"]}
    assert body["format"] == YES_NO.schema()


def test_options_of_the_config_reach_the_provider_and_are_part_of_the_hash(
    server: OllamaServer, judging: BuildJudging
) -> None:
    judge = judging(options={"num_ctx": 32768, "think": True}, max_tokens=9000)
    verdict(judge)
    body = server.requests[-1].body
    assert (body["think"], body["format"]) == (True, YES_NO.schema())
    assert (body["options"]["num_ctx"], body["options"]["num_predict"]) == (32768, 9000)
    assert len({judge.hash, judging().hash, judging(max_tokens=9000).hash}) == 3


def test_thinking_left_in_the_text_does_not_count(
    server: OllamaServer, judging: BuildJudging
) -> None:
    server.answer = lambda messages: f"<think>Is it {YES}? No.</think>\n{NO}"
    assert verdict(judging(), "Lyon.") == Score(False, "It is Lyon.")
    assert server.calls[CHAT] == 1


@pytest.mark.parametrize(
    "reply", ["Yes, that is right.", '{"rationale": "Hm.", "result": "maybe"}', f"{YES} {NO}"]
)
def test_anything_else_is_repaired_once_and_then_fails(
    server: OllamaServer, judging: BuildJudging, reply: str
) -> None:
    server.answer = lambda messages: reply
    found = verdict(judging())
    assert isinstance(found, Failure)
    assert found.error.startswith("no verdict, though asked twice")
    assert server.calls[CHAT] == 2


def test_a_repair_shows_the_judge_what_it_wrote(
    server: OllamaServer, judging: BuildJudging
) -> None:
    server.answer = lambda messages: YES if len(messages) > 2 else "Yes!"
    assert verdict(judging()) == Score(True, "It says Paris.")
    first, second = (seen.body["messages"] for seen in server.requests if seen.path == CHAT)
    assert second[: len(first)] == first
    assert second[len(first)] == {"role": "assistant", "content": "Yes!"}
    assert second[-1]["role"] == "user"
    assert len(second) == len(first) + 2


def test_a_failure_is_not_kept(server: OllamaServer, judging: BuildJudging) -> None:
    judge = judging()
    server.fault(Reply(400, {"error": "invalid request"}))
    assert verdict(judge) == Failure("Ollama answered 400: invalid request")
    assert verdict(judge) == Score(True, "It says Paris.")


def test_a_slow_judge_is_a_failure_and_not_waited_for_again(
    server: OllamaServer, judging: BuildJudging
) -> None:
    judge, never = judging(timeout_s=0.2), threading.Event()
    server.fault(*[Reply(hold=never)] * GONE_AFTER)
    try:
        found = [verdict(judge, f"{i}") for i in range(GONE_AFTER + 1)]
    finally:
        never.set()
    assert all(isinstance(failure, Failure) for failure in found)
    assert found[-1].error.startswith(f"the judge failed {GONE_AFTER} times in a row")
    assert server.calls[CHAT] == GONE_AFTER


def test_a_judge_that_died_is_given_up(
    server: OllamaServer, judging: BuildJudging, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judging()
    server.fault(*[Reply(503, {"error": "server busy"})] * 100)
    found = [verdict(judge, f"{i}") for i in range(GONE_AFTER)]
    assert {f.error.partition(";")[0] for f in found} == {"Ollama answered 503: server busy"}
    calls = server.calls[CHAT]
    assert verdict(judge, "one more") == Failure(
        f"the judge failed {GONE_AFTER} times in a row: Ollama answered 503: server busy"
    )
    assert server.calls[CHAT] == calls == GONE_AFTER * base.MAX_ATTEMPTS


def test_failures_with_an_answer_in_between_do_not_add_up(
    server: OllamaServer, judging: BuildJudging
) -> None:
    judge = judging()
    for round_ in range(2):
        server.fault(*[Reply(503)] * (GONE_AFTER - 1) * base.MAX_ATTEMPTS)
        for i in range(GONE_AFTER - 1):
            assert isinstance(verdict(judge, f"{round_} {i}"), Failure)
        assert verdict(judge, f"{round_}") == Score(True, "It says Paris.")


def test_a_judge_nobody_may_ask_is_asked_once(server: OllamaServer, judging: BuildJudging) -> None:
    judge = judging()
    server.fault(Reply(401, {"error": "unauthorized"}))
    found = [verdict(judge, f"{i}") for i in range(3)]
    assert all("unauthorized" in failure.error for failure in found)
    assert server.calls[CHAT] == 1


def test_a_server_that_is_gone_is_named(
    server: OllamaServer, judging: BuildJudging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    judge = judging(base_url=None)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert "does not answer at http://127.0.0.1:9" in verdict(judge).error


def test_a_verdict_on_a_cut_prompt_is_none(server: OllamaServer, judging: BuildJudging) -> None:
    server.fault(Reply(body=ending(YES, prompt_eval_count=OPTIONS["num_ctx"])))
    assert "prompt looks cut" in verdict(judging()).error


def test_a_judge_that_waits_for_its_turn_is_told_to_stop(
    server: OllamaServer, journal: Journal
) -> None:
    pace = Pace(requests_per_minute=1)
    pace.start(0)
    judging = Judging([config_of(server)], journal, paces={"ollama": pace})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(verdict, judging)
        judging.stop()
        assert waiting.result(timeout=30) == Failure("interrupted")
    assert server.calls[CHAT] == 0


def test_another_try_counts_in_the_pace(server: OllamaServer, journal: Journal) -> None:
    pace = Pace(requests_per_minute=2)
    server.fault(Reply(503, {"error": "server busy"}))
    judging = Judging([config_of(server)], journal, paces={"ollama": pace})
    assert verdict(judging) == Score(True, "It says Paris.")
    assert pace.wait_s(0) > 0


def test_the_judge_follows_ollama_host(
    server: OllamaServer, judging: BuildJudging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
    assert unavailable(Judge(model=f"ollama:/{MODEL}")) is None
    assert verdict(judging(base_url=None)) == Score(True, "It says Paris.")


def test_gemini_judges_at_its_price_thinking_included(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    with GeminiServer(key=KEY, answer=lambda contents: YES, thoughts=90) as server:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        price = {"gemini/gemini-2.5-flash": {"input": 1.0, "output": 10.0}}
        judge = Judge(model="gemini:/gemini-2.5-flash", scorers=("safety",))
        judging = Judging([judge], journal, price)
        assert judging.score(QUESTION, "Paris.", {}) == {"safety": Score(True, "It says Paris.")}
        config = server.requests[-1].body["generationConfig"]
        safety = server.requests[-1].body["safetySettings"]
    assert {
        "temperature": 0.0,
        "seed": 7,
        "responseJsonSchema": YES_NO.schema(),
    }.items() <= config.items()
    assert {setting["threshold"] for setting in safety} == {"BLOCK_NONE"}
    used = judging.spent()
    assert used["judge_output_tokens"] == 90 + gemini.tokens(YES)
    assert used["judge_cost_usd"] == pytest.approx(
        (used["judge_input_tokens"] * 1.0 + used["judge_output_tokens"] * 10.0) / 1e6
    )


def test_without_a_key_one_line_says_what_to_set() -> None:
    reason = unavailable(Judge(model="gemini:/gemini-2.5-flash"))
    assert reason is not None
    assert "set GEMINI_API_KEY" in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("model", "remedy"),
    [("llama3.2:3b", "run `ollama pull llama3.2:3b`"), (MODEL, None)],
)
def test_a_model_that_is_not_there_is_named_with_its_remedy(
    server: OllamaServer, model: str, remedy: str | None
) -> None:
    reason = unavailable(Judge(model=f"ollama:/{model}", base_url=server.url))
    assert (reason is None) if remedy is None else (remedy in (reason or ""))
    assert server.calls[CHAT] == 0


def test_a_server_that_is_down_is_named_with_its_remedy(server: OllamaServer) -> None:
    server.__exit__()
    reason = unavailable(Judge(model=f"ollama:/{MODEL}", base_url=server.url))
    assert "start it with `ollama serve`" in (reason or "")


def test_no_error_holds_the_key(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    with GeminiServer(key=KEY, answer=lambda contents: f"Yes. Key: {KEY}") as server:
        judge = Judge(model="gemini:/gemini-2.5-flash", base_url=server.url, scorers=("safety",))
        judging = Judging([judge], journal)
        said = judging.score(QUESTION, "Paris.", {})["safety"]
        server.fault(Reply(400, gemini.error(400, "INVALID_ARGUMENT", f"bad value {KEY}")))
        refused = judging.score(QUESTION, "Lyon.", {})["safety"]
    assert "[secret]" in said.error
    assert "[secret]" in refused.error
    assert KEY not in said.error + refused.error


def test_an_openai_judge_is_held_to_the_schema_and_may_have_no_temperature(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", openai.KEY)
    with OpenAIServer(answer=lambda messages: YES) as server:
        model, url = f"openai:/{openai.MODEL}", server.url
        given = Judge(model=model, base_url=url, scorers=("correctness",), temperature=None)
        judge = Judging([given], journal)
        assert unavailable(given) is None
        assert verdict(judge) == Score(True, "It says Paris.")
        body = server.requests[-1].body
    assert body["response_format"]["json_schema"]["schema"] == YES_NO.schema()
    assert ("temperature" in body, body["seed"]) == (False, 7)
