"""A page in headless Chromium, driven over the DevTools protocol with nothing but the standard library.

https://chromedevtools.github.io/devtools-protocol
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

FLAGS = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
]
"""Without a window, and without a word to anyone but the test."""


class Browser:
    """One page of a running Chromium.

    Args:
        process: Chromium; it reads commands from its standard input and writes answers to its standard output, each
            ended by a zero byte.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.session = ""
        self.last = 0
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command's result; events that come before it are kept."""
        assert self.process.stdin is not None
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        while (answer := self._read()).get("id") != self.last:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, path: Path, width: int = 1280, height: int = 900, dark: bool = False, script: bool = True) -> None:
        """Load a file afresh and wait until it is there."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.send("Emulation.setScriptExecutionDisabled", value=not script)
        self.events.clear()
        self.send("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key, as a hand on the keyboard would."""
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
        self.send("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def complaints(self) -> list[str]:
        """What the page wrote to the console, threw, or was refused by its own policy since it was opened."""
        self.run("0")  # whatever was said before this answer has arrived
        said = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in said]

    def requests(self) -> list[str]:
        """The addresses that the page asked for since it was opened; what it holds itself (data:) is left out."""
        asked = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith("data:")]

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        message = bytearray()
        while (byte := self.process.stdout.read(1)) != b"\0":
            assert byte, "Chromium went away before it answered"
            message += byte
        return json.loads(message)


@contextmanager
def chromium(patience: float = 600) -> Iterator[Browser]:
    """A headless Chromium that ends with the block, or after ``patience`` seconds if it hangs.

    The test is skipped where there is none; with REQUIRE_CHROMIUM=1 in the environment it fails, so that no tests of
    the page are left out unseen.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        end = pytest.fail if os.environ.get("REQUIRE_CHROMIUM") == "1" else pytest.skip
        end("No Chromium to open the page in. Install one with: apt-get install chromium")
    # The protocol wants file descriptors 3 and 4; the shell makes them of its input and output, and becomes Chromium.
    shell = ["sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1']
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [*shell, program, *FLAGS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        watchdog = Timer(patience, process.kill)
        watchdog.start()
        try:
            yield Browser(process)
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()
