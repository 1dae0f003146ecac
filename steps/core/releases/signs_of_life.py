"""Which processes of this machine live: each locks a file, and the kernel unlocks a dead one's.

Safer than process ids, which containers that share a host name give out twice.
"""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steps.core.tracking import lock_folder


@contextmanager
def sign_of_life() -> Iterator[str]:
    """The name of a sign that others of this machine can look for until the block ends."""
    name = uuid.uuid4().hex
    path = _path(name)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield name
        finally:
            path.unlink(missing_ok=True)


def killed(name: str) -> bool:
    """Whether who gave that sign was killed; False also where this machine cannot tell."""
    try:
        with _path(name).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _path(name).unlink(missing_ok=True)
    except (FileNotFoundError, BlockingIOError):
        return False
    return True


def _path(name: str) -> Path:
    return lock_folder() / f"{Path(name).name}.alive"  # no path that somebody wrote into a tag
