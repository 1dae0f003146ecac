"""A page in real headless Chromium, driven by the DevTools protocol."""

import base64
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--window-size=1400,1000",
)
WAIT = 60  # seconds for anything the browser is asked


class Page:
    """One tab; keeps what it complained of and what it asked the network for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        return next(m for m in self._messages() if m.get("id") == self._number)["result"]

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            message = json.loads(self._socket.recv(timeout=WAIT))
            if "method" in message:
                self.events.append(message)
            yield message

    def open(self, url: str, theme: str = "light") -> None:
        """Load a page and wait until it is drawn."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.events.clear()
        self.call("Page.navigate", url=url)
        if not self._seen("Page.loadEventFired"):
            next(m for m in self._messages() if m.get("method") == "Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited. Raises AssertionError where it throws."""
        given = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        told = self.call("Runtime.evaluate", **given)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, expression: str) -> Any:
        """The first value of a JavaScript expression that is truthy."""
        look = f"(look = () => {{ const v = {expression}; v ? done(v) : setTimeout(look, 50) }})()"
        return self.run(f"new Promise((done) => {{ let look; {look} }})")

    @contextmanager
    def frame(self) -> "Iterator[Page]":
        """The page inside the one sandboxed frame, to Chromium a target of its own."""
        host, port = self._socket.remote_address[:2]
        address = f"ws://{host}:{port}/devtools/page/{self._frame_id()}"
        with connect(address, max_size=None) as socket:
            yield Page(socket)

    def _frame_id(self) -> str:
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            targets = self.call("Target.getTargets")["targetInfos"]
            found = [target["targetId"] for target in targets if target["type"] == "iframe"]
            if found:
                return str(found[0])
            time.sleep(0.05)
        raise AssertionError("the page has no frame of its own")

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, what the page's policy refused."""
        self.run("new Promise((done) => setTimeout(done))")  # so that what was queued is told
        found = [e["params"]["entry"]["text"] for e in self._seen("Log.entryAdded")]
        found += [str(e["params"]) for e in self._seen("Runtime.exceptionThrown")]
        return found + [str(e["params"]) for e in self._seen("Runtime.consoleAPICalled")]

    def requests(self) -> list[str]:
        """Addresses that were asked for, the page's own first."""
        return [e["params"]["request"]["url"] for e in self._seen("Network.requestWillBeSent")]

    def _seen(self, method: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["method"] == method]

    def screenshot(self, path: Path) -> None:
        told = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def chromium() -> Iterator[Page]:
    """A new browser with a profile of its own."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=subprocess.PIPE, text=True)
        try:
            with connect(_tab(process), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.communicate(timeout=WAIT)


def _tab(process: "subprocess.Popen[str]") -> str:
    """The address of the tab, from the line in which Chromium tells its port."""
    import urllib.request

    assert process.stderr is not None
    line = next(line for line in process.stderr if "DevTools listening on" in line)
    address = line.split("//")[1].split("/")[0]
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://{address}/json", timeout=WAIT) as reply:
            tabs = [tab for tab in json.loads(reply.read()) if tab["type"] == "page"]
        if tabs:
            return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise AssertionError("Chromium opened no tab")
