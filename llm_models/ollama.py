"""Ollama, local or cloud, through POST /api/chat."""

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

import requests
from pydantic import AfterValidator, BaseModel, Field

from llm_models.base import Provider
from llm_models.connection import told
from llm_models.errors import CallError
from llm_models.ollama_answer import ENDINGS, hint, timing, usage
from llm_models.ollama_errors import CANNOT_THINK, TOOL_CALL_LOST
from llm_models.ollama_http import OllamaConnection, host_url
from llm_models.schema import Chunk, ModelConfig, Request, Sampling
from llm_models.thinking import after_thinking

__all__ = ["Ollama", "OllamaOptions", "host_url"]

BESIDE_OPTIONS = {"keep_alive", "think", "format"}  # Ollama ignores them inside "options"
CLOUD_MODEL = re.compile(r"[:-]cloud$")
CLOUD_SERVER = re.compile(r"https?://([\w.-]+\.)?ollama\.com\b")
GO_DURATION = re.compile(r"-?(0|(\d+(\.\d+)?(ns|us|ms|s|m|h))+)")


def _duration(value: str | int | None) -> str | int | None:
    if isinstance(value, str) and not GO_DURATION.fullmatch(value):
        raise ValueError('give a duration such as "5m", or a number of seconds')
    return value


class OllamaOptions(BaseModel, extra="forbid", strict=True):
    """Ollama ignores a name it does not know without a word: only these are let through."""

    num_ctx: int | None = Field(None, gt=0)  # tokens of prompt and answer together
    keep_alive: Annotated[str | int | None, AfterValidator(_duration)] = None
    think: Literal[True, False, "low", "medium", "high"] | None = None
    format: Literal["json"] | dict[str, Any] | None = None  # "json" or a JSON schema
    repeat_penalty: float | None = Field(None, gt=0)
    min_p: float | None = Field(None, ge=0, le=1)
    num_gpu: int | None = Field(None, ge=-1)  # layers on the GPU; -1 lets Ollama choose
    num_thread: int | None = Field(None, gt=0)


class Ollama(Provider):
    """One model of the server that `base_url`, else OLLAMA_HOST, names."""

    supplier = "ollama"
    Options = OllamaOptions
    local = True
    requirements = ("requests",)
    window_option = "num_ctx"

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self._server = OllamaConnection(config)
        self._unthinking = threading.Event()  # set once the model has refused `think`

    @classmethod
    def runs_locally(cls, config: ModelConfig) -> bool:
        """Not where the server, or the model behind a local server, is Ollama's cloud."""
        url = host_url(config.base_url or os.environ.get("OLLAMA_HOST"))
        return not (CLOUD_MODEL.search(config.model) or CLOUD_SERVER.match(url))

    def identity(self) -> dict[str, Any]:
        """digest, quantization and parameter_size, each where the server tells it."""
        listed = self._listed()
        described = told(listed.get("details"))
        if not {"quantization_level", "parameter_size"} <= set(described):
            described = told(self._informed("/api/show").get("details")) | described
        return told(
            {
                "digest": listed.get("digest"),
                "quantization": described.get("quantization_level"),
                "parameter_size": described.get("parameter_size"),
            }
        )

    def details(self) -> dict[str, Any]:
        """family, context_length and server_version, which do not change what is answered."""
        shown = self._informed("/api/show")
        info = told(shown.get("model_info"))
        return told(
            {
                "family": told(shown.get("details")).get("family"),
                "context_length": info.get(f"{info.get('general.architecture')}.context_length"),
                "server_version": self._informed("/api/version").get("version"),
            }
        )

    def parallel(self, most: int) -> int:
        """What the server runs at once where OLLAMA_NUM_PARALLEL tells; more would only queue."""
        allowed = os.environ.get("OLLAMA_NUM_PARALLEL", "")
        return min(most, int(allowed)) if allowed.isdigit() and int(allowed) else most

    def warm_up(self) -> float | None:
        """Load the model as the calls will want it: another num_ctx would load it again.

        The server tells how long that took only in answers; here its call is that long.
        """
        payload = self._payload(Request(()), stream=False)
        kept = {
            name: payload[name] for name in ("model", "options", "keep_alive") if name in payload
        }
        began = time.perf_counter()
        self._server.ask("/api/generate", kept | {"stream": False})
        return time.perf_counter() - began

    def mlflow_judge_url(self) -> str:
        """MLflow itself would ask localhost, whatever OLLAMA_HOST says."""
        return f"{self._server.url}/v1/chat/completions"

    def chunks(self, request: Request, *, stream: bool) -> Iterator[Chunk]:
        response = self._chat(self._payload(request, stream))
        spoke = called = False
        server = self._server
        streamed = map(server.parsed, server.lines(response))
        for piece in streamed if stream else [server.whole(response)]:
            message = self._message(piece)
            chunk = Chunk(message.get("content", ""), thought="thinking" in message)
            spoke = spoke or bool(chunk.text.strip())
            called = called or "tool_calls" in message
            if piece.get("done") is True:
                chunk = self._ended(chunk, piece, request)
                if called and not spoke:
                    chunk = replace(chunk, hint="the model answered with a tool call")
            yield chunk

    def clean(self, text: str) -> str:
        return after_thinking(text)

    def _payload(self, request: Request, stream: bool) -> dict[str, Any]:
        options = self.options.model_dump(exclude_none=True)
        beside = {name: options.pop(name) for name in BESIDE_OPTIONS & set(options)}
        if self._unthinking.is_set():
            beside.pop("think", None)
        system = [{"role": "system", "content": request.system}] if request.system else []
        return beside | {
            "model": self.config.model,
            "messages": [*system, *request.messages],
            "stream": stream,
            "options": options | _sampling(request.sampling),
            # Refuse a prompt that does not fit; end an answer that fills the window. Servers
            # before 0.12.6 know neither word and cut in silence: see looks_cut.
            "truncate": False,
            "shift": False,
        }

    def _chat(self, payload: dict[str, Any]) -> requests.Response:
        """One call, sent again where the refusal says that a second one may succeed."""
        try:
            return self._server.send("/api/chat", payload)
        except CallError as error:
            if "think" in payload and CANNOT_THINK.search(str(error)):
                del payload["think"]
                self._unthinking.set()
                logging.getLogger("llm_models.ollama").warning("%s; asking without think", error)
            elif TOOL_CALL_LOST not in str(error):
                raise
        return self._server.send("/api/chat", payload)

    def _message(self, piece: dict[str, Any]) -> dict[str, Any]:
        """The message of one piece. Raises CallError for an error in its place."""
        message = told(piece.get("message"))
        answers = bool(message) or "done" in piece
        failed = {"error", "statuscode"} & {key.lower() for key in told(piece)}
        # A server may also put the error's text where a key belongs.
        if failed or (not answers and any(" " in key for key in piece)):
            raise self._server.refusal(None, piece)
        if not answers or not isinstance(message.get("content", ""), str):
            raise self._server.foreign(piece)
        return message

    def _ended(self, chunk: Chunk, last: dict[str, Any], request: Request) -> Chunk:
        reason, used = last.get("done_reason") or None, usage(last)
        return replace(
            chunk,
            status=ENDINGS.get(reason),
            finish_reason=reason,
            model_version=last.get("model") or None,
            usage=used,
            timing=timing(last),
            hint=hint(reason, request, used.input_tokens, self.options.num_ctx),
        )

    def _listed(self) -> dict[str, Any]:
        """The model's entry in /api/tags, which alone decides whether there is one."""
        try:
            models = self._server.ask("/api/tags").get("models") or []
        except CallError as error:
            if error.kind != "bad_response":
                raise
            return self._server.ask("/api/show", {"model": self.config.model})  # has no list
        wanted = _tagged(self.config.model)
        for model in models:
            if wanted in (_tagged(model.get("name")), _tagged(model.get("model"))):
                return dict(model)
        raise self._server.refusal(404, "model not found")

    def _informed(self, path: str) -> dict[str, Any]:
        """What /api/show or /api/version tells, {} where it tells nothing: it decides nothing."""
        payload = {"model": self.config.model} if path == "/api/show" else None
        try:
            return self._server.ask(path, payload)
        except CallError:
            return {}


def _tagged(name: str | None) -> str:
    name = (name or "").lower()
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _sampling(sampling: Sampling) -> dict[str, Any]:
    given = {name: value for name, value in asdict(sampling).items() if value is not None}
    if "max_tokens" in given:
        given["num_predict"] = given.pop("max_tokens")
    return given


if __name__.startswith("code_model_"):  # MLflow runs this file to build the model
    from llm_models.model import publish

    publish(Ollama)
