"""Python imports this first where its folder is on PYTHONPATH: only FENCE_ALLOWED is reached.

Every place that a process tries to reach is written to the file FENCE_LOG, a line each.
"""

import os
import sys
from typing import Any

ALLOWED = set(os.environ["FENCE_ALLOWED"].split(","))
LOG = os.environ["FENCE_LOG"]


def _place(event: str, args: tuple[Any, ...]) -> str | None:
    """The host:port or the name that is about to be used; None for what leaves no machine."""
    if event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        return f"{args[1][0]}:{args[1][1]}"
    if event == "socket.getaddrinfo":
        return f"{args[0]}:{args[1]}"
    return str(args[0]) if event == "socket.gethostbyname" else None


def fence(event: str, args: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    place = _place(event, args)
    if place is None:
        return
    with open(LOG, "a", encoding="utf-8") as log:  # noqa: PTH123, in the middle of start-up
        log.write(f"{place}\n")
    if place not in ALLOWED:
        raise ConnectionRefusedError(f"fenced off: {place}")


sys.addaudithook(fence)
