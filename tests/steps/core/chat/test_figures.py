"""What an answer and a session took, with the unknown told as such."""

from dataclasses import replace
from typing import cast

import pytest

from llm_models.schema import Completion, Timing, Usage
from steps.core.chat import figures
from steps.core.chat.speakers import Speaker
from steps.core.chat.turn import STOPPED, Question, Reply

COUNTED = Completion(
    "ok",
    text="hello",
    usage=Usage(input_tokens=1200, output_tokens=12, total_tokens=1212),
    latency_s=2.0,
    timing=Timing(generation_s=0.5),
    cost_usd=0.00125,
)


class Named:
    name = "llama"


def reply(completion: Completion, first_s: float | None = 0.25) -> Reply:
    message = {"role": "user", "content": "hi"}
    question = Question(1, cast(Speaker, Named()), (message,), None)  # type: ignore[arg-type]
    return Reply(question, completion, 0.0, first_s)


@pytest.mark.parametrize(
    ("completion", "first_s", "line"),
    [
        (
            COUNTED,
            0.25,
            "llama · tokens 1,200 in + 12 out · 2.00 s, first token after 0.25 · 24 tokens/s"
            " · $0.00125",
        ),
        (
            replace(COUNTED, usage=Usage(output_tokens=12, thinking_tokens=30), timing=Timing()),
            None,
            "llama · tokens 12 out + 30 thinking · 2.00 s · 6 tokens/s · $0.00125",
        ),
        (
            Completion("ok", text="hello", latency_s=1.0, cost_usd=0.0),
            None,
            "llama · tokens unknown · 1.00 s · $0",
        ),
        (Completion("error"), None, "llama · tokens unknown · cost unknown"),
    ],
)
def test_an_answer_in_figures(completion: Completion, first_s: float | None, line: str) -> None:
    assert figures.of_reply(reply(completion, first_s)) == line


def test_a_session_in_figures() -> None:
    failed = Completion("error", error="no", cost_usd=0.0)
    told = figures.of_session([reply(COUNTED), reply(COUNTED), reply(failed)])
    assert told == "2 answered (2,424 tokens) · 1 failed · $0.0025"


def test_a_session_with_a_cost_that_is_unknown_has_no_total() -> None:
    stopped = Completion("incomplete", partial="hel", error=STOPPED)
    told = figures.of_session([reply(COUNTED), reply(stopped)])
    assert told == "1 answered (1,212 tokens) · 1 stopped · cost unknown"
