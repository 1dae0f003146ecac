"""What could keep a run from succeeding, each with its remedy; nothing is paid, nothing left."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from heapq import nlargest
from math import ceil
from pathlib import Path

from llm_models.errors import InputError, LabError, shorten
from steps.core.answering.candidates import Ready, resolve
from steps.core.answering.estimate import MARGIN, estimate
from steps.core.answering.journal import Journal, JournalError
from steps.core.answering.window import Facts, is_assumed, prompt_room
from steps.core.cli import row_limit
from steps.core.config import Candidate, Config, choose, load
from steps.core.dataset import Dataset, Row
from steps.core.dataset import load as load_dataset
from steps.core.hashing import canonical
from steps.core.prices import load_table
from steps.core.surroundings import URI, Finding, space, sqlite_file, surroundings, writable
from steps.core.tokens import MESSAGE_TOKENS, REPLY_TOKENS

PROBED = 20  # rows of most bytes, among which the longest prompt is looked for
OLD_PRICES = 180  # days
REFRESH = "`python -m steps.core.prices`, best after an update of MLflow"
ANOTHER_JOURNAL = "name another file under `journal` in the config"


def diagnose(config: str, data: str, models: str, limit: str) -> list[Finding]:
    """Everything that can be looked at without a paid call."""
    found = list(surroundings())
    try:
        settings = load(config)
        dataset = load_dataset(data, row_limit(limit))
        chosen = choose(settings, models)
        table = load_table()
    except InputError as error:
        return [*found, Finding("problem", "config and data", str(error), "mend what is named")]
    found.append(_rows(dataset))
    found += _candidates(settings, chosen, dataset, named=models != "available")
    found.append(age_of_prices(table.updated, datetime.now(UTC).date()))
    found += [*_judges(settings), _journal(settings.journal)]
    return [*found, space("disk of the journal", settings.journal)]


def quick_check(
    ready: Sequence[Ready], dataset: Dataset, journal: Path, max_cost: float | None
) -> list[str]:
    """What can be told in an instant and without a call: a line for each fault."""
    rows = _longest_rows(dataset)
    found = [_rows(dataset)]
    found += [_context(one, {}, rows) for one in ready if _may_overflow(one, rows)]
    if max_cost is not None:
        found += [_price(one, max_cost) for one in ready]
    if store := sqlite_file():
        found.append(writable("tracking store", store, f"set {URI} to another place"))
    found.append(writable("journal", journal, ANOTHER_JOURNAL))
    return [f"{f.subject}: {f.finding}; {f.remedy}" for f in found if f.status != "ok"]


def _rows(dataset: Dataset) -> Finding:
    """Rows of equal inputs have one answer; taken for several, they would prove too much."""
    asked = len({canonical(row.inputs) for row in dataset.rows})
    said = f"{len(dataset.rows)} rows of {dataset.name}"
    if asked == len(dataset.rows):
        return Finding("ok", "data", said)
    said += f" ask only {asked} different questions, and each row counts as evidence of its own"
    remedy = "leave repeated ones out, or intervals are too narrow"
    return Finding("warning", "data", said, remedy)


def _candidates(
    settings: Config, chosen: list[Candidate], dataset: Dataset, *, named: bool
) -> Iterator[Finding]:
    """Each one's findings; who cannot be asked is a problem where named, or where nobody can."""
    with ThreadPoolExecutor(len(chosen)) as pool:
        met = list(pool.map(lambda candidate: _meet(candidate, settings), chosen))
    needed = named or all(isinstance(each, LabError) for each in met)
    rows = _longest_rows(dataset)
    for candidate, each in zip(chosen, met, strict=True):
        if isinstance(each, LabError):
            yield _unusable(candidate, each, needed)
            continue
        ready, told = each
        known = ready.config.identity | ready.prompt_record
        identity = ", ".join(f"{k} {shorten(str(v), 20)}" for k, v in known.items())
        yield Finding("ok", candidate.name, f"can be asked: {identity or ready.config.model}")
        yield _context(ready, told, rows)
        yield _price(ready, settings.max_cost)


def _meet(candidate: Candidate, settings: Config) -> tuple[Ready, Facts] | LabError:
    try:
        ready = resolve(candidate, settings)
        return ready, ready.provider.details()
    except LabError as error:
        return error


def _unusable(candidate: Candidate, error: LabError, needed: bool) -> Finding:
    wrong = needed or isinstance(error, InputError)  # a wrong config ends every run
    remedy = getattr(error, "hint", None) or "mend that, or name others in `models`"
    return Finding("problem" if wrong else "warning", candidate.name, str(error), remedy)


def _context(ready: Ready, told: Facts, rows: Sequence[Row]) -> Finding:
    """The longest prompt against the room there is for it."""
    subject = f"{ready.candidate.name}: context"
    most, limit = ready.config.sampling.max_tokens or 0, told.get("output_limit")
    if limit and most > limit:
        said = f"max_tokens is {most}, and the model writes {limit} at the most"
        return Finding("problem", subject, said, f"lower max_tokens to {limit}")
    room = prompt_room(type(ready.provider), ready.config, told)
    if room is None:
        return Finding("ok", subject, "no limit is told")
    longest = _longest_prompt(ready, rows)
    said = f"the longest prompt has about {longest:,} tokens, and {room:,} are there for it"
    if longest * MARGIN <= room:
        return Finding("ok", subject, said)
    sure = longest > room and not is_assumed(type(ready.provider), ready.config)
    needed = ceil(longest * MARGIN) + most
    return Finding("problem" if sure else "warning", subject, said, _remedy(ready, told, needed))


def _remedy(ready: Ready, told: Facts, needed: int) -> str:
    option = ready.provider.window_option
    if option and needed <= told.get("context_length", needed):
        return f"set {option} to {needed} or more in its options"
    return "shorten the prompts, lower max_tokens or choose a model of a longer context"


def _longest_rows(dataset: Dataset) -> list[Row]:
    return nlargest(PROBED, dataset.rows, key=_most_tokens)


def _longest_prompt(ready: Ready, rows: Sequence[Row]) -> int:
    """Estimated tokens; `rows` come with those of most bytes first."""
    longest = 0
    for row in rows:
        if _most_tokens(row, ready.config.system) <= longest:
            break
        longest = max(longest, estimate(ready.config, row).input_tokens)
    return longest


def _may_overflow(ready: Ready, rows: Sequence[Row]) -> bool:
    """Settled by bytes alone for nearly all data: to load the vocabulary takes 0.2 s."""
    room = prompt_room(type(ready.provider), ready.config, {})
    return room is not None and _most_tokens(rows[0], ready.config.system) * MARGIN > room


def _most_tokens(row: Row, system: str | None = None) -> int:
    """More than a prompt can have: no token is shorter than a byte."""
    texts = [system or "", row.inputs.get("system") or "", row.inputs.get("prompt") or ""]
    texts += [message["content"] for message in row.inputs.get("messages") or ()]
    return sum(len(text.encode()) + MESSAGE_TOKENS for text in texts) + REPLY_TOKENS


def _price(ready: Ready, max_cost: float | None) -> Finding:
    subject, price = f"{ready.candidate.name}: price", ready.config.price
    if price is None:
        said = f"the price of {ready.config.provider}/{ready.config.model} is unknown"
        if max_cost is None:
            return Finding("warning", subject, said, "give one under `prices` in the config")
        remedy = "give one under `prices` in the config, or leave max_cost out"
        return Finding("problem", subject, f"{said}, so max_cost cannot hold", remedy)
    if price.get("free"):
        return Finding("ok", subject, "free: it runs on a machine of your own")
    if "per_hour" in price:
        return Finding("ok", subject, f"{price['per_hour']:g} USD an hour")
    said = f"{price['input']:g} USD per million tokens of input, {price['output']:g} of output"
    return Finding("ok", subject, said)


def age_of_prices(updated: str, today: date) -> Finding:
    """Whether prices.yaml, of the day `updated` (YYYY-MM-DD), is still worth believing."""
    try:
        days = (today - date.fromisoformat(updated)).days
    except ValueError:
        return Finding("warning", "prices.yaml", f"'{updated}' is no date", REFRESH)
    said = f"of {updated}, {days} days ago"
    if days > OLD_PRICES:
        return Finding("warning", "prices.yaml", said, REFRESH)
    return Finding("ok", "prices.yaml", said)


def _judges(settings: Config) -> Iterator[Finding]:
    if not settings.judge:
        yield Finding("ok", "judge", "none is configured")
    from steps.core.judges.judging import unavailable  # slow to import, and quick_check has no need

    for judge in settings.judge:
        try:
            reason = unavailable(judge)
        except InputError as error:
            yield Finding("problem", "judge", str(error), "mend `judge` in the config")
            continue
        if reason is None:
            yield Finding("ok", "judge", f"{judge.model} can be asked")
        else:
            remedy = "mend that, or go without its scores (judge: null)"
            yield Finding("warning", "judge", f"{judge.model}: {reason}", remedy)


def _journal(path: Path) -> Finding:
    found = writable("journal", path, ANOTHER_JOURNAL)
    if found.status == "ok" and path.exists():
        try:
            Journal(path).close()
        except JournalError as error:
            return Finding("problem", "journal", str(error), ANOTHER_JOURNAL)
    return found
