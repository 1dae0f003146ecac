"""A packed model in a process of its own, asked in lines of JSON; run as a script.

MLflow runs the code packed with a model only where no other `llm_models` has been imported, so
nothing of the project is imported here. A line of output answers the question of the same "n".
"""

import json
import os
import signal
import sys
from typing import Any, TextIO


def main(address: str) -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    answering = False

    def stop(signum: int, frame: object) -> None:
        if answering:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    try:
        model, told = _load(address)
    except Exception as error:
        _say(out, error=f"{type(error).__name__}: {error}")
        return
    _say(out, **told)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answering = True
            for piece in _answer(model, question):
                _say(out, n=question["n"], **piece)
        except KeyboardInterrupt:
            _say(out, n=question["n"], error="stopped")
        except Exception as error:
            kind = getattr(error, "kind", "bad_response")
            _say(out, n=question["n"], error=str(error), error_kind=kind)
        finally:
            answering = False


def _load(address: str) -> tuple[Any, dict[str, Any]]:
    import mlflow

    name, _, alias = address.removeprefix("models:/").partition("@")
    version = name.partition("/")[2] or None
    if alias:  # which it is now, so that it is told and stays the same
        version = str(mlflow.MlflowClient().get_model_version_by_alias(name, alias).version)
        address = f"models:/{name}/{version}"
    model = mlflow.pyfunc.load_model(address)
    told = {"version": version, "model_id": model.model_id, "config": model.model_config}
    return model, told


def _answer(model: Any, question: dict[str, Any]) -> Any:
    if "inputs" in question:
        return model.predict_stream(question["inputs"])
    return [{"details": model.unwrap_python_model().provider.details()}]


def _say(out: TextIO, **line: Any) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1])
