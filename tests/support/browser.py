"""Chromium without a window, by its DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import pathlib
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.sync.client import connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
_SECONDS = 60


class Browser:
    """A page in a browser; use as a context.

    Args:
        profile: an empty folder.
    """

    def __init__(self, profile: pathlib.Path):
        self._port_file = profile / "DevToolsActivePort"
        self._command = [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._numbers = itertools.count(1)
        self.errors: list[str] = []  # what scripts threw and the console was told

    def __enter__(self) -> Browser:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait(lambda: self._port_file.exists() and self._port_file.read_text().count("\n"))
        port = self._port_file.read_text().split("\n")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(each for each in json.load(answer) if each["type"] == "page")
        self._socket = connect(page["webSocketDebuggerUrl"], max_size=None)
        for domain in ("Page", "Runtime", "DOM", "Log"):
            self.command(f"{domain}.enable")
        return self

    def __exit__(self, *exception) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(_SECONDS))
            if said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(said["params"]["exceptionDetails"]["exception"].get("description", "?"))
            elif said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.errors.append(said["params"]["entry"]["text"])
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]

    def open(self, url: str, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Shows a page in a window of that size."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """A JavaScript expression's value."""
        result = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Until a JavaScript expression is true."""
        self._wait(lambda: self.evaluate(expression))

    def choose_files(self, selector: str, paths: Sequence[pathlib.Path]) -> None:
        """As a person chooses files for an input."""
        root = self.command("DOM.getDocument")["root"]["nodeId"]
        found = self.command("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.command("DOM.setFileInputFiles", nodeId=found, files=[str(path) for path in paths])

    def press(self, key: str) -> None:
        """A key, to whatever has the focus."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13}[key]
            self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path: pathlib.Path) -> None:
        """The whole page as PNG."""
        image = self.command("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(image))

    def _wait(self, condition):
        end = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < end, f"waited {_SECONDS} s in vain; errors: {self.errors}"
            time.sleep(0.1)
