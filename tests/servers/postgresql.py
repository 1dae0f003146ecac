"""A PostgreSQL server of the test's own, from Debian's package."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"  # the server refuses to run as root; Debian's package brings this user


def programs() -> Path | None:
    """The folder of initdb and pg_ctl in the newest version installed; None when there is none."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
    return newest.parent if newest else None


@contextmanager
def postgresql(port: int) -> Iterator[str]:
    """Start a server with an empty database; gives its address for SQLAlchemy."""
    folder = Path(tempfile.mkdtemp(prefix="lab-pg-", dir="/tmp"))  # others let no other user in
    try:
        if os.getuid() == 0:
            shutil.chown(folder, USER, USER)
        data = str(folder / "data")
        _run("initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync")
        settings = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
        _run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield f"postgresql+psycopg2://{USER}@127.0.0.1:{port}/postgres"
        finally:
            _run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _run(program: str, *options: str) -> None:
    folder = programs()
    assert folder, "PostgreSQL is not installed"
    user = pwd.getpwnam(USER) if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    done = subprocess.run(
        [folder / program, *options],
        user=user.pw_uid,
        group=user.pw_gid,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a pipe would be held open by the server
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{program} ended with {done.returncode}"
