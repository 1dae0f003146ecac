"""One row of inputs becomes one request, or an error that names the field and quotes nothing."""

from typing import Any

import numpy as np
import pytest

from llm_models.errors import InputError
from llm_models.payload import request_of, sampled
from llm_models.schema import Sampling

PRIVATE = "my private words"
NAN = float("nan")


def user(content: Any = PRIVATE) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str = "Yes?") -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


def test_a_prompt_is_one_user_message_as_it_is() -> None:
    request = request_of({"prompt": " 007\n"}, "default", Sampling(seed=1))
    assert request.messages == ({"role": "user", "content": " 007\n"},)
    assert (request.system, request.sampling) == ("default", Sampling(seed=1))


@pytest.mark.parametrize("none", [{"messages": None}, {"system": None}, {"unknown": 1}], ids=str)
def test_null_and_unknown_fields_are_absent(none: dict[str, Any]) -> None:
    expected = request_of({"prompt": "hi"}, "default", Sampling())
    assert request_of({"prompt": "hi"} | none, "default", Sampling()) == expected


@pytest.mark.parametrize("form", [list, tuple, lambda turns: np.array(turns, dtype=object)])
def test_messages_keep_their_order(form: Any) -> None:
    turns = [user("a"), assistant("b"), user("c")]
    assert request_of({"messages": form(turns)}, None, Sampling()).messages == tuple(turns)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "q"}, "default"),
        ({"prompt": "q", "system": "own"}, "own"),
        ({"prompt": "q", "system": ""}, ""),
        ({"messages": [system("said"), user("q")]}, "said"),
        ({"messages": [system("one"), user("q"), system("two")]}, "one\n\ntwo"),
        ({"messages": [system("said"), user("q")], "system": "own"}, "own\n\nsaid"),
    ],
)
def test_the_rows_own_system_prompt_wins_over_the_candidates(row: Any, told: str) -> None:
    request = request_of(row, "default", Sampling())
    assert request.system == told
    assert request.messages == (user("q"),)


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "exactly one of 'prompt' and 'messages'"),
    "system alone": ({"system": PRIVATE}, "exactly one of 'prompt' and 'messages'"),
    "both": ({"prompt": PRIVATE, "messages": [user()]}, "exactly one of 'prompt' and 'messages'"),
    "null prompt": ({"prompt": None}, "exactly one of 'prompt' and 'messages'"),
    "empty prompt": ({"prompt": ""}, "'prompt' must be text that is not empty"),
    "blank prompt": ({"prompt": " \n\t"}, "'prompt' must be text that is not empty"),
    "NaN prompt": ({"prompt": NAN}, "'prompt' must be text"),
    "number": ({"prompt": 5}, "'prompt' must be text"),
    "list": ({"prompt": [PRIVATE]}, "'prompt' must be text"),
    "system number": ({"prompt": PRIVATE, "system": 5}, "'system' must be text"),
    "system NaN": ({"prompt": PRIVATE, "system": NAN}, "'system' must be text"),
    "no message": ({"messages": []}, "'messages' is empty"),
    "messages number": ({"messages": 5}, "'messages'"),
    "messages NaN": ({"messages": NAN}, "'messages'"),
    "messages text": ({"messages": PRIVATE}, "messages"),
    "one message": ({"messages": user()}, "messages"),
    "bare text": ({"messages": [PRIVATE]}, "messages[0].role must be one of user, assistant"),
    "role": ({"messages": [user(), {"role": "tool", "content": PRIVATE}]}, "messages[1].role"),
    "no role": ({"messages": [{"content": PRIVATE}]}, "messages[0].role"),
    "no content": ({"messages": [user(), {"role": "user"}]}, "messages[1].content must be text"),
    "null content": ({"messages": [user(None)]}, "messages[0].content must be text"),
    "parts": ({"messages": [user([{"text": PRIVATE}])]}, "messages[0].content must be text"),
    "only system": ({"messages": [system(PRIVATE)]}, "'messages' has no user message"),
    "only assistant": ({"messages": [assistant(PRIVATE)]}, "'messages' has no user message"),
}


@pytest.mark.parametrize(("row", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_row_is_told_by_place_and_field_and_not_quoted(row: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        request_of(row, None, Sampling(), "row 7")
    assert str(caught.value).startswith("row 7: ")
    assert told in str(caught.value)
    assert PRIVATE not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", 2),
        ("top_p", 0),
        ("top_p", 1),
        ("top_k", 1),
        ("max_tokens", 1),
        ("seed", -1),
    ],
)
def test_an_option_at_its_bound_is_taken(name: str, value: float) -> None:
    assert getattr(sampled(Sampling(), {name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.01),
        ("temperature", 2.01),
        ("temperature", NAN),
        ("top_p", 1.01),
        ("top_p", -1),
        ("top_k", 0),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("seed", 2**63),
    ],
)
def test_an_option_out_of_bounds_is_named(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"^{name}: .* is outside "):
        sampled(Sampling(), {name: value})


@pytest.mark.parametrize("stop", [[""], ["END", None], [5]])
def test_a_stop_that_is_no_text_is_refused(stop: list[Any]) -> None:
    with pytest.raises(InputError, match=r"^stop: give texts that are not empty"):
        sampled(Sampling(), {"stop": stop})


def test_only_what_is_given_overrides() -> None:
    base = Sampling(temperature=0.2, top_k=3, stop=("END",), seed=7)
    overrides = {"temperature": 0.0, "top_k": None, "max_tokens": 5, "stop": []}
    assert sampled(base, overrides) == Sampling(0.0, None, 3, 5, ("END",), 7)
    assert sampled(base, {"stop": ["a", "b"]}).stop == ("a", "b")
    assert base.temperature == 0.2


def test_numpy_values_become_plain_ones() -> None:
    given = {"temperature": np.float64(0.5), "seed": np.int64(3), "stop": np.array(["a"])}
    options = sampled(Sampling(), given)
    assert [type(v) for v in (options.temperature, options.seed)] == [float, int]
    assert options.stop == ("a",)
    assert type(options.stop[0]) is str
