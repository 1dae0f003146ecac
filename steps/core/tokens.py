"""Provider-neutral token counts with tiktoken's cl100k_base; never the provider's own count."""

import base64
import hashlib
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from llm_models.errors import InputError
from llm_models.schema import Message

# tiktoken's own file name (sha1 of the download address), so that the directory can also serve
# as TIKTOKEN_CACHE_DIR.
VOCABULARY = Path(__file__).parent / "resources" / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
PATTERN = (  # of cl100k_base, from tiktoken_ext/openai_public.py
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
MESSAGE_TOKENS = 4  # the frame of one message: start, role, separator, end
REPLY_TOKENS = 3  # the opening of the answer

_loading = threading.Lock()


def count(text: str) -> int:
    """Tokens in `text`; special tokens such as <|endoftext|> count as ordinary characters."""
    return len(_encoding().encode_ordinary(text))


def count_messages(system: str | None, messages: Iterable[Message]) -> int:
    """Estimated input tokens of a chat, frames included (as OpenAI's chat format has them)."""
    texts = [message["content"] for message in messages]
    if system:
        texts.append(system)
    return sum(count(text) + MESSAGE_TOKENS for text in texts) + REPLY_TOKENS


def _encoding() -> Any:
    with _loading:
        return _load()


@cache
def _load() -> Any:
    # tiktoken's own loader would copy the file into a shared temporary directory, and read it
    # back from there the next time.
    import tiktoken

    vocabulary = VOCABULARY.read_bytes()
    if hashlib.sha256(vocabulary).hexdigest() != SHA256:
        raise InputError(f"{VOCABULARY} is damaged: restore it with 'git checkout -- {VOCABULARY}'")
    pairs = (line.split() for line in vocabulary.splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding(
        "cl100k_base", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
