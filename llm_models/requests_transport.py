"""requests' own transport, whose calls end when their caller leaves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests import Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from llm_models.caller import CALLER


class Transport(HTTPAdapter):
    """Where the server's first word is waited for, the caller may break the wait.

    A model answers in one piece, or begins to, after all of its thinking: that is the long wait.
    The waits between the pieces of a stream are for `until_left`.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


@contextmanager
def until_left(response: Response) -> Iterator[None]:
    """While its body is read, which the caller may break too."""
    caller, connection = CALLER.get(), getattr(response.raw, "connection", None)
    if caller is None or connection is None or connection.sock is None:  # it has all arrived
        yield
        return
    with caller.waiting(connection.sock):
        yield


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own
        caller = CALLER.get()
        if caller is None or self.sock is None:
            return super().getresponse()
        with caller.waiting(self.sock):
            return super().getresponse()


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
