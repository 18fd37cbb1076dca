"""A headless Chromium over the pipe of its DevTools protocol: no port, no driver, no library."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FIRST_FREE = 10
"""Descriptors are moved up here, so that 3 and 4, which Chromium reads and writes, are free."""


class Tab:
    """One page. What it logs, what it throws and what it asks the network for is kept."""

    def __init__(self, browser: _Pipe) -> None:
        self._pipe = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol and wait for its answer."""
        return self._pipe.call(method, self._session, **parameters)

    def view(self, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Set the size of the window, in CSS pixels, and the colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Load a page and wait until it has loaded and been painted."""
        # From an empty page: a change of the hash alone would load nothing.
        for address in ("about:blank", url):
            self._pipe.events.clear()
            self.call("Page.navigate", url=address)
            self._pipe.wait("Page.loadEventFired")
        self.settle()

    def settle(self) -> None:
        """Wait for two frames: what was changed is laid out, and its observers have run."""
        frames = "new Promise(f => requestAnimationFrame(() => requestAnimationFrame(f)))"
        self.evaluate(f"{frames}.then(() => true)")

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[Any]:
        """What was logged to the console or thrown since the page was opened."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self._pipe.events if event["method"] in kinds]

    def requested(self) -> list[str]:
        """URLs asked for since the page was opened, its own first."""
        return [
            event["params"]["request"]["url"]
            for event in self._pipe.events
            if event["method"] == "Network.requestWillBeSent"
        ]


class _Pipe:
    """Messages of JSON, each ended by a NUL."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = os.fdopen(reader, "rb", buffering=0)
        self._writer = os.fdopen(writer, "wb", buffering=0)
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[self._writer.write(data) :]
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait(self, method: str) -> None:
        while not any(event["method"] == method for event in self.events):
            self.events.append(self._read())

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = self._reader.read(1 << 20)
            assert data, "the browser went away"
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        return message


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A tab of a Chromium of its own, with its profile in `profile`; it ends with the block."""
    assert CHROMIUM is not None
    commands, to_browser = (_moved_up(end) for end in os.pipe())
    from_browser, answers = (_moved_up(end) for end in os.pipe())
    arguments = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
    ]
    quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    pid = os.posix_spawn(
        CHROMIUM,
        arguments,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, commands, 3),
            (os.POSIX_SPAWN_DUP2, answers, 4),
            quiet,
        ],
    )
    os.close(commands)
    os.close(answers)
    pipe = _Pipe(from_browser, to_browser)
    try:
        yield Tab(pipe)
    finally:
        pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def _moved_up(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(descriptor)
    return moved
