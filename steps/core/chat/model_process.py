"""A packed model in a process of its own, asked and answering in lines of JSON."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from llm_models.errors import CallError, InputError, LabError, shorten

SCRIPT = Path(__file__).with_name("model_process_main.py")


class ModelProcess:
    """Loads `address`, as `mlflow.pyfunc.load_model` takes it, from the moment it is made."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.told: dict[str, Any] = {}  # config, model_id and version, once it is loaded
        self._number = 0
        self._asking = threading.Lock()
        self._start(address)

    def wait(self) -> None:
        """Until it is loaded. Raises InputError where it cannot be."""
        told = self._line()
        if "error" in told:
            raise InputError(f"{self.address} cannot be loaded: {shorten(told['error'])}")
        if not (told["config"] and told["model_id"]):
            raise InputError(f"{self.address} is none that `mlflow run . -e log_models` has logged")
        self.told = told

    def ask(self, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The lines that answer `question`. Raises CallError where the process has ended."""
        with self._asking:
            self._number += 1
            number = self._number
            self._write(question | {"n": number})
            while True:
                line = self._line()
                if line.get("n") != number:
                    continue  # of an answer that was stopped
                yield line
                if "delta" not in line:
                    return

    def stop(self) -> None:
        """End the answer under way."""
        self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._last_words.close()

    def _start(self, address: str) -> None:
        # -P: beside the script no package is found, so `llm_models` is the packed one.
        command = [sys.executable, "-P", str(SCRIPT), address]
        self._last_words: IO[str] = TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._last_words,
            text=True,
            encoding="utf-8",
            process_group=0,  # the terminal's Ctrl-C is ours to pass on
        )

    def _write(self, question: dict[str, Any]) -> None:
        pipe = self._process.stdin
        try:
            if pipe:
                pipe.write(json.dumps(question) + "\n")
                pipe.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def _line(self) -> dict[str, Any]:
        pipe = self._process.stdout
        line = pipe.readline() if pipe else ""
        if not line:
            raise self._gone()
        return dict(json.loads(line))

    def _gone(self) -> LabError:
        """The process has ended: its last words. One that had answered gets a successor."""
        self._last_words.seek(0)
        last = self._last_words.read().strip().rpartition("\n")[2] or "without a word"
        self.close()
        text = f"the process of {self.address} has ended: {last}"
        if not self.told:
            return InputError(text)
        self._start(f"models:/{self.told['model_id']}")  # what the alias was, not what it is now
        return CallError("incomplete", text)
