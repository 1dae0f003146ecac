"""What the Gemini adapter sends, as the server sees it, and the options it takes."""

from typing import Any

import pytest

from llm_models.errors import InputError
from llm_models.gemini import Gemini
from llm_models.schema import Request, Sampling
from tests.servers.gemini import KEY, MODEL, GeminiServer

pytest_plugins = ["tests.llm_models.gemini_fixtures"]

HELLO = Request(({"role": "user", "content": "hello"},))
TURNS = (
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def test_a_request_is_translated_whole(gemini_server: GeminiServer, gemini_model: Any) -> None:
    options = {
        "thinking_level": "low",
        "include_thoughts": True,
        "safety_settings": {"harassment": "none", "HARM_CATEGORY_JAILBREAK": "BLOCK_ONLY_HIGH"},
        "response_schema": SCHEMA,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
    }
    sampling = Sampling(temperature=0.0, top_p=0.9, top_k=40, max_tokens=64, stop=("\n\n",), seed=7)

    gemini_model(options=options, timeout_s=12).complete(Request(TURNS, "Be brief.", sampling))

    seen = gemini_server.requests[0]
    assert seen.path == f"/v1beta/models/{MODEL}:generateContent"
    assert (seen.headers["x-goog-api-key"], seen.headers["X-Server-Timeout"]) == (KEY, "12")
    assert seen.body.pop("systemInstruction")["parts"] == [{"text": "Be brief."}]
    assert seen.body == {
        "contents": [
            {"role": "user", "parts": [{"text": "a"}]},
            {"role": "model", "parts": [{"text": "b"}]},
            {"role": "user", "parts": [{"text": "c"}]},
        ],
        "safetySettings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
            {"category": "HARM_CATEGORY_JAILBREAK", "threshold": "BLOCK_ONLY_HIGH"},
        ],
        "generationConfig": {
            "temperature": 0.0,
            "topP": 0.9,
            "topK": 40,
            "maxOutputTokens": 64,
            "stopSequences": ["\n\n"],
            "seed": 7,
            "presencePenalty": 0.5,
            "frequencyPenalty": 0.25,
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
            # The SDK leaves these names as they are; the API takes both forms.
            "thinkingConfig": {"include_thoughts": True, "thinking_level": "LOW"},
        },
    }


def test_what_is_not_set_is_left_to_the_server(
    gemini_server: GeminiServer, gemini_model: Any
) -> None:
    list(gemini_model(options={"thinking_budget": 0}).stream(HELLO))

    assert gemini_server.requests[0].path.endswith(":streamGenerateContent?alt=sse")
    assert gemini_server.requests[0].body == {
        "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "generationConfig": {"thinkingConfig": {"thinking_budget": 0}},
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thinking_bugdet": 1}, "thinking_bugdet.*known options: .*thinking_budget"),
        ({"thinking_budget": "many"}, "thinking_budget"),
        ({"thinking_level": "deep"}, "thinking_level"),
        ({"thinking_budget": 1, "thinking_level": "low"}, "not both"),
        ({"safety_settings": {"rudeness": "none"}}, "unknown category 'rudeness'.*HARASSMENT"),
        ({"safety_settings": {"harassment": "some"}}, "unknown threshold 'some'.*ONLY_HIGH"),
        ({"safety_settings": {"harassment": None}}, "unknown threshold 'None'"),
        ({"safety_settings": "none"}, "safety_settings"),
    ],
)
def test_a_wrong_option_is_named_before_any_call(
    options: dict[str, Any], words: str, gemini_model: Any
) -> None:
    with pytest.raises(InputError, match=words):
        gemini_model(options=options)


def test_off_in_yaml_is_off() -> None:
    options: Any = Gemini.check_options({"safety_settings": {"hate_speech": False}})
    assert options.safety_settings == {"HARM_CATEGORY_HATE_SPEECH": "OFF"}
