"""What could keep a run from succeeding, each with its remedy; looking leaves nothing behind."""

import hashlib
import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from heapq import nlargest
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from llm_models.errors import CallError, InputError, LabError, scrub, shorten
from steps.core import language, tokens
from steps.core.candidates import Ready, resolve
from steps.core.cli import row_limit
from steps.core.config import Candidate, Config, choose, load
from steps.core.dataset import Dataset, Row
from steps.core.dataset import load as load_dataset
from steps.core.estimate import MARGIN, estimate
from steps.core.journal import Journal, JournalError
from steps.core.prices import load_table

Status = Literal["ok", "warning", "problem"]

ROOT = Path(__file__).parents[2]
PYTHONS = ((3, 11), (3, 12))  # fasttext-wheel has no wheel for others
LID_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
WINDOW = "num_ctx"  # the option, where a provider has it: tokens of prompt and answer together
SERVERS_OWN = 4096  # tokens such a server takes where the option is left out
PROBED = 20  # rows of most bytes, in which the longest prompt is looked for
OLD_PRICES = 180  # days
LITTLE_SPACE, TOO_LITTLE = 2**30, 100 * 2**20  # bytes
PATIENCE_S = 5.0  # for a tracking server


@dataclass(frozen=True)
class Finding:
    status: Status
    subject: str  # what was looked at
    finding: str
    remedy: str | None = None


def diagnose(config: str, data: str, models: str, limit: str) -> list[Finding]:
    """Everything that can be looked at without a paid call."""
    found = [_python(), _packages(), *_tools(), *_resources(), *_prices(date.today()), _store()]
    found += _configured(config, data, models, limit)
    return [replace(each, finding=_without_secrets(each.finding)) for each in found]


def quick_check(
    ready: Sequence[Ready], dataset: Dataset, journal: Path, max_cost: float | None
) -> list[str]:
    """The part of it that costs no time: a line for each fault a run would meet later."""
    rows = nlargest(PROBED, dataset.rows, key=_most_tokens)
    found = [_context(one, {}, rows) for one in ready if _room(one, {}) is not None]
    found += [_price(one, max_cost) for one in ready if max_cost is not None]
    found += [_writable("journal", journal), *map(_writable_store, _sqlite_file())]
    return [f"{f.subject}: {f.finding} ({f.remedy})" for f in found if f.status != "ok"]
