"""The language of a text, by fastText's lid.176 model."""

import os
import re
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llm_models.errors import InputError

SHIPPED = Path(__file__).parent / "resources" / "lid.176.ftz"
VARIABLE = "LLMFLOWLAB_LID_MODEL"
MIN_PROBABILITY = 0.5  # noise such as "12345" gets 0.12, a short sentence mostly over 0.9
_FIVE_LETTERS = re.compile(r"(?:[^\W\d_][\W\d_]*+){5}")  # fewer are guessed wrong with confidence

_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Language:
    """`code` as fastText writes it ("en", "es", "zh"); None when unsure."""

    code: str | None
    probability: float  # of the best guess, sure or not


def detect(text: str, path: str | None = None) -> Language:
    """The language most of `text` is written in.

    `path` names another lid.176 model (the large lid.176.bin, say), otherwise the environment
    variable LLMFLOWLAB_LID_MODEL does, otherwise the shipped lid.176.ftz is used.
    Raises InputError when the model file cannot be read.
    """
    if not _FIVE_LETTERS.search(text):
        return Language(None, 0.0)
    guesses = _model(path or os.environ.get(VARIABLE) or str(SHIPPED)).predict(
        _one_line(text), 1, 0.0, "strict"
    )
    probability, label = guesses[0] if guesses else (0.0, "")
    code = label.removeprefix("__label__") if probability >= MIN_PROBABILITY else None
    return Language(code, min(probability, 1.0))


def code(name: str) -> str:
    """The code as fastText writes it: "en" for "EN" or "en-GB". Raises InputError for a name."""
    found = re.split("[-_]", name.strip().lower())[0]
    if not re.fullmatch("[a-z]{2,3}", found):
        raise InputError(f"'{name}' is not a language code: write 'en' or 'es', say")
    return found


def _one_line(text: str) -> str:
    """fastText reads one line of valid UTF-8, and knows words in capitals badly."""
    text = text.encode("utf-8", "replace").decode()
    return " ".join((text.lower() if text.isupper() else text).split()) + "\n"


def _model(path: str) -> Any:
    with _loading:
        return _load(path)


@cache
def _load(path: str) -> Any:
    # fasttext.load_model prints to stderr and its predict fails on numpy 2; this is the extension
    # module beneath both.
    from fasttext_pybind import fasttext

    model = fasttext()
    try:
        model.loadModel(path)
    except ValueError as error:
        raise InputError(
            f"the language model {path} cannot be read ({error}): set {VARIABLE} to a lid.176 "
            "file or unset it"
        ) from None
    return model
