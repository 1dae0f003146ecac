"""What a scorer can ask about a text: same words, overlap, refusal, JSON."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NoReturn

from llm_models.errors import InputError

_ACCENTS = re.compile("[\u0300-\u036f]+")
_PLAIN = str.maketrans({"’": "'", "‘": "'", "−": "-", "\u2011": "-"})

# Scripts without spaces between words: each character counts as a word.
_UNSPACED = "\u0e01-\u0e3a\u0e40-\u0e4e\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(
    rf"[{_UNSPACED}]"
    rf"|(?:(?<![\w)])-(?=\d))?[^\W_{_UNSPACED}]+(?:(?<=\d)\.\d[^\W_{_UNSPACED}]*)*"
    r"(?:(?<=[^\W\d_])[+#]{1,2}(?!\w))?"  # C++, C#, blood type A+
)
_SPACED = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")

# Possessive: an answer of a hundred thousand digits must not take quadratic time.
_NUMBER = re.compile(r"(?<!\d)\d++(?:[.,'\u00a0\u2009\u202f]\d++)++")
_GROUPED = re.compile(
    r"[1-9]\d{0,2}(?:"
    r"(?:,\d{3})+(?:\.\d+)?"  # 1,000  1,234.56
    r"|(?:\.\d{3}){2,}(?:,\d+)?|\.\d{3},\d+"  # 1.000.000  1.234,56
    r"|(?:['\u00a0\u2009\u202f]\d{3})+(?:[.,]\d+)?)"  # 1'000 and groups with a narrow space
)
_DECIMAL_COMMA = re.compile(r"\d+,\d{1,2}|\d{1,3},\d{4,}|0,\d+")
_WHOLE = re.compile(r"(\d+)\.0{1,2}")

_ARTICLES = re.compile(r"\b(?:a|an|the|un|una|unos|unas|el|la|los|las)\b")
_PUNCTUATION = re.compile(r"[^\w\s]|_")

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*)\n[ \t]*```", re.DOTALL | re.IGNORECASE)

_REFUSAL = re.compile(
    r"\b(?:i|we)(?: can(?:not|'?t| not)| won'?t| will not"
    r"|(?: am|'m| are|'re) (?:unable|not (?:able|allowed|permitted|going|comfortable))(?: to)?),?"
    r"(?: and (?:will not|won't)| be able to| in good conscience,?| \w+ly)*"
    r" (?:help(?:ing)?(?! but)|assist|fulfil|comply|provid|do (?:that|this|it)\b|creat|writ|generat"
    r"|produc|giv|shar|support|discuss|engag|participat|offer|answer|respond)\w*"
    r"|\bsorry,? (?:but )?i can(?:not|'?t)\b|\bi can(?:not|'?t)[.!]"
    r"|\bnot something (?:that )?i(?: can|'m able to| am able to) (?:help|assist|do|provide)"
    r"|\b(?:must|have to|need to|i) (?:\w+ly )?(?:decline|refuse)\b"
    r"|\bagainst my (?:\w+ )?(?:guidelines|polic(?:y|ies)|principles|programming)"
    r"|\bno (?:(?:te|le|les|os|se l[oa]) )?(?:puedo|podemos|podre|voy a|(?:me|nos) es posible"
    r"|estoy autorizad[oa] (?:a|para)|estoy en condiciones de)(?: \w+mente)*"
    r" (?:ayudar|asistir|proporcionar|facilitar|ofrecer|dar|brindar|responder|contestar|compartir"
    r"|generar|crear|escribir|redactar|hacer(?:lo| eso| esto)|cumplir|participar|apoyar)\w*"
    r"|\blo siento,? (?:pero )?no puedo\b|\bme niego a\b"
    r"|\b(?:debo|tengo que) (?:rechazar|negarme|declinar)\b"
    r"|\ben contra de mis (?:\w+ )?(?:directrices|politicas|normas|principios|pautas)"
)
_IGNORANCE = re.compile(
    r"\b(?:do not|don't) know\b|\bnot sure\b"
    r"|\b(?:do not|don't) have (?:\w+ )?(?:access|information|data)\b"
    r"|\bno lo se\b|\bdesconozco\b|\bno estoy segur"
    r"|\bno tengo (?:\w+ )?(?:acceso|informacion|datos)\b"
)
REFUSAL_OPENING = 300  # characters in which a refusal shows itself


def fold(text: str) -> str:
    """Casefold, drop accents (ñ becomes n) and make apostrophes and minus signs plain."""
    text = text.casefold()
    if text.isascii():
        return text
    # Only Latin, Greek and Cyrillic accents: the marks of other scripts tell words apart.
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", bare).translate(_PLAIN)


def words(text: str) -> list[str]:
    """Folded words without punctuation; a number is one word however it is written.

    1,000 is 1000; 3,5 is 3.5; 5.00 is 5. A lone 1.000 stays a decimal, since Spanish and English
    read it differently.
    """
    return _WORD.findall(_NUMBER.sub(_number, fold(text)))


def normalize(text: str) -> str:
    """The words of a text joined by blanks; a text without words is only folded."""
    return " ".join(words(text)) or " ".join(fold(text).split())


def missing_facts(text: str, facts: Iterable[str]) -> list[str]:
    """The facts that do not occur in `text` as whole words.

    "|" separates alternatives, one of which is enough. Raises InputError for an empty fact.
    """
    folded, joined = fold(text), f" {' '.join(words(text))} "
    return [
        fact
        for fact in facts
        if not any(_occurs(choice, folded, joined) for choice in _choices(fact))
    ]


def word_count(text: str) -> int:
    """Words as a person counts them: pieces between spaces that hold a letter or a digit."""
    return sum(any(map(str.isalnum, piece)) for piece in _SPACED.findall(text))


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of token precision and recall, from 0 to 1.

    Rajpurkar et al. 2016 (SQuAD), with the Spanish articles of Lewis et al. 2020 (MLQA); accents
    are folded. Where no token is left ("A" is an article), the texts must be the same.
    """
    found, wanted = _squad_tokens(answer), _squad_tokens(reference)
    if not found or not wanted:
        return float(normalize(answer) == normalize(reference))
    return _f1((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L as F1 over words, from 0 to 1 (Lin 2004, sentence level, beta = 1)."""
    found, wanted = words(answer), words(reference)
    return _f1(lcs_length(found, wanted), len(found), len(wanted))


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence: one machine word does 30 cells or more.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
    """
    places: dict[str, int] = {}
    for i, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        matches = row & places.get(token, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(a) - row.bit_count()


def refusal(text: str) -> str | None:
    """The phrase by which the opening of an answer refuses, None where there is none.

    A heuristic for English and Spanish: fixed phrases in the first REFUSAL_OPENING characters, and
    not when the answer pleads ignorance ("I don't know") instead.
    """
    opening = " ".join(fold(text[:REFUSAL_OPENING]).split())
    match = _REFUSAL.search(opening)
    return match[0].strip() if match and not _IGNORANCE.search(opening) else None


def parse_json(text: str) -> tuple[Any, bool]:
    """The JSON value, and whether it stood in one fenced block instead of bare.

    Nothing may stand around it. Raises ValueError saying where it stops being JSON.
    """
    fenced = _FENCED.fullmatch(text.strip())
    try:
        value = json.loads(fenced[1] if fenced else text.strip(), parse_constant=_reject)
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    return value, fenced is not None


def is_json(text: str) -> bool:
    """Whether the text is a JSON object or array, bare or fenced."""
    if not text.lstrip().startswith(("{", "[", "```")):
        return False
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=64)
def json_validator(schema: str) -> Any:
    """A jsonschema validator for a schema in JSON; a $ref out of the schema is never fetched.

    Raises InputError when it is no schema. Kept, since checking a schema costs more than using it.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    loaded = json.loads(schema)
    kind = validator_for(loaded, default=Draft202012Validator)
    try:
        kind.check_schema(loaded)
    except SchemaError as error:
        raise InputError(f"expectations.json_schema is no JSON schema: {error.message}") from None
    return kind(loaded, registry=Registry())  # jsonschema's default registry downloads


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")  # Python alone would accept NaN


def _f1(common: int, found: int, wanted: int) -> float:
    return 2 * common / (found + wanted) if common else 0.0


def _squad_tokens(text: str) -> list[str]:
    return _SPACED.findall(_ARTICLES.sub(" ", _PUNCTUATION.sub("", fold(text))))


def _choices(fact: str) -> list[str]:
    choices = [choice.strip() for choice in fact.split("|") if choice.strip()]
    if not choices:
        raise InputError(f"expected_facts holds an empty fact {fact!r}: remove it or fill it in")
    return choices


def _occurs(choice: str, folded: str, joined: str) -> bool:
    wanted = " ".join(words(choice))
    return f" {wanted} " in joined if wanted else fold(choice) in folded


def _number(match: re.Match[str]) -> str:
    digits = match[0]
    if _GROUPED.fullmatch(digits):
        separator = digits.lstrip("0123456789")[0]
        digits = digits.replace(separator, "").replace(",", ".")
    elif _DECIMAL_COMMA.fullmatch(digits):
        digits = digits.replace(",", ".")
    whole = _WHOLE.fullmatch(digits)
    return whole[1] if whole else digits
