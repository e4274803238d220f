"""A headless browser that stays open: a test looks at a page, does something, and looks again."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

START_SECONDS = 120.0
ANSWER_SECONDS = 120.0
TROUBLE = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")

needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")


class Page:
    """A page in a browser, spoken to by the DevTools protocol.

    Parameters
    ----------
    connection
        To the browser's page.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.console: list[str] = []
        """What the browser had to say: errors, refusals by the page's policy, and what scripts printed."""
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=ANSWER_SECONDS))
            if message.get("method") in TROUBLE:
                self.console.append(json.dumps(message["params"]))
            if message.get("id") == number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found

    def open(self, url: str) -> None:
        """Go to an address and wait until the page is there."""
        self.call("Page.navigate", url=url)
        self.await_that(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def eval(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def await_that(self, expression: str, seconds: float = 120) -> None:
        """Wait until an expression of JavaScript is true."""
        until = time.monotonic() + seconds
        while not self.eval(expression):
            assert time.monotonic() < until, f"{expression} did not come to hold within {seconds:g} s"
            time.sleep(0.05)

    def screenshot(self, path: Path, width: int, *, dark: bool = False) -> None:
        """Draw the whole page as a screen of a width shows it."""
        self.call("Emulation.setEmulatedMedia", features=[_scheme("dark" if dark else "light")])
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        drawn = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(drawn["data"]))


def _scheme(name: str) -> dict[str, str]:
    return {"name": "prefers-color-scheme", "value": name}


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Start a browser that keeps its profile in a folder, and end it with the block."""
    arguments = "--headless=new --no-sandbox --disable-gpu --disable-background-networking --remote-debugging-port=0"
    command = ["chromium", *arguments.split(), f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_address(folder), max_size=None, proxy=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(120)


def _address(folder: Path) -> str:
    found, until = folder / "DevToolsActivePort", time.monotonic() + START_SECONDS
    while not found.exists() or len(found.read_text().splitlines()) < 2:
        assert time.monotonic() < until, "the browser did not start"
        time.sleep(0.05)
    port = found.read_text().splitlines()[0]
    targets = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
    address: str = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
    return address
