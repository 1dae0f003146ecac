"""Any server of OpenAI's chat format: OpenAI, LiteLLM, MLflow's AI Gateway, vLLM, llama.cpp, …"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any, Literal

import requests
from pydantic import BaseModel, Field

from llm_models.base import Provider
from llm_models.connection import Connection, told
from llm_models.error_body import error_text, kind_of, seconds
from llm_models.errors import CallError, scrub
from llm_models.schema import Chunk, ModelConfig, Request, Sampling, Status, Usage
from llm_models.thinking import after_thinking

OPENAI = "https://api.openai.com/v1"
CHAT = "/chat/completions"
# A field that some servers refuse, and the word by which they tell:
REFUSABLE = {"max_tokens": "max_completion_tokens", "stream_options": "stream_options"}
ENDINGS: dict[str, Status] = {"stop": "ok", "length": "truncated", "content_filter": "blocked"}
ENDINGS |= {"eos": "ok", "model_length": "truncated"}  # Together's, Mistral's
ENDINGS |= {"insufficient_system_resource": "incomplete"}  # DeepSeek's: it was interrupted
TOOL_CALLS = ("tool_calls", "function_call")
WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length")
_HINTS = {
    "unauthenticated": "set OPENAI_API_KEY to a key of that server",
    "model_not_found": "choose one that it lists under /models",
    "quota_exhausted": "raise the account's limit, or wait for its reset",
    "rate_limited": "lower the concurrency, or set `limits` in the config",
    "context_overflow": "shorten the prompt, lower max_tokens or choose a longer context",
    "bad_response": "is that its base_url? Most end in /v1",
}


class OpenAIOptions(BaseModel, extra="forbid", strict=True):
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    response_schema: dict[str, Any] | None = None  # a JSON schema
    extra_body: dict[str, Any] = Field(default_factory=dict)  # sent as it is, over all else


class Server(Connection):
    """The one that base_url, else OPENAI_BASE_URL, names; OpenAI's own where nothing does."""

    server = "the server"
    url_variable = "OPENAI_BASE_URL"
    key_variable = "OPENAI_API_KEY"

    @property
    def url(self) -> str:
        surrounding = os.environ.get(self.url_variable, "").strip()
        return (self._config.base_url or surrounding or OPENAI).rstrip("/")

    def send(self, path: str, payload: dict[str, Any] | None = None) -> requests.Response:
        if self.url == OPENAI and not self.key:
            text = "no OpenAI API key in the environment: set OPENAI_API_KEY, or base_url"
            raise CallError("unauthenticated", f"{text} for another server")
        return super().send(path, payload)

    def refusal(self, status: int | None, body: Any, retry_after: str | None = None) -> CallError:
        words = body.decode("utf-8", "replace") if isinstance(body, bytes) else json.dumps(body)
        text = error_text(body)
        kind = kind_of(status or _status_within(body, text), words)
        said = f"answered {status}" if status else "broke off its answer"
        hint = _HINTS.get(kind) or _refused_option(kind, text)
        if kind == "server_error" and not self.key:  # what LiteLLM answers to a missing key
            hint = "set OPENAI_API_KEY if that server wants a key"
        return CallError(
            kind,
            f"the server at {self.url} {said}: {text or 'no message'}",
            retry_after=seconds(retry_after, text if kind == "rate_limited" else ""),
            hint=hint,
            retry=False if kind == "bad_response" else None,  # a wrong address stays wrong
        )


class OpenAI(Provider):
    """One model, or one name of a proxy's. The key is OPENAI_API_KEY, where one is needed."""

    supplier = "openai"
    Options = OpenAIOptions
    requirements = ("requests",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self._server = Server(config)
        self._refused: set[str] = set()  # of REFUSABLE

    def identity(self) -> dict[str, Any]:
        """The server, and what stands behind the name where it tells (vLLM, llama.cpp, LiteLLM)."""
        entry = self._listed()
        behind = entry.get("root") or self._behind()
        weights = {name: told(entry.get("meta")).get(name) for name in ("n_params", "size")}
        return told({"server": scrub(self._server.url), "serves": behind} | weights)

    def details(self) -> dict[str, Any]:
        """context_length, in tokens, where the server tells it."""
        entry = self._listed()
        return told({"context_length": next((entry[n] for n in WINDOWS if n in entry), None)})

    def mlflow_judge_url(self) -> str:
        return self._server.url + CHAT

    def chunks(self, request: Request, *, stream: bool) -> Iterator[Chunk]:
        server = self._server
        response = self._send(self._payload(request, stream))
        for piece in server.events(response) if stream else [server.whole(response)]:
            if piece.get("error") or piece.get("object") == "error":
                raise server.refusal(None, piece)
            if not isinstance(piece.get("choices"), list):
                raise server.foreign(piece)
            yield _chunk(piece, whole=not stream)

    def clean(self, text: str) -> str:
        return after_thinking(text)

    def _payload(self, request: Request, stream: bool) -> dict[str, Any]:
        options = self.options.model_dump(exclude_none=True)
        extra, schema = options.pop("extra_body"), options.pop("response_schema", None)
        if schema:
            named = {"name": "answer", "schema": schema, "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": named}
        if stream:
            options["stream_options"] = {"include_usage": True}
        sampling = {k: v for k, v in asdict(request.sampling).items() if v is not None}
        system = [{"role": "system", "content": request.system}] if request.system else []
        asked = {"messages": [*system, *request.messages], "stream": stream}
        return {"model": self.config.model} | asked | sampling | options | extra

    def _send(self, payload: dict[str, Any]) -> requests.Response:
        """One call, sent again without a field that turns out to be refused."""
        while True:
            for name in self._refused & payload.keys():
                value = payload.pop(name)
                if name == "max_tokens":
                    payload["max_completion_tokens"] = value
            try:
                return self._server.send(CHAT, payload)
            except CallError as error:
                text = str(error)
                refused = {n for n, word in REFUSABLE.items() if n in payload and word in text}
                if error.kind != "invalid_request" or not refused:
                    raise
                self._refused |= refused

    def _listed(self) -> dict[str, Any]:
        """The model's entry in /models; {} of a server that has no such list, or an empty one."""
        try:
            models = self._server.ask("/models").get("data")
        except CallError as error:
            if error.kind != "bad_response":
                raise
            self._probe()
            return {}
        entries = {str(told(model).get("id")): told(model) for model in models or ()}
        model = self.config.model
        for name, entry in entries.items():
            if model in (name, name.removeprefix("models/")) or fnmatchcase(model, name):
                return entry
        if entries:
            text = f"the server at {self._server.url} has no model '{model}'"
            raise CallError("model_not_found", f"{text}; it has {', '.join(sorted(entries))}")
        return {}

    def _probe(self) -> None:
        """Whether there is a chat at all, by a question too empty to be answered."""
        try:
            self._server.ask(CHAT, {})
        except CallError as error:
            if error.kind not in ("invalid_request", "model_not_found", "server_error"):
                raise

    def _behind(self) -> str:
        """The models that LiteLLM serves under one name; '' where it, or another, does not tell."""
        try:
            models = self._server.ask("/model/info").get("data") or []
        except CallError:
            return ""
        mine = [told(m) for m in models if told(m).get("model_name") == self.config.model]
        return ", ".join(sorted({str(told(m.get("litellm_params")).get("model")) for m in mine}))


def _chunk(piece: dict[str, Any], whole: bool) -> Chunk:
    """One piece of an answer; a whole one is finished even if it does not say so."""
    choice = next((told(c) for c in piece["choices"] if not told(c).get("index")), {})
    message = told(choice.get("delta")) or told(choice.get("message"))
    beside = told(message.get("provider_specific_fields"))  # where LiteLLM puts what is OpenAI's
    reason, refused = choice.get("finish_reason"), (message | beside).get("refusal")
    ended, called = reason or ("stop" if whole else None), reason in TOOL_CALLS
    hint = "the model refused to answer" if refused else None
    return Chunk(
        text=_text(message.get("content")) or _text(refused),
        status="ok" if called else ENDINGS.get(ended, "error") if ended else None,
        finish_reason=reason,
        model_version=piece.get("model"),
        usage=_usage(piece.get("usage")),
        thought="reasoning_content" in message or "reasoning" in message,
        hint="the model answered with a tool call" if called else hint,
    )


def _text(content: Any) -> str:
    """Of text, or of a list of parts, among which thinking may be."""
    if isinstance(content, list):
        return "".join(p.get("text", "") for p in map(told, content) if p.get("type") == "text")
    return content if isinstance(content, str) else ""


def _usage(counts: Any) -> Usage | None:
    """OpenAI counts reasoning within completion_tokens, xAI beside them: the total tells which."""
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    prompt, output, total = (_count(counts, name) for name in names)
    if not prompt:  # no prompt has 0 tokens: nothing was counted
        return None
    thinking = _count(told(counts).get("completion_tokens_details"), "reasoning_tokens")
    if output and thinking and output >= thinking and total != prompt + output + thinking:
        output -= thinking
    cached = _count(told(counts).get("prompt_tokens_details"), "cached_tokens")
    return Usage(prompt, output, thinking, cached, total)


def _count(counts: Any, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and value >= 0 else None


def _refused_option(kind: str, text: str) -> str | None:
    """What mends it; nothing is left out unasked, or another thing would be evaluated."""
    named = [name for name in asdict(Sampling()) if re.search(rf"\b{name}\b", text)]
    known = kind == "invalid_request" and named
    return f"set {named[0]} to null, or to what that model takes" if known else None


def _status_within(body: Any, text: str) -> int:
    """The HTTP status of an error in the middle of a stream; MLflow's gateway begins with it."""
    code = told(told(body).get("error") or body).get("code")
    found = [re.match(r"[45]\d\d\b", said) for said in (str(code), text)]
    return next((int(status[0]) for status in found if status), 500)


if __name__.startswith("code_model_"):  # MLflow runs this file to build the model
    from llm_models.model import publish

    publish(OpenAI)
