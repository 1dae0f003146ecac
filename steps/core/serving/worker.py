"""A process that serves: run as a script, with `python -P`, by steps/serve.py.

What is served is the code packed with the model. MLflow runs that only where no other `llm_models`
has been imported, so nothing that imports it is imported before the model is loaded; after it, our
routes find the packed one too.
"""

import argparse
import gc
import json
import os
import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
SERVED = "LLMFLOWLAB_SERVED"  # how the first process tells the others which model it is
HEALTH_CHECK_S = 10  # one that has not answered its supervisor for so long is replaced
WORDS_S = 5  # for the last words of answers whose time is up


def create() -> Any:
    """The ASGI app round the model that SERVED names."""
    import mlflow

    known = json.loads(os.environ[SERVED])
    pyfunc = mlflow.pyfunc.load_model(known["pinned"])
    from steps.core.serving.app import app_of
    from steps.core.serving.served import served

    gc.collect()
    gc.freeze()  # what MLflow has made stays; a search for garbage in it would hold answers up
    facts = served(known["address"], known["version"], pyfunc.model_id)
    return app_of(pyfunc, pyfunc.unwrap_python_model(), facts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serves one model; see steps/serve.py.")
    parser.add_argument("address")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    given = parser.parse_args()
    sys.path.append(str(ROOT))  # behind the packed code, which the model will put first
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        listener = stack.enter_context(_listener(given.host, given.port))
        if given.workers > 1:
            folder = tempfile.TemporaryDirectory(prefix="llmflowlab-metrics-")
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(folder)
        app = _loaded(given.address)
        url = _url(listener)
        known = json.loads(os.environ[SERVED])["pinned"]
        print(f"Serving {known} at {url} (OpenAI's base_url: {url}/v1)", flush=True)
        _run(app, given.workers, listener)


def _listener(host: str, port: int) -> socket.socket:
    """With Nagle's algorithm off, which asyncio leaves on in sockets it has not made itself."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        sys.exit(f"Error: cannot listen at {host}, port {port}: {error.strerror}")
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _loaded(address: str) -> Any:
    """The app. Ends the process, with a reason, where the model cannot be served."""
    try:
        from steps.core.serving.served import pinned

        where, version = pinned(address)
        known = {"address": address, "pinned": where, "version": version}
        os.environ[SERVED] = json.dumps(known)
        return create()
    except Exception as error:
        from llm_models.errors import scrub  # not before: see above

        told = f"{address} cannot be served: {scrub(str(error))}"
        if isinstance(error, ImportError) and str(error.name).startswith("llm_models"):
            told = f"{address} was logged by another LLMFlowLab ({error}): log it again"
        sys.exit(f"Error: {told}")


def _run(app: Any, workers: int, listener: socket.socket) -> None:
    """Until a SIGTERM or a Ctrl-C; answers under way are finished."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from llm_models.serving import request_timeout

    several = workers > 1
    config = uvicorn.Config(
        "steps.core.serving.worker:create" if several else app,
        factory=several,
        workers=workers,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(request_timeout()) + WORDS_S,
        timeout_worker_healthcheck=HEALTH_CHECK_S,
    )
    if several:
        Multiprocess(config, sockets=[listener]).run()
    else:
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
