"""What the last object of an answer says about it."""

from typing import Any

import pytest

from llm_models.ollama_answer import looks_cut, timing, usage
from llm_models.schema import Request, Timing, Usage
from tests.servers.ollama import ending


def prompt_of(characters: int) -> Request:
    return Request(({"role": "user", "content": "x" * (characters - 100)},), system="s" * 100)


@pytest.mark.parametrize(
    ("characters", "input_tokens", "num_ctx", "cut"),
    [
        # A full window, whatever the language of the prompt.
        (40_000, 2048, 2048, True),
        (40_000, 2046, 2048, True),
        (3_000, 2048, 2048, True),
        # Half a window beside a few kept tokens, as measured on newer servers.
        (9_000, 1026, 2048, True),
        (20_000, 2050, 4096, True),
        (2_500, 259, 512, True),
        # Far more text than any tokenizer gets into the window.
        (13_000, 700, 2048, True),
        (13_000, None, 2048, True),
        # Merely small: the rest of the prompt was cached.
        (6_000, 12, 2048, False),
        (8_000, None, 2048, False),
        (9_000, 12, 2048, False),
        # Whole.
        (6_000, 1_500, 2048, False),
        (9_000, 1_900, 2048, False),
        (4_000, 1_026, 2048, False),
        # The server had a larger window than it was asked for, as its cloud has.
        (40_000, 10_000, 2048, False),
        # No window asked for: only what looks like one of Ollama's own.
        (40_000, 4096, None, True),
        (40_000, 2050, None, True),
        (40_000, 9_876, None, False),
        (6_000, 2048, None, False),
        (40_000, None, None, False),
    ],
)
def test_a_cut_prompt_is_told_from_a_cached_one(
    characters: int, input_tokens: int | None, num_ctx: int | None, cut: bool
) -> None:
    assert looks_cut(prompt_of(characters), input_tokens, num_ctx) is cut


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Usage(input_tokens=26, output_tokens=12, total_tokens=38)),
        ({"prompt_eval_count": None}, Usage(output_tokens=12)),
        ({"prompt_eval_count": 0}, Usage(output_tokens=12)),
        ({"eval_count": None}, Usage(input_tokens=26)),
        ({"eval_count": 0}, Usage(input_tokens=26, output_tokens=0, total_tokens=26)),
        ({"eval_count": "12"}, Usage(input_tokens=26)),
        ({"eval_count": -1}, Usage(input_tokens=26)),
        ({"prompt_eval_count": None, "eval_count": None}, Usage()),
    ],
)
def test_a_count_the_server_leaves_out_is_unknown(fields: dict[str, Any], expected: Usage) -> None:
    assert usage(ending(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Timing(queue_s=0.1, load_s=0.1, prompt_s=0.2, generation_s=0.6)),
        ({"eval_duration": None}, Timing(load_s=0.1, prompt_s=0.2)),
        ({"load_duration": 0}, Timing(queue_s=0.2, load_s=0.0, prompt_s=0.2, generation_s=0.6)),
        ({"total_duration": 1}, Timing(load_s=0.1, prompt_s=0.2, generation_s=0.6)),
        (
            {"load_duration": None, "prompt_eval_duration": None, "eval_duration": None},
            Timing(),
        ),
    ],
)
def test_seconds_come_from_the_servers_nanoseconds(
    fields: dict[str, Any], expected: Timing
) -> None:
    found = timing(ending(**fields))

    for name in ("queue_s", "load_s", "prompt_s", "generation_s"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name
