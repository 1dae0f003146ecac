"""A model as it was logged or registered, talked to with the code that was packed with it."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from llm_models.errors import KINDS, CallError, LabError
from llm_models.schema import Completion, Message, ModelConfig
from steps.core.answering.window import prompt_room
from steps.core.chat.model_process import ModelProcess
from steps.core.chat.speakers import Answering
from steps.core.providers import provider_class

if TYPE_CHECKING:
    from mlflow import MlflowClient

ADDRESS = "models:/"


class Packed:
    """The speaker behind `models:/name@alias`, `models:/name/3` or `models:/m-…`.

    It begins to load at once; `wait` before anything else is used of it.
    """

    def __init__(self, address: str) -> None:
        self.name = address
        self._process = ModelProcess(address)

    def wait(self) -> None:
        """Until it is loaded. Raises InputError where it cannot be."""
        self._process.wait()

    @cached_property
    def config(self) -> ModelConfig:
        return ModelConfig.from_dict(self._process.told["config"])

    @property
    def origin(self) -> Mapping[str, str]:
        version = self._process.told["version"]
        return {"model_uri": self.name} | ({"model_version": version} if version else {})

    @cached_property
    def room(self) -> int | None:
        try:
            told = next(self._process.ask({})).get("details", {})
            kind = provider_class(self.config.provider)
        except LabError:  # only a warning depends on it
            return None
        return prompt_room(kind, self.config, told)

    def ask(self, messages: tuple[Message, ...], system: str | None) -> Answering:
        own = {} if system is None else {"system": system}
        for line in self._process.ask({"inputs": {"messages": messages, **own}}):
            if "status" not in line and "error" in line:
                kind = line.get("error_kind")
                raise CallError(kind if kind in KINDS else "bad_response", line["error"])
            yield line["delta"] if "delta" in line else Completion.from_record(line)

    def stop(self) -> None:
        self._process.stop()

    def model_id(self, client: "MlflowClient", experiment_id: str) -> str:
        return str(self._process.told["model_id"])

    def close(self) -> None:
        self._process.close()
