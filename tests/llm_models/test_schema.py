"""A row's outcome as a flat record and back."""

import json

from llm_models.schema import Completion, Timing, Usage


def test_a_completion_survives_its_record() -> None:
    whole = Completion(
        status="ok",
        text="Hi",
        finish_reason="stop",
        model_version="llama3.1:8b",
        usage=Usage(1, 2, 3, 4, 10),
        latency_s=0.5,
        timing=Timing(0.1, 0.2, 0.3, 0.4),
        cost_usd=0.001,
        attempts=2,
        retry_s=0.7,
        hint="raise num_ctx",
    )
    failed = Completion(status="incomplete", partial="H", error="cut", error_kind="incomplete")

    for completion in (whole, failed):
        record = json.loads(json.dumps(completion.record())) | {"supplier": "ollama"}
        assert Completion.from_record(record) == completion
