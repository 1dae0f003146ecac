"""A Provider as an MLflow model: what is logged, loaded, evaluated elsewhere and served."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import fields, replace
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array, Object, Property

from llm_models.base import Provider
from llm_models.caller import CALLER
from llm_models.errors import InputError
from llm_models.payload import request_of, sampled
from llm_models.schema import OUTPUT_COLUMNS, Completion, ModelConfig, Request, Sampling
from llm_models.served_error import ServedError
from llm_models.serving import stand_before_server

ON_ERROR = ("auto", "raise", "column")


class LLMModel(PythonModel):
    """Answers rows of `prompt` (and optional `system`) or chat `messages`.

    One row that fails raises, so that a server answers with the right HTTP status; of many rows
    the failed ones carry their error in the columns `status`, `error` and `error_kind`
    (parameter `on_error`: "auto", "raise" or "column").
    """

    def __init__(self, provider: type[Provider]) -> None:
        self._provider_class = provider
        self._provider: Provider | None = None

    def load_context(self, context: Any) -> None:
        """Build the provider from the logged config; packed files replace their options."""
        config = ModelConfig.from_dict(dict(context.model_config))
        files = context.artifacts or {}
        options = config.options | {k: v for k, v in files.items() if k in config.options}
        self._provider = self._provider_class(replace(config, options=options))
        stand_before_server(self.answer)

    @property
    def provider(self) -> Provider:
        if self._provider is None:
            raise InputError("the model is not loaded: use mlflow.pyfunc.load_model")
        return self._provider

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer every row, concurrently and in order; see OUTPUT_COLUMNS for the columns."""
        try:
            questions, on_error = self._parse(model_input, params)
        except InputError as error:
            raise ServedError.of(error) from None
        completions = self._complete_all(questions)
        if on_error == "raise" or (on_error == "auto" and len(completions) == 1):
            for completion in completions:
                _raise_failure(completion)
        return self._frame(completions)

    def answer(self, record: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """What `predict` gives for one row, without a data frame. Raises ServedError."""
        try:
            question = self._question(record, params)
        except InputError as error:
            raise ServedError.of(error) from None
        completion = self.provider.complete(question)
        _raise_failure(completion)
        return self.row(completion)

    def stream(
        self, record: Mapping[str, Any], params: Mapping[str, Any]
    ) -> Iterator[str | dict[str, Any]]:
        """The same piece by piece: texts, then the row. Raises ServedError, also after texts."""
        try:
            question = self._question(record, params)
        except InputError as error:
            raise ServedError.of(error) from None
        with closing(self.provider.stream(question)) as pieces:
            for piece in pieces:
                if isinstance(piece, Completion):
                    _raise_failure(piece)
                yield self.row(piece) if isinstance(piece, Completion) else piece

    def _question(self, record: Mapping[str, Any], params: Mapping[str, Any]) -> Request:
        config = self.provider.config
        question = request_of(record, config.system, sampled(config.sampling, params), "row 0")
        _check_limits([question])
        return question

    def _complete_all(self, questions: list[Request | InputError]) -> list[Completion]:
        """Each in a copy of this context, which tells the provider who waits."""
        with ThreadPoolExecutor(min(self.provider.config.concurrency, len(questions))) as pool:
            calls = [pool.submit(copy_context().run, self._complete, q) for q in questions]
            return [call.result() for call in calls]

    def _complete(self, question: Request | InputError) -> Completion:
        if isinstance(question, Request):
            return self.provider.complete(question)
        return Completion(
            "error", error=str(question), error_kind="invalid_request", cost_usd=0.0, attempts=0
        )

    def predict_stream(
        self, context: Any, model_input: Any, params: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Answer one row piece by piece: `{"delta": text}` …, then the full output row."""
        frame = (
            model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame([model_input])
        )
        (question, *_), _ = self._parse(frame, params)
        if isinstance(question, InputError):
            raise ServedError.of(question)
        for piece in self.provider.stream(question):
            yield {"delta": piece} if isinstance(piece, str) else self.row(piece)

    def row(self, completion: Completion) -> dict[str, Any]:
        """A completion with the model's identity, in the order of OUTPUT_COLUMNS."""
        config = self.provider.config
        known = {"supplier": config.provider, "model_name": config.model}
        record = completion.record() | known
        return {name: record[name] for name in OUTPUT_COLUMNS}

    def _parse(
        self, frame: pd.DataFrame, params: dict[str, Any] | None
    ) -> tuple[list[Request | InputError], str]:
        """A question for each row, an error in the place of a row that is none; and on_error."""
        given = {k: v for k, v in (params or {}).items() if v is not None}
        on_error = given.pop("on_error", "auto")
        if on_error not in ON_ERROR:
            raise InputError(f"on_error must be one of {', '.join(ON_ERROR)}")
        if frame.empty or not {"prompt", "messages"} & set(frame.columns):
            raise InputError("give 'prompt' (text) or 'messages' (a list of role and content)")
        config = self.provider.config
        sampling = sampled(config.sampling, given)
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        questions: list[Request | InputError] = []
        for number, record in enumerate(records):
            try:
                questions.append(request_of(record, config.system, sampling, f"row {number}"))
            except InputError as error:
                questions.append(error)
        _check_limits(questions)
        return questions, on_error

    def _frame(self, completions: list[Completion]) -> pd.DataFrame:
        # dtype object keeps None: the scoring server writes NaN as invalid JSON.
        rows = [self.row(_public(c) if CALLER.get() else c) for c in completions]
        return pd.DataFrame(rows, columns=list(OUTPUT_COLUMNS), dtype=object)


def _check_limits(questions: Sequence[Request | InputError]) -> None:
    """Raises TooLargeError for what is too much over HTTP."""
    caller = CALLER.get()
    if caller:
        caller.limits.check_rows(len(questions))
        caller.limits.check_prompts(questions)


def _raise_failure(completion: Completion) -> None:
    if not completion.answered:
        raise _failure(completion)


def _failure(completion: Completion) -> ServedError:
    hint = f" ({completion.hint})" if completion.hint else ""
    kind, text = completion.error_kind or "bad_response", f"{completion.error}{hint}"
    caller = CALLER.get()
    if caller and not caller.left.is_set():  # else it is the caller who broke the call
        logging.getLogger("llm_models").warning("%s: %s", kind, text)
    told = None if completion.attempts else completion.error  # nobody was asked: our own words
    return ServedError(kind, text, told=told, retry_after=completion.retry_after_s)


def _public(completion: Completion) -> Completion:
    """A failed row as an HTTP client may see it."""
    if completion.answered:
        return completion
    return replace(completion, error=_failure(completion).told, hint=None)


def signature() -> ModelSignature:
    """The one form that serves frames, records, chat payloads, Spark and both evaluations."""
    message = Object([Property("role", DataType.string), Property("content", DataType.string)])
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "prompt", required=False),
        ColSpec(Array(message), "messages", required=False),
        ColSpec(DataType.string, "system", required=False),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(kind, name, required=False) for name, kind in OUTPUT_COLUMNS.items()
    ]
    return ModelSignature(Schema(inputs), Schema(outputs), _params())


def _params() -> ParamSchema:
    kinds = {"top_k": DataType.long, "max_tokens": DataType.long, "seed": DataType.long}
    specs = [
        ParamSpec("stop", DataType.string, [], shape=(-1,))  # None is not allowed for a list
        if f.name == "stop"
        else ParamSpec(f.name, kinds.get(f.name, DataType.double), None)
        for f in fields(Sampling)
    ]
    return ParamSchema([*specs, ParamSpec("on_error", DataType.string, "auto")])


def publish(provider: type[Provider]) -> None:
    """Called by a provider's file when MLflow runs it to build the model."""
    set_model(LLMModel(provider))
