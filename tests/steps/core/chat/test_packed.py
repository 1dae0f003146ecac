"""Logged and registered models, each in a process of its own."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from llm_models.errors import CallError, InputError
from steps.core.chat.cast import Cast
from steps.core.chat.packed import Packed
from steps.core.chat.turn import Question, Turn
from steps.core.config import load
from tests.servers.ollama import OllamaServer, Reply, delta, ending
from tests.steps.core.chat.conftest import MODELS, Log, packed_code

QUESTION: Any = ({"role": "user", "content": "hi"},)


@pytest.fixture
def cast(config: Path) -> Iterator[Cast]:
    with Cast(load(config)) as cast:
        yield cast


def said(speaker: Packed, system: str | None = None) -> list[Any]:
    return list(speaker.ask(QUESTION, system))


def test_models_answer_with_the_code_and_the_settings_they_were_packed_with(
    log: Log, cast: Cast, client: MlflowClient, registered_name: str, server: OllamaServer
) -> None:
    one, two = log("one"), log("two")
    for model_id, change in {one: "upper", two: "title"}.items():
        code = packed_code(model_id) / "base.py"
        code.write_text(
            code.read_text().replace("yield chunk.text", f"yield chunk.text.{change}()")
        )
    version = mlflow.register_model(f"models:/{one}", registered_name).version
    client.set_registered_model_alias(registered_name, "staging", str(version))

    address = f"models:/{registered_name}@staging"
    first, second = cast.meet(f"{address},models:/{two}")
    assert (first.name, first.config.model, second.config.model) == (address, *MODELS)
    assert first.origin == {"model_uri": address, "model_version": str(version)}
    assert second.origin == {"model_uri": f"models:/{two}"}
    assert first.model_id(client, "any") == one
    assert f"llama3.1:8b by ollama, version {version}" in cast.menu([])
    assert first.room == 4096  # what a server of one's own is taken to have
    *pieces, completion = said(first)
    assert "".join(pieces) == "YOU SAID: HI"
    assert (completion.text, completion.status) == ("You said: hi", "ok")
    assert completion.usage.total_tokens
    assert "".join(said(second, "Rhyme.")[:-1]) == "You Said: Hi"
    systems = [seen.body["messages"][0]["content"] for seen in server.requests[-2:]]
    assert systems == ["Be brief.", "Rhyme."]


def test_a_stop_a_failure_and_a_refusal_each_leave_the_next_question_its_own_answer(
    log: Log, cast: Cast, server: OllamaServer
) -> None:
    (speaker,) = cast.meet(f"models:/{log('one')}")
    never = threading.Event()
    server.fault(Reply(chunks=[delta("half"), never, ending()]))
    turn = Turn([Question(1, speaker, QUESTION, None)])
    assert next(turn.pieces(speaker.name)) == "half"
    turn.stop()
    assert turn.replies[speaker.name].said == "half"
    assert "".join(said(speaker)[:-1]) == "You said: hi"  # while the server still holds the first
    never.set()

    server.fault(Reply(status=404, body={"error": "model 'llama3.1:8b' not found"}))
    (failed,) = said(speaker)
    assert (failed.status, failed.error_kind) == ("error", "model_not_found")
    assert "ollama pull" in failed.error

    with pytest.raises(CallError, match="no user message") as refused:
        list(speaker.ask(({"role": "assistant", "content": "hi"},), None))
    assert refused.value.kind == "invalid_request"
    assert "".join(said(speaker)[:-1]) == "You said: hi"


def test_a_process_that_dies_is_told_and_replaced_by_the_same_version(
    log: Log, cast: Cast, client: MlflowClient, registered_name: str, server: OllamaServer
) -> None:
    for name in ("one", "two"):
        mlflow.register_model(f"models:/{log(name)}", registered_name)
    client.set_registered_model_alias(registered_name, "staging", "1")
    (speaker,) = cast.meet(f"models:/{registered_name}@staging")
    client.set_registered_model_alias(registered_name, "staging", "2")

    process = speaker._process._process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(CallError, match="has ended"):
        said(speaker)
    assert "".join(said(speaker)[:-1]) == "You said: hi"
    assert server.requests[-1].body["model"] == "llama3.1:8b"


def test_an_address_that_leads_nowhere_is_told(log: Log, cast: Cast) -> None:
    with pytest.raises(InputError, match=r"models:/none@staging cannot be loaded: .* not found"):
        cast.meet("models:/none@staging")
    assert cast.known == {}


def test_a_model_of_another_kind_is_refused(log: Log, cast: Cast, tmp_path: Path) -> None:
    code = tmp_path / "other.py"
    code.write_text(
        "from mlflow.models import set_model\nfrom mlflow.pyfunc import PythonModel\n"
        "class Other(PythonModel):\n    def predict(self, context, model_input: list[str]):\n"
        "        return model_input\nset_model(Other())\n"
    )
    info = mlflow.pyfunc.log_model(
        name="other", python_model=str(code), pip_requirements=["mlflow"]
    )
    with pytest.raises(InputError, match="is none that"):
        cast.meet(info.model_uri)
