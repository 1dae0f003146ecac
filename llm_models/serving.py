"""The way into MLflow's own scoring server: the one place that reaches below its surface.

`mlflow models serve` runs uvicorn on the name `app` of one of MLflow's modules, which loads the
model just before it makes its app. A model that is loaded there puts a property in the place of
the name: the front, with the app behind it. In any other process nothing is done, and with another
MLflow than the one this was compared with, the server stays as it is.
"""

import logging
import os
import sys
from functools import cached_property
from types import ModuleType
from typing import Any

from llm_models.errors import InputError
from llm_models.request_limits import Limits

SERVER = "mlflow.pyfunc.scoring_server.app"
COMPARED = "3.17.2"  # the version of MLflow whose server this fronts
TIMEOUT = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"  # seconds; `mlflow models serve -t` sets it


class _Server(ModuleType):
    """MLflow's module with something else under the name `app`."""

    make_front: Any

    @cached_property
    def front(self) -> Any:
        return self.make_front(vars(self)["app"])

    app = property(lambda self: self.front)


def open_desk() -> Any:
    """A Desk with the limits and the time-out of the environment. Raises InputError."""
    from llm_models.desk import Desk

    return Desk(Limits.from_environment(), request_timeout())


def request_timeout() -> float:
    """Seconds for one answer. Raises InputError naming the variable."""
    told = os.environ.get(TIMEOUT, "60")
    try:
        seconds = float(told)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InputError(f"{TIMEOUT} must be a number of seconds above 0, and not '{told}'")
    return seconds


def stand_before_server(ask: Any) -> None:
    """Stand before the scoring server, if it is what loads this model now.

    `ask` answers one record; see front.Front. Raises InputError.
    """
    server = sys.modules.get(SERVER)
    if server is None or "app" in vars(server):
        return
    version = sys.modules["mlflow"].__version__
    if version != COMPARED:
        logging.getLogger("llm_models").warning(
            "MLflow %s serves without limits, in few threads: known is %s", version, COMPARED
        )
        return
    from llm_models.front import Front

    desk = open_desk()
    vars(server)["make_front"] = lambda app: Front(app, ask, desk)
    server.__class__ = _Server
