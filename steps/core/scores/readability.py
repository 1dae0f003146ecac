"""Grade levels by textstat, with the numbers of classic MLflow's metrics."""

import threading
import warnings
from functools import cache
from typing import Any

MIN_WORDS = 3  # textstat counts no sentence of fewer words

_loading = threading.Lock()


def ari(text: str) -> float | None:
    """Automated Readability Index, a US school grade; None for fewer than MIN_WORDS words.

    Senter and Smith 1967: 4.71 characters/words + 0.5 words/sentences - 21.43.
    """
    return _english().automated_readability_index(text) if _long_enough(text) else None


def flesch_kincaid(text: str) -> float | None:
    """Flesch-Kincaid grade, a US school grade; None for fewer than MIN_WORDS words.

    Kincaid et al. 1975: 0.39 words/sentences + 11.8 syllables/words - 15.59.
    """
    return _english().flesch_kincaid_grade(text) if _long_enough(text) else None


def _long_enough(text: str) -> bool:
    return _english().lexicon_count(text) >= MIN_WORDS


def _english() -> Any:
    with _loading:
        return _load()


@cache
def _load() -> Any:
    # An instance of our own: the language of the module's shared one can be changed by anybody,
    # at any moment, for every thread. Both formulas are fitted to English, whatever the answer is.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pkg_resources announces its retirement
        from textstat.textstat import textstatistics
    return textstatistics()
