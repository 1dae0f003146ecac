"""What a machine gives every run: Python, packages, files, a tracking store, room on its disks.

Looking leaves nothing behind, and costs seconds only where a tracking server is asked.
"""

import hashlib
import os
import platform
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from llm_models.errors import scrub, shorten
from steps.core import language, tokens

ROOT = Path(__file__).parents[2]
PYTHONS = ((3, 11), (3, 12))  # fasttext-wheel has no wheel for others
LID_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
LITTLE, TOO_LITTLE = 2**30, 100 * 2**20  # free bytes
PATIENCE_S = 5.0  # for a tracking server
Status = Literal["ok", "warning", "problem"]
URI = "MLFLOW_TRACKING_URI"
_REVISION = re.compile(r'^(down_)?revision = "(\w+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what is the matter with it, and what mends that."""

    status: Status
    subject: str
    finding: str
    remedy: str | None = None


def surroundings() -> Iterator[Finding]:
    """All but the journal, whose place the config tells."""
    yield _python()
    yield packages(ROOT / "requirements.txt")
    yield from _tools()
    yield from _resources()
    yield _store()
    if file := sqlite_file():
        yield space("disk of the store", file)


def _python() -> Finding:
    wanted = " or ".join("{}.{}".format(*each) for each in PYTHONS)
    known = sys.version_info[:2] in PYTHONS
    remedy = None if known else f"use Python {wanted}: `make setup` finds one"
    return Finding("ok" if known else "problem", "Python", platform.python_version(), remedy)


def packages(lock: Path) -> Finding:
    """What is installed, against the pins of a requirements.txt."""
    from packaging.requirements import Requirement

    pins = [Requirement(line) for line in lock.read_text("utf-8").splitlines()]
    pins = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    installed = {pin.name: _installed(pin.name) for pin in pins}
    missing = [pin.name for pin in pins if installed[pin.name] is None]
    others = [
        f"{pin.name} {found} is not {pin.specifier}"
        for pin in pins
        if (found := installed[pin.name]) and found not in pin.specifier
    ]
    if not (missing or others):
        return Finding("ok", "packages", f"{len(pins)}, all as pinned")
    told = "; ".join([*(f"{name} is missing" for name in missing), *others])
    status: Status = "problem" if missing else "warning"
    return Finding(status, "packages", told, f"`pip install -r {lock.name}`")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _tools() -> Iterator[Finding]:
    """For information: only `mlflow run --env-manager` of that name needs one."""
    for name in ("uv", "pyenv"):
        there = "on" if shutil.which(name) else "not on"
        yield Finding("ok", name, f"{there} PATH; `mlflow run --env-manager local` needs neither")


def _resources() -> Iterator[Finding]:
    yield _intact("vocabulary of tokens", tokens.VOCABULARY, tokens.SHA256)
    yield _intact("language model", language.SHIPPED, LID_SHA256)
    own = os.environ.get(language.VARIABLE)
    if own and not Path(own).is_file():
        remedy = f"set {language.VARIABLE} to a lid.176 file or unset it"
        yield Finding("problem", language.VARIABLE, f"{own} is not a file", remedy)


def _intact(subject: str, file: Path, sha256: str) -> Finding:
    if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
        return Finding("ok", subject, f"{file.name} is intact")
    return Finding("problem", subject, f"{file} is damaged or missing", f"`git checkout -- {file}`")


def sqlite_file(uri: str | None = None) -> Path | None:
    """The file of a store (default: the tracking store), where it is SQLite."""
    found = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", uri or os.environ.get(URI, ""))
    return Path(found[1]) if found else None


def _store() -> Finding:
    if file := sqlite_file():
        return _sqlite_store(file)
    if uri := os.environ.get(URI):
        return server(uri)
    told = f"{URI} is empty, so each folder a command is started in gets a store of its own"
    return Finding("warning", "tracking store", told, f"unset {URI}")


def _sqlite_store(file: Path) -> Finding:
    found = writable("tracking store", file, f"set {URI} to another place")
    if found.status != "ok":
        return found
    if not file.exists() or not file.stat().st_size:
        return Finding("ok", "tracking store", f"{file} will be made by the first run")
    try:
        with closing(sqlite3.connect(file, timeout=PATIENCE_S)) as db:
            db.execute("BEGIN IMMEDIATE")  # the right to write, given back unused
            held = db.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.DatabaseError as error:
        busy = error.sqlite_errorname == "SQLITE_BUSY"
        remedy = "wait for who else is writing" if busy else f"set {URI} to a store of MLflow's"
        status: Status = "warning" if busy else "problem"
        return Finding(status, "tracking store", f"{file}: {error}", remedy)
    if not _heads() >= {revision for (revision,) in held}:
        told = f"{file} was made by another version of MLflow"
        remedy = f"keep a copy of it, then `mlflow db upgrade ${URI}`"
        return Finding("problem", "tracking store", told, remedy)
    return Finding("ok", "tracking store", f"{file} can be read and written")


def _heads() -> set[str]:
    """The schema that the installed MLflow wants, read without the seconds of importing it."""
    mlflow = find_spec("mlflow")
    folders = (mlflow and mlflow.submodule_search_locations) or []
    texts = [
        path.read_text("utf-8")
        for folder in folders
        for path in Path(folder, "store", "db_migrations", "versions").glob("*.py")
    ]
    told = [found for text in texts for found in _REVISION.findall(text)]
    return {name for down, name in told if not down} - {name for down, name in told if down}


def server(uri: str) -> Finding:
    """Whether a store that is no SQLite file answers, told within seconds."""
    import requests
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    shown = re.sub(r"//[^/]*@", "//", uri).partition("?")[0]  # no user, password or token
    try:
        if uri.startswith("http"):  # MLflow itself would try for minutes
            health = requests.get(f"{uri.rstrip('/')}/health", timeout=PATIENCE_S)
            if health.status_code >= 500:
                health.raise_for_status()
        MlflowClient(uri).search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, ImportError) as error:
        said = shorten(scrub(str(error).replace(uri, shown)))
    except requests.RequestException as error:  # its text quotes the whole address
        said = type(error).__name__
    else:
        return Finding("ok", "tracking store", f"{shown} answers; the first run will try to write")
    remedy = f"mend that, or set {URI} (and MLFLOW_TRACKING_USERNAME and _PASSWORD)"
    return Finding("problem", "tracking store", f"{shown} cannot be used: {said}", remedy)


def writable(subject: str, file: Path, remedy: str) -> Finding:
    """Whether a file can be written, or made, at its place."""
    try:
        folder = _existing(file.absolute().parent)
        if file.exists():
            file.open("r+b").close()
        with tempfile.TemporaryFile(dir=folder):  # SQLite keeps files beside its own
            pass
    except OSError as error:
        told = f"{file} cannot be written: {error.strerror or error}"
        return Finding("problem", subject, told, remedy)
    return Finding("ok", subject, f"{file} can be written")


def space(subject: str, file: Path) -> Finding:
    free = shutil.disk_usage(_existing(file.absolute().parent)).free
    told = f"{free / 2**30:,.1f} GiB are free"
    if free >= LITTLE:
        return Finding("ok", subject, told)
    status: Status = "problem" if free < TOO_LITTLE else "warning"
    return Finding(status, subject, told, f"make room where {file} is, or choose another place")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that there is."""
    return next(each for each in (folder, *folder.parents) if each.exists())
