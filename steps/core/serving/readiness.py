"""Whether the provider can be reached now, by a call that costs nothing."""

import asyncio
import logging
import time
from typing import Any

from llm_models.base import Provider
from llm_models.desk import Desk
from llm_models.errors import KINDS, CallError

KEPT_S = 1.0
PATIENCE_S = 5.0


class Readiness:
    """Asks the provider at most once in KEPT_S, however many want to know."""

    def __init__(self, provider: Provider, desk: Desk) -> None:
        self._provider = provider
        self._desk = desk
        self._asked: asyncio.Future[dict[str, Any]] | None = None
        self._until = 0.0

    async def now(self) -> dict[str, Any]:
        """`ready`, and why not; or whether who would answer is still who was evaluated."""
        if self._asked is None or (self._asked.done() and time.monotonic() > self._until):
            self._asked = self._desk.in_thread(self._ask)
        await asyncio.wait([self._asked], timeout=PATIENCE_S)
        return self._asked.result() if self._asked.done() else _not("timeout")

    def _ask(self) -> dict[str, Any]:
        try:
            same = self._provider.identity() == self._provider.config.identity
        except CallError as error:
            return _not(error.kind)
        except Exception:
            logging.getLogger("llm_models").exception("the provider tells nothing known of itself")
            return _not("bad_response")
        finally:
            self._until = time.monotonic() + KEPT_S
        return {"ready": True, "same_identity": same}


def _not(kind: str) -> dict[str, Any]:
    return {"ready": False, "kind": kind, "message": KINDS[kind].told}
