"""What is counted and said of an answer in OpenAI's format."""

import pytest

from steps.core.serving.chat_reply import usage
from steps.core.serving.chat_stream import Spoken

TOKENS = {"input_tokens": 5, "output_tokens": 3, "thinking_tokens": None, "cached_tokens": None}


def test_thinking_counts_as_completion_and_is_told_apart() -> None:
    told = usage(TOKENS | {"thinking_tokens": 4, "cached_tokens": 2})
    assert told == {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "completion_tokens_details": {"reasoning_tokens": 4},
        "prompt_tokens_details": {"cached_tokens": 2},
    }


@pytest.mark.parametrize("unknown", ["input_tokens", "output_tokens"])
def test_what_is_not_counted_is_not_told(unknown: str) -> None:
    assert usage(TOKENS | {unknown: None}) is None


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["Hel", "lo"], ["Hel", "lo"]),
        (["<", "think>a", "b</thi", "nk>", "\n\n", "Yes", "."], ["Yes", "."]),
        (["<b>", "bold"], ["<b>", "bold"]),
        (["\n", "<think>", "x"], []),
        (["a </think> b"], ["b"]),
    ],
)
def test_thinking_written_into_an_answer_is_not_streamed(
    pieces: list[str], said: list[str]
) -> None:
    spoken = Spoken()
    assert [text for text in map(spoken.add, pieces) if text] == said
