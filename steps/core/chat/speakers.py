"""Who can be talked to in this process: a candidate of the config."""

from collections.abc import Generator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from llm_models.errors import CallError
from llm_models.schema import Completion, Message, ModelConfig, Request
from steps.core.answering.candidates import Ready
from steps.core.answering.window import prompt_room

if TYPE_CHECKING:
    from mlflow import MlflowClient

Answering = Generator[str | Completion, None, None]  # pieces of text, then how it ended


class Speaker(Protocol):
    """One model, ready to be asked; a packed one is in packed.py."""

    @property
    def name(self) -> str:
        """What it is called by: the candidate's name, or the model's address."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def origin(self) -> Mapping[str, str]:
        """Where it was loaded from, as tags of its run."""

    @property
    def room(self) -> int | None:
        """Tokens a prompt may have, where that is known."""

    def ask(self, messages: tuple[Message, ...], system: str | None) -> Answering:
        """Raises CallError; `system` None leaves it the config's."""

    def stop(self) -> None:
        """End the answer under way at once, where that can be done."""

    def model_id(self, client: "MlflowClient", experiment_id: str) -> str:
        """The id of its logged model."""

    def close(self) -> None: ...


def described(speaker: Speaker) -> str:
    """Its model, and which version of it where that was looked up."""
    version = speaker.origin.get("model_version")
    model = f"{speaker.config.model} by {speaker.config.provider}"
    return f"{model}, version {version}" if version else model


class CandidateSpeaker:
    """A candidate, asked through its provider."""

    def __init__(self, ready: Ready) -> None:
        self.name, self.config = ready.candidate.name, ready.config
        self.origin: Mapping[str, str] = {}
        self._ready = ready

    @cached_property
    def room(self) -> int | None:
        provider = self._ready.provider
        try:
            told = provider.details()
        except CallError:  # only a warning depends on it
            told = {}
        return prompt_room(type(provider), self.config, told)

    def ask(self, messages: tuple[Message, ...], system: str | None) -> Answering:
        told = self.config.system if system is None else system
        yield from self._ready.provider.stream(Request(messages, told, self.config.sampling))

    def stop(self) -> None:
        """Left to whoever reads: its thread closes the connection at the next piece."""

    def model_id(self, client: "MlflowClient", experiment_id: str) -> str:
        from steps.core.logged_models import ensure_logged

        return ensure_logged(client, self._ready, experiment_id)[0]

    def close(self) -> None:
        """Nothing is held."""
