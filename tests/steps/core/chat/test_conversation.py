"""What each model gets to see of what was said."""

import pytest

from llm_models.errors import InputError
from steps.core.chat.conversation import Conversation, Exchange


def said(conversation: Conversation, name: str, prompt: str = "new") -> list[str]:
    return [message["content"] for message in conversation.messages(name, Exchange(prompt))]


def test_a_conversation_alternates_and_ends_with_the_new_prompt() -> None:
    talk = Conversation()
    talk.keep(Exchange("one"), {"a": "1"})
    talk.keep(Exchange("two"), {"a": "2"})
    messages = talk.messages("a", Exchange("three"))
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2 + ["user"]
    assert said(talk, "a") == ["one", "1", "two", "2", "new"]


def test_a_speaker_reads_its_own_answers_and_anothers_where_it_gave_none() -> None:
    talk = Conversation()
    talk.keep(Exchange("one"), {"a": "1a", "b": "1b"})
    talk.keep(Exchange("two"), {"a": "2a"})
    assert said(talk, "a") == ["one", "1a", "two", "2a", "new"]
    assert said(talk, "b") == ["one", "1b", "two", "2a", "new"]
    assert said(talk, "c") == ["one", "1a", "two", "2a", "new"]


def test_a_question_without_an_answer_is_no_history_but_can_be_asked_again() -> None:
    talk = Conversation()
    talk.keep(Exchange("failed"), {})
    assert said(talk, "a") == ["new"]
    assert talk.last().prompt == "failed"


def test_asked_again_a_question_sees_only_what_was_before_it() -> None:
    talk = Conversation()
    talk.keep(Exchange("one"), {"a": "1"})
    talk.keep(Exchange("two"), {"a": "2"})
    again = talk.messages("a", talk.last())
    assert [message["content"] for message in again] == ["one", "1", "two"]


@pytest.mark.parametrize(
    ("answers", "kept"),
    [({"a": "better"}, "better"), ({}, "first")],
    ids=["a new answer replaces the old", "a failure leaves the old"],
)
def test_an_answer_of_a_question_asked_again(answers: dict[str, str], kept: str) -> None:
    talk = Conversation()
    talk.keep(Exchange("one"), {"a": "first"})
    talk.keep(talk.last(), answers)
    assert said(talk, "a") == ["one", kept, "new"]


def test_nothing_can_be_asked_again_before_anything_was_asked() -> None:
    with pytest.raises(InputError, match="nothing was asked yet"):
        Conversation().last()
