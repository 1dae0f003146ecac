"""Gemini through Google's own SDK: the developer API by key, or Vertex AI by its environment.

The SDK takes more than a second to import, so it is imported by the code that uses it; this
file loads without it.
"""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llm_models.base import Provider
from llm_models.errors import CallError
from llm_models.gemini_answer import chunk_of, parts_of, speaks
from llm_models.gemini_errors import guarded, problem, translated
from llm_models.gemini_request import GeminiOptions, config_of, contents_of
from llm_models.loopback import is_loopback
from llm_models.schema import Chunk, ModelConfig, Request

if TYPE_CHECKING:
    from google.genai import Client, types

MIN_POOL = 256  # connections kept open: a served model is asked by more threads than a run
KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")  # the first one set counts


class Gemini(Provider):
    """One Gemini model.

    The key is GEMINI_API_KEY, else GOOGLE_API_KEY, read at every call. With
    GOOGLE_GENAI_USE_VERTEXAI set, Vertex AI answers, by the SDK's own environment variables.
    """

    supplier = "gemini"
    Options = GeminiOptions
    requirements = ("google-genai",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if _on_vertex() or any(os.environ.get(name) for name in KEYS):
            # Here, so that this second is not counted as the first call's latency.
            import google.genai.types  # noqa: F401
        self._lock = threading.Lock()
        self._held: tuple[str | None, Client] | None = None

    def identity(self) -> dict[str, Any]:
        """model_version, where the server tells it."""
        model = self._described()
        return {"model_version": model.version} if model and model.version else {}

    def details(self) -> dict[str, Any]:
        """context_length and output_limit, in tokens, where the server tells them."""
        model = self._described()
        limits = {
            "context_length": model and model.input_token_limit,
            "output_limit": model and model.output_token_limit,
        }
        return {name: value for name, value in limits.items() if value}

    def warm_up(self) -> None:
        """Set up the SDK's client: a tenth of a second that is no latency of the first calls."""
        self._client()

    def mlflow_judge_url(self) -> str | None:
        base = _base_url(self.config)
        page = f"v1beta/models/{self.config.model}:generateContent"
        return f"{base.rstrip('/')}/{page}" if base else None

    def chunks(self, request: Request, *, stream: bool) -> Iterator[Chunk]:
        client = self._client()  # held here: the SDK closes its connections with the Client
        replies = self._replies(client, request, stream)
        wrote = False
        for reply in guarded(replies, self.config.timeout_s):
            wrote = wrote or any(map(speaks, parts_of(reply)))
            yield chunk_of(reply, wrote)

    def _replies(
        self, client: "Client", request: Request, stream: bool
    ) -> Iterator["types.GenerateContentResponse"]:
        asked: Any = {
            "model": self.config.model,
            "contents": contents_of(request),
            "config": config_of(request, self.options),
        }
        if stream:
            yield from client.models.generate_content_stream(**asked)
        else:
            yield client.models.generate_content(**asked)

    def _described(self) -> "types.Model | None":
        """None where a proxy has no such route; a wrong address shows in the first call."""
        client = self._client()
        try:
            with translated():
                return client.models.get(model=self.config.model)
        except CallError as error:
            if error.kind != "bad_response":
                raise
            return None

    def _client(self) -> "Client":
        with self._lock:
            key = None if _on_vertex() else _key()
            if self._held is None or self._held[0] != key:
                self._held = key, _connect(self.config, key)
            return self._held[1]


def _on_vertex() -> bool:
    """As the SDK itself decides."""
    legacy = os.environ.get("GOOGLE_GENAI_USE_VERTEXAI", "")
    return os.environ.get("GOOGLE_GENAI_USE_ENTERPRISE", legacy).lower() in ("true", "1")


def _base_url(config: ModelConfig) -> str | None:
    return config.base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL")


def _key() -> str:
    """Raises CallError when there is none, or one that no HTTP header can carry."""
    keys = (os.environ.get(name, "").strip() for name in KEYS)
    key = next(filter(None, keys), None)
    if key is None:
        raise problem("unauthenticated", "no Gemini API key in the environment")
    if not (key.isascii() and key.isprintable()):
        raise problem("unauthenticated", "the Gemini API key holds characters that no key has")
    return key


def _connect(config: ModelConfig, key: str | None) -> "Client":
    from google.genai import Client, types

    _quieten()
    http = types.HttpOptions(
        base_url=config.base_url,
        api_version="v1beta" if key else None,  # Vertex AI has versions of its own
        timeout=round(config.timeout_s * 1000),
        # On Vertex AI, arguments of ours would switch client certificates off.
        client_args=_transport(config) if key else None,
    )
    try:
        with translated():
            return Client(vertexai=key is None, api_key=key, http_options=http)
    except CallError as error:
        raise CallError("unauthenticated", str(error)) from None
    except ImportError as error:  # of what a SOCKS proxy needs
        raise problem("unreachable", f"no way to Gemini: {error}", retry=False) from None


def _transport(config: ModelConfig) -> dict[str, Any]:
    """A redirect would carry the key elsewhere; the SDK's pool keeps 20 connections, of 100."""
    from httpx2 import Limits

    kept = max(MIN_POOL, config.concurrency)
    return {
        "follow_redirects": False,
        "limits": Limits(max_keepalive_connections=kept),
        "trust_env": not is_loopback(_base_url(config) or ""),  # no proxy to loopback
    }


def _quieten() -> None:
    """The SDK warns of two keys being set, and of every enum value younger than itself."""
    logger = logging.getLogger("google_genai")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", r".* is not a valid \w+$", module=r"google\.genai\.")


if __name__.startswith("code_model_"):  # MLflow runs this file to build the model
    from llm_models.model import publish

    publish(Gemini)
