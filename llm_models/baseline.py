"""The embedded baseline: a retriever that quotes a text. No network, no weights, no generation.

It is the floor a language model has to beat: it can look things up, but it cannot calculate,
follow an instruction or refuse. It reads the last user message alone. A retriever does not sample
and counts no tokens: system prompt and sampling options (`max_tokens` too) change nothing, and
usage stays unknown.
"""

import hashlib
import math
import re
import threading
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from llm_models.base import Provider
from llm_models.errors import CallError, InputError
from llm_models.schema import Chunk, ModelConfig, Request

K1 = 1.2  # how soon repeating a word stops helping
B = 0.75  # how much a long sentence is held back
Place = tuple[int, int]  # a sentence: number of its passage, number within the passage

UNKNOWN = {"en": "I don't know.", "es": "No lo sé."}
_LISTED = {  # accents folded
    "en": "a about am an and are as at be been by can could did do does for from had has have he"
    " her his how i if in into is it its me my no not of on or our she should so than that the"
    " their them then there these they this to up was we were what when where which who whom"
    " whose why will with would you your",
    "es": "a al ante cada como con cual cuales cuando cuanto cuantos de del desde donde el ella en"
    " entre era eran es esa ese eso esta este esto fue fueron ha hay la las le les lo los mas me"
    " mi muy ni no nos o para pero por porque que quien quienes se segun ser si sin sobre son su"
    " sus tambien te tu tus un una uno unos unas y ya yo",
}
STOP_WORDS = {code: frozenset(listed.split()) for code, listed in _LISTED.items()}
_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class BaselineOptions(BaseModel, extra="forbid", strict=True):
    """Where the text is and how to quote it."""

    knowledge: str = Field(min_length=1)  # path of a UTF-8 text; a blank line ends a passage
    sentences: int = Field(1, ge=1, le=10)  # how many of the best passage to quote
    min_score: float = Field(0.0, ge=0, allow_inf_nan=False)  # BM25 below which it does not know


class Baseline(Provider):
    """Quotes the best sentences of the passage that holds the best one.

    Raises InputError when the knowledge text cannot be read or has no sentence.
    """

    supplier = "baseline"
    Options = BaselineOptions
    samples = False
    local = True
    files = ("knowledge",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        text = _read(self.options.knowledge)
        self._sha256 = hashlib.sha256(text.encode()).hexdigest()
        self._passages = passages(text)
        if not self._passages:
            raise InputError(f"{self.options.knowledge}: no sentence to quote; add some text")
        self._index: BM25 | None = None
        self._building = threading.Lock()

    def identity(self) -> dict[str, Any]:
        return {"knowledge_sha256": self._sha256}

    def chunks(self, request: Request, *, stream: bool) -> Iterator[Chunk]:
        yield Chunk(
            text=self._answer(_query(request)),
            status="ok",
            finish_reason="stop",
            model_version=self._sha256[:12],
        )

    def _answer(self, query: str) -> str:
        scores = self._built().scores(query)
        best = min(scores, key=lambda place: (-scores[place], place), default=None)
        if best is None or scores[best] < self.options.min_score:
            return UNKNOWN[language(query)]
        passage = self._passages[best[0]]
        ranked = sorted(range(len(passage)), key=lambda at: -scores.get((best[0], at), 0.0))
        return " ".join(passage[at] for at in sorted(ranked[: self.options.sentences]))

    def _built(self) -> "BM25":
        with self._building:
            if self._index is None:
                self._index = BM25(self._passages)
            return self._index


class BM25:
    """Okapi BM25 over sentences, with an inverted index.

    Robertson & Zaragoza (2009), The Probabilistic Relevance Framework: BM25 and Beyond. The 1
    added inside the logarithm keeps a word of most sentences from counting against them.
    """

    def __init__(self, passages: list[list[str]]) -> None:
        counts = {
            (number, at): Counter(_content(sentence))
            for number, passage in enumerate(passages)
            for at, sentence in enumerate(passage)
        }
        mean = sum(count.total() for count in counts.values()) / len(counts)
        postings: dict[str, dict[Place, float]] = defaultdict(dict)
        for place, count in counts.items():
            for word, frequency in count.items():
                length = K1 * (1 - B + B * count.total() / mean)
                postings[word][place] = frequency * (K1 + 1) / (frequency + length)
        self._postings = dict(postings)
        self._idf = {
            word: math.log(1 + (len(counts) - len(found) + 0.5) / (len(found) + 0.5))
            for word, found in postings.items()
        }

    def scores(self, query: str) -> dict[Place, float]:
        """The score of every sentence that shares a word with the query."""
        scores: dict[Place, float] = defaultdict(float)
        for word in dict.fromkeys(_content(query)):
            for place, weight in self._postings.get(word, {}).items():
                scores[place] += self._idf[word] * weight
        return scores


def passages(text: str) -> list[list[str]]:
    """The sentences of each paragraph; Markdown headings are left out."""
    paragraphs = re.split(r"\n\s*\n", re.sub(r"(?m)^#.*$", "\n", text))
    return [_SENTENCE_END.split(" ".join(p.split())) for p in paragraphs if words(p)]


def words(text: str) -> list[str]:
    """The words of a text, without case or accents."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(c for c in folded if not unicodedata.combining(c)))


def language(text: str) -> str:
    """ "es" where Spanish stop words outnumber English ones, else "en"."""
    found = words(text)
    spanish, english = (sum(w in STOP_WORDS[code] for w in found) for code in ("es", "en"))
    return "es" if spanish > english else "en"


def _content(text: str) -> list[str]:
    return [w for w in words(text) if w not in STOP_WORDS["en"] and w not in STOP_WORDS["es"]]


def _query(request: Request) -> str:
    for message in reversed(request.messages):
        if message["role"] == "user":
            return message["content"]
    raise CallError("invalid_request", "there is no user message to answer: send one")


def _read(path: str) -> str:
    remedy = "set the baseline's option 'knowledge' to a UTF-8 text file"
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; {remedy}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; {remedy}") from None


if __name__.startswith("code_model_"):  # MLflow runs this file to build the model
    from llm_models.model import publish

    publish(Baseline)
